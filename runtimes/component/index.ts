/** The component runtime: WebAssembly components for the WIT package weir:filter (wasm/wit), through jco. */
import { readFileSync } from 'node:fs';
import {
  ExtensionError,
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  type Stream,
  type StreamFilter,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { Backoff } from '../shared/wasm/backoff.ts';
import { isComponent } from '../shared/wasm/binary.ts';
import { ByContent, DEFAULT_INSTRUCTIONS, DEFAULT_MEMORY, digestOf } from '../shared/wasm/module.ts';
import { type ComponentFilter, hooksOf } from './filter.ts';
import { Guest } from './instance.ts';
import { CALLOUT, Component } from './transpile.ts';
import { wasiImports } from './wasi.ts';

/** Instances of a component that may wait: each serves one call at a time. */
const MOST_INSTANCES = 16;

export function createComponentRuntime(): FilterRuntime {
  const known = new ByContent<Component>();
  return {
    name: 'component',
    sniff: ({ bytes }) => isComponent(bytes),
    load: (spec, host) => load(spec, host, known),
  };
}

async function load(spec: FilterSpec, host: FilterHost, known: ByContent<Component>): Promise<StreamFilterFactory> {
  if (spec.file === undefined)
    throw new FilterConfigError('a component filter needs the path of a .wasm file in `use:`');
  const bytes = readFileSync(spec.file);
  if (!isComponent(bytes)) throw new FilterConfigError(`${spec.use} is no WebAssembly component`);
  const { memory = DEFAULT_MEMORY, instructions = DEFAULT_INSTRUCTIONS } = spec.limits;
  const limits = { memory, instructions };
  const digest = digestOf(bytes);
  let component = known.get(digest, limits);
  if (component === undefined) {
    component = await Component.load(bytes, limits);
    known.set(digest, limits, component);
  }
  if (!component.exports.some((name) => name.startsWith('on'))) {
    throw new FilterConfigError(`${spec.use} exports no hook of the package weir:filter`, {
      hint: `it exports ${component.exports.join(', ') || 'no functions'}; the worlds are in wasm/wit`,
    });
  }
  const wasi = await wasiImports(component.imports);
  const missing = component.imports.filter((name) => !name.startsWith('weir:filter/') && wasi[name] === undefined);
  if (missing.length > 0) {
    throw new FilterConfigError(`${spec.use} imports what is not granted to a filter: ${missing.join(', ')}`);
  }
  const factory = new ComponentFactory(spec, host, component, instructions, wasi as Record<string, object>);
  await factory.ready;
  return factory;
}

class ComponentFactory implements StreamFilterFactory {
  /** The first instance has taken its configuration; rejects with a FilterConfigError. */
  readonly ready: Promise<void>;
  readonly #spec: FilterSpec;
  readonly #host: FilterHost;
  readonly #component: Component;
  readonly #instructions: number;
  readonly #wasi: Record<string, object>;
  readonly #hooks: object;
  readonly #most: number;
  #guests: Guest[];
  readonly #backoff = new Backoff();

  constructor(
    spec: FilterSpec,
    host: FilterHost,
    component: Component,
    instructions: number,
    wasi: Record<string, object>,
  ) {
    this.#spec = spec;
    this.#host = host;
    this.#component = component;
    this.#instructions = instructions;
    this.#wasi = wasi;
    this.#hooks = hooksOf(component.exports);
    this.#most = component.imports.includes(CALLOUT) ? MOST_INSTANCES : 1;
    const [guest, ready] = this.#start();
    this.#guests = [guest];
    this.ready = ready;
  }

  create(stream: Stream): StreamFilter {
    const guest = this.#choose();
    const filter = Object.create(this.#hooks) as ComponentFilter;
    filter.guest = guest;
    filter.id = guest.open(stream);
    filter.stream = stream;
    return filter;
  }

  /** The instance with the fewest streams; another one while all have some. */
  #choose(): Guest {
    const failed = this.#guests.filter((guest) => guest.failed !== undefined);
    if (failed.length > 0) this.#noteFailures(failed);
    let best = this.#guests[0];
    for (const guest of this.#guests) if (best === undefined || guest.load < best.load) best = guest;
    if (best !== undefined && (best.load === 0 || this.#guests.length >= this.#most)) return best;
    if (best !== undefined && this.#backoff.waits) return best;
    this.#backoff.check();
    try {
      const [started, ready] = this.#start();
      // What it says then its streams are told.
      ready.catch(() => {});
      this.#guests.push(started);
      return started;
    } catch (error) {
      throw new ExtensionError('threw', error instanceof Error ? error.message : String(error), { cause: error });
    }
  }

  #noteFailures(failed: readonly Guest[]): void {
    this.#guests = this.#guests.filter((guest) => !failed.includes(guest));
    this.#backoff.failed(failed[0]?.failed?.message ?? '');
  }

  /** @throws FilterConfigError; a component that may wait says it by the promise. */
  #start(): [guest: Guest, ready: Promise<void>] {
    try {
      const guest = new Guest(this.#component, this.#host, this.#instructions, this.#wasi);
      const configured = Promise.resolve(guest.configure(this.#spec.config));
      return [
        guest,
        configured.then(
          () => {},
          (error) => Promise.reject(this.#refusal(error)),
        ),
      ];
    } catch (error) {
      throw this.#refusal(error);
    }
  }

  /** The payload of a refusal is the component's own text. */
  #refusal(error: unknown): FilterConfigError {
    const cause = error instanceof ExtensionError ? error.cause : error;
    const message =
      typeof cause === 'string'
        ? cause
        : `the component failed while it was started: ${error instanceof Error ? error.message : error}`;
    return new FilterConfigError(`${this.#spec.use}: ${message}`, { cause: error });
  }
}
