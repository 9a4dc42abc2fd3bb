/** The AssemblyScript runtime: modules compiled with `wasm/assembly/weir.ts`, called through @assemblyscript/loader. */
import { readFileSync } from 'node:fs';
import {
  ExtensionError,
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  FilterStatus,
  type Stream,
  type StreamFilter,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { Backoff } from '../shared/wasm/backoff.ts';
import { exportNames, WasmFormatError } from '../shared/wasm/binary.ts';
import { DEFAULT_INSTRUCTIONS, DEFAULT_MEMORY, type WasmModule, WasmModules } from '../shared/wasm/module.ts';
import { Guest, type GuestStream } from './guest.ts';

const HOOKS = [
  'onRequestHeaders',
  'onRequestBody',
  'onRequestTrailers',
  'onResponseHeaders',
  'onResponseBody',
  'onResponseTrailers',
] as const;
/** In the order of the guest library's enum. */
const STATUSES = [
  FilterStatus.Continue,
  FilterStatus.Stop,
  FilterStatus.StopAndBuffer,
  FilterStatus.StopNoBuffer,
  FilterStatus.RematchRoute,
  FilterStatus.RechooseEndpoint,
] as const;
/** What the loader needs, and only `asc --exportRuntime` exports. */
const RUNTIME_EXPORTS = ['__new', '__pin', '__unpin', '__rtti_base', 'memory'];

export function createAssemblyScriptRuntime(): FilterRuntime {
  const modules = new WasmModules();
  return {
    name: 'assemblyscript',
    sniff({ path, bytes }) {
      const names = path.endsWith('.wasm') ? exportNames(bytes) : [];
      return names.includes('__rtti_base') && !names.some((name) => name.startsWith('proxy_abi_version_'));
    },
    load: (spec, host) => load(spec, host, modules),
  };
}

function load(spec: FilterSpec, host: FilterHost, modules: WasmModules): StreamFilterFactory {
  if (spec.file === undefined)
    throw new FilterConfigError('an AssemblyScript filter needs the path of a .wasm file in `use:`');
  const module = compile(spec, modules);
  const names = module.exportNames;
  const missing = RUNTIME_EXPORTS.filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw new FilterConfigError(`${spec.use} does not export ${missing.join(', ')}`, {
      hint: 'compile it with asc --exportRuntime',
    });
  }
  if (!HOOKS.some((hook) => names.includes(hook))) {
    throw new FilterConfigError(`${spec.use} exports none of the hooks ${HOOKS.join(', ')}`);
  }
  return new AssemblyScriptFactory(spec, host, module, names);
}

function compile(spec: FilterSpec, modules: WasmModules): WasmModule {
  const { memory = DEFAULT_MEMORY, instructions = DEFAULT_INSTRUCTIONS } = spec.limits;
  try {
    return modules.get(readFileSync(spec.file as string), { memory, instructions });
  } catch (error) {
    if (!(error instanceof WasmFormatError)) throw error;
    throw new FilterConfigError(`${spec.use} can't be used: ${error.message}`);
  }
}

class AssemblyScriptFactory implements StreamFilterFactory {
  readonly #spec: FilterSpec;
  readonly #host: FilterHost;
  readonly #module: WasmModule;
  readonly #hooks: object;
  readonly #backoff = new Backoff();
  #guest: Guest;
  /** The instance whose failure was counted last. */
  #noted: Guest | undefined;

  constructor(spec: FilterSpec, host: FilterHost, module: WasmModule, exported: readonly string[]) {
    this.#spec = spec;
    this.#host = host;
    this.#hooks = hooksOf(exported);
    this.#module = module;
    this.#guest = this.#start();
  }

  create(stream: Stream): StreamFilter {
    // After a trap the streams of the old instance get their policy's answer, and new ones, after a while, a new instance.
    if (this.#guest.dead) this.#guest = this.#restart();
    const filter = Object.create(this.#hooks) as GuestFilter;
    filter.guest = this.#guest;
    filter.opened = this.#guest.open(stream);
    return filter;
  }

  #restart(): Guest {
    if (this.#noted !== this.#guest) {
      this.#noted = this.#guest;
      this.#backoff.failed(this.#guest.failure);
    }
    this.#backoff.check();
    try {
      return this.#start();
    } catch (error) {
      this.#backoff.failed(error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  #start(): Guest {
    let wrong: string;
    let guest: Guest;
    try {
      guest = new Guest(this.#module, this.#host);
      wrong = guest.start(() => guest.configure(this.#spec.config));
    } catch (error) {
      const position = error instanceof ExtensionError ? error.position : undefined;
      throw new FilterConfigError(`${this.#spec.use}: ${error instanceof Error ? error.message : error}`, { position });
    }
    if (wrong !== '') throw new FilterConfigError(wrong);
    return guest;
  }
}

/** A filter of one stream: its state. Its hooks are methods of the module's prototype. */
interface GuestFilter extends StreamFilter {
  guest: Guest;
  opened: GuestStream;
}

/**
 * The hooks that the module exports, so that others cost nothing. They are made once for the module: closures that are put on an
 * object per stream survive V8's young generation.
 */
function hooksOf(names: readonly string[]): object {
  const all: StreamFilter & ThisType<GuestFilter> = {
    onRequestHeaders(_, end) {
      const { guest, opened } = this;
      return status(guest.enter(() => guest.exports.onRequestHeaders?.(opened.id, end ? 1 : 0)));
    },
    onRequestBody(_, end) {
      const { guest, opened } = this;
      return body(opened, () => guest.enter(() => guest.exports.onRequestBody?.(opened.id, end ? 1 : 0)));
    },
    onRequestTrailers(trailers) {
      const { guest, opened } = this;
      opened.requestTrailers = trailers;
      opened.replacement = undefined;
      const result = status(guest.enter(() => guest.exports.onRequestTrailers?.(opened.id)));
      if (opened.replacement !== undefined) opened.stream.setRequestBody(opened.replacement);
      return result;
    },
    onResponseHeaders(_, end) {
      const { guest, opened } = this;
      return status(guest.enter(() => guest.exports.onResponseHeaders?.(opened.id, end ? 1 : 0)));
    },
    onResponseBody(_, end) {
      const { guest, opened } = this;
      return body(opened, () => guest.enter(() => guest.exports.onResponseBody?.(opened.id, end ? 1 : 0)));
    },
    onResponseTrailers(trailers) {
      const { guest, opened } = this;
      opened.responseTrailers = trailers;
      opened.replacement = undefined;
      const result = status(guest.enter(() => guest.exports.onResponseTrailers?.(opened.id)));
      if (opened.replacement !== undefined) opened.stream.setResponseBody(opened.replacement);
      return result;
    },
    onComplete() {
      const { guest, opened } = this;
      guest.enter(() => guest.exports.onComplete?.(opened.id));
    },
    onDestroy() {
      this.guest.close(this.opened);
    },
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => name === 'onDestroy' || names.includes(name)));
}

function status(value: number | undefined): FilterStatus {
  const known = STATUSES[value ?? 0];
  if (known === undefined) throw new ExtensionError('contract', `a hook returned ${value}, which is no status`);
  return known;
}

function body(opened: GuestStream, hook: () => number | undefined): FilterStatus | Uint8Array {
  opened.replacement = undefined;
  const result = status(hook());
  const { replacement } = opened;
  opened.replacement = undefined;
  return replacement !== undefined && result === FilterStatus.Continue ? replacement : result;
}
