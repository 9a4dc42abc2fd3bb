/** The AssemblyScript runtime: modules compiled with `wasm/assembly/weir.ts`, called through @assemblyscript/loader. */
import { readFileSync } from 'node:fs';
import {
  type BodyHookResult,
  ExtensionError,
  FilterConfigError,
  type FilterRuntime,
  type FilterSpec,
  FilterStatus,
  type HookResult,
  type Stream,
  type StreamFilter,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { Guest, type GuestExports, type GuestStream } from './guest.ts';
import { limitMemory } from './memory-limit.ts';

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
  return {
    name: 'assemblyscript',
    sniff: ({ path, bytes }) => path.endsWith('.wasm') && exportsOf(bytes).includes('__rtti_base'),
    load,
  };
}

function exportsOf(bytes: Uint8Array): string[] {
  try {
    return WebAssembly.Module.exports(new WebAssembly.Module(Uint8Array.from(bytes))).map(({ name }) => name);
  } catch {
    return [];
  }
}

function load(spec: FilterSpec): StreamFilterFactory {
  if (spec.file === undefined)
    throw new FilterConfigError('an AssemblyScript filter needs the path of a .wasm file in `use:`');
  const module = compile(spec);
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  const missing = RUNTIME_EXPORTS.filter((name) => !names.includes(name));
  if (missing.length > 0) {
    throw new FilterConfigError(`${spec.use} does not export ${missing.join(', ')}`, {
      hint: 'compile it with asc --exportRuntime',
    });
  }
  if (!HOOKS.some((hook) => names.includes(hook))) {
    throw new FilterConfigError(`${spec.use} exports none of the hooks ${HOOKS.join(', ')}`);
  }
  return new AssemblyScriptFactory(spec, module);
}

function compile(spec: FilterSpec): WebAssembly.Module {
  try {
    const bytes = readFileSync(spec.file as string);
    new WebAssembly.Module(bytes);
    return new WebAssembly.Module(limitMemory(bytes, spec.limits.memory));
  } catch (error) {
    throw new FilterConfigError(`${spec.use} can't be used: ${error instanceof Error ? error.message : error}`);
  }
}

class AssemblyScriptFactory implements StreamFilterFactory {
  readonly #spec: FilterSpec;
  readonly #module: WebAssembly.Module;
  #guest: Guest;

  constructor(spec: FilterSpec, module: WebAssembly.Module) {
    this.#spec = spec;
    this.#module = module;
    this.#guest = this.#start();
  }

  create(stream: Stream): StreamFilter {
    // After a trap the streams of the old instance get their policy's answer, and new ones a new instance.
    if (this.#guest.dead) this.#guest = this.#start();
    return createFilter(this.#guest, this.#guest.open(stream));
  }

  #start(): Guest {
    let wrong: string;
    let guest: Guest;
    try {
      guest = new Guest(this.#module);
      wrong = guest.enter(() => guest.configure(this.#spec.config));
    } catch (error) {
      const position = error instanceof ExtensionError ? error.position : undefined;
      throw new FilterConfigError(`${this.#spec.use}: ${error instanceof Error ? error.message : error}`, { position });
    }
    if (wrong !== '') throw new FilterConfigError(wrong);
    return guest;
  }
}

/** Only the hooks that the module exports are there, so that others cost nothing. */
function createFilter(guest: Guest, opened: GuestStream): StreamFilter {
  const { exports } = guest;
  const { id } = opened;
  const filter: StreamFilter = { onDestroy: () => guest.close(opened) };
  const {
    onRequestHeaders,
    onRequestBody,
    onRequestTrailers,
    onResponseHeaders,
    onResponseBody,
    onResponseTrailers,
    onComplete,
  }: GuestExports = exports;
  if (onRequestHeaders !== undefined) {
    filter.onRequestHeaders = (_, end) => status(guest.enter(() => onRequestHeaders(id, end ? 1 : 0)));
  }
  if (onResponseHeaders !== undefined) {
    filter.onResponseHeaders = (_, end) => status(guest.enter(() => onResponseHeaders(id, end ? 1 : 0)));
  }
  if (onRequestBody !== undefined) filter.onRequestBody = (_, end) => body(guest, opened, onRequestBody, end);
  if (onResponseBody !== undefined) filter.onResponseBody = (_, end) => body(guest, opened, onResponseBody, end);
  if (onRequestTrailers !== undefined) {
    filter.onRequestTrailers = (trailers) => {
      opened.replacement = undefined;
      opened.requestTrailers = trailers;
      const result = status(guest.enter(() => onRequestTrailers(id)));
      if (opened.replacement !== undefined) opened.stream.setRequestBody(opened.replacement);
      return result;
    };
  }
  if (onResponseTrailers !== undefined) {
    filter.onResponseTrailers = (trailers) => {
      opened.replacement = undefined;
      opened.responseTrailers = trailers;
      const result = status(guest.enter(() => onResponseTrailers(id)));
      if (opened.replacement !== undefined) opened.stream.setResponseBody(opened.replacement);
      return result;
    };
  }
  if (onComplete !== undefined) filter.onComplete = () => guest.enter(() => onComplete(id));
  return filter;
}

function status(value: number): HookResult {
  const known = STATUSES[value];
  if (known === undefined) throw new ExtensionError('contract', `a hook returned ${value}, which is no status`);
  return known;
}

function body(
  guest: Guest,
  opened: GuestStream,
  hook: (id: number, end: number) => number,
  end: boolean,
): BodyHookResult {
  opened.replacement = undefined;
  const result = status(guest.enter(() => hook(opened.id, end ? 1 : 0)));
  const { replacement } = opened;
  opened.replacement = undefined;
  return replacement !== undefined && result === FilterStatus.Continue ? replacement : (result as BodyHookResult);
}
