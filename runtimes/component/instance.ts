/** One instance of a component: the interfaces that it imports, and the calls into it. */
import {
  ExtensionError,
  type FilterHost,
  HeaderMap,
  type Json,
  type Stream,
  type StreamInfo,
} from '../../src/abi/index.ts';
import { INSTRUCTIONS_PER_CALL } from '../shared/wasm/module.ts';
import { failureOf } from '../shared/wasm/trap.ts';
import { CALLOUT, type Component, type ComponentInstance } from './transpile.ts';

type Fields = [string, string][];

export class Guest {
  readonly #component: ComponentInstance;
  readonly #host: FilterHost;
  readonly #instructions: number;
  /** By number; a number is used again once its stream has ended. */
  readonly #streams: (Stream | undefined)[] = [undefined];
  readonly #free: number[] = [];
  #hostCalls = 0;
  /** Calls wait for each other: a component that waits can't be entered. */
  #busy: Promise<unknown> | undefined;
  /** Streams that it serves. */
  load = 0;
  failed: ExtensionError | undefined;

  /** @param wasi what `wasi:` interfaces are. */
  constructor(component: Component, host: FilterHost, instructions: number, wasi: Record<string, object>) {
    this.#host = host;
    this.#instructions = instructions;
    this.#component = component.instantiate({
      ...wasi,
      'weir:filter/host': this.#hostInterface(),
      [CALLOUT]: this.#calloutInterface(),
    });
  }

  open(stream: Stream): number {
    const id = this.#free.pop() ?? this.#streams.length;
    this.#streams[id] = stream;
    this.load++;
    return id;
  }

  close(id: number): void {
    this.#streams[id] = undefined;
    this.#free.push(id);
    this.load--;
  }

  /**
   * Gives the entry's configuration to the component; calls wait for it. A component that may wait gives a promise.
   * @throws ExtensionError whose cause is what the component refused it by.
   */
  configure(config: Json): unknown {
    const { configure } = this.#component.exports;
    if (configure === undefined) return undefined;
    return this.#enter(configure, JSON.stringify(config), [], true);
  }

  /**
   * Calls a hook: what it returns, or a promise of it.
   * @throws ExtensionError when it fails; the instance is of no use any more then.
   */
  call(name: string, id: number, ...args: unknown[]): unknown {
    const hook = this.#component.exports[name];
    if (hook === undefined) return undefined;
    return this.#busy === undefined ? this.#enter(hook, id, args) : this.#enterLater(hook, id, args);
  }

  /** Others may be first when the running call has ended; and the stream may be gone by then, its number another's. */
  async #enterLater(hook: (...args: unknown[]) => unknown, id: number, args: readonly unknown[]): Promise<unknown> {
    const stream = this.#streams[id];
    while (this.#busy !== undefined) await this.#busy;
    if (this.#streams[id] !== stream) throw new ExtensionError('contract', 'the stream has ended');
    return this.#enter(hook, id, args);
  }

  #enter(hook: (...args: unknown[]) => unknown, first: unknown, args: readonly unknown[], start = false): unknown {
    if (this.failed !== undefined)
      throw new ExtensionError('threw', `the component failed before: ${this.failed.message}`);
    this.#hostCalls = 0;
    for (const fuel of this.#component.fuels) {
      if (start) fuel.refillForStart();
      else fuel.refill();
    }
    let result: unknown;
    try {
      result = hook(first, ...args);
    } catch (error) {
      throw this.#fail(error);
    }
    if (!(result instanceof Promise)) return result;
    const settled = result.then(
      (value) => {
        if (this.#busy === quiet) this.#busy = undefined;
        return value;
      },
      (error) => {
        if (this.#busy === quiet) this.#busy = undefined;
        throw this.#fail(error);
      },
    );
    const quiet = settled.catch(() => {});
    this.#busy = quiet;
    return settled;
  }

  #fail(error: unknown): ExtensionError {
    const isEmpty = this.#component.fuels.some((fuel) => fuel.isEmpty);
    this.failed = failureOf(error, 'component', this.#instructions, isEmpty);
    return this.failed;
  }

  #stream(id: number): Stream {
    if (++this.#hostCalls * INSTRUCTIONS_PER_CALL > this.#instructions) {
      for (const fuel of this.#component.fuels) fuel.drain();
      throw new ExtensionError('budget', 'the component called the host too often in one hook');
    }
    const stream = this.#streams[id];
    if (stream === undefined) throw new ExtensionError('contract', 'the component used a stream that has ended');
    return stream;
  }

  #hostInterface(): object {
    return {
      log: (id: number, level: string, message: string) => {
        const log = this.#streams[id]?.log ?? this.#host.log;
        log[level as 'info'](message);
      },
      info: (id: number, name: string) => {
        const { info } = this.#stream(id);
        const value = info[name as keyof StreamInfo];
        return value === undefined || typeof value === 'function' ? undefined : String(value);
      },
      routeConfig: (id: number) => {
        const { routeConfig } = this.#stream(id);
        return routeConfig === undefined ? undefined : JSON.stringify(routeConfig);
      },
      getMetadata: (id: number, namespace: string, key: string) => {
        const value = this.#stream(id).metadata.get(namespace)?.[key];
        return value === undefined ? undefined : JSON.stringify(value);
      },
      setMetadata: (id: number, namespace: string, key: string, value: string) =>
        this.#stream(id).metadata.set(namespace, key, JSON.parse(value) as Json),
    };
  }

  #calloutInterface(): object {
    return {
      call: async (id: number, cluster: string, headers: Fields, body: Uint8Array, timeout: number) => {
        try {
          const request = {
            headers: new HeaderMap(headers),
            timeout,
            ...(body.length > 0 ? { body: Uint8Array.from(body) } : {}),
          };
          const response = await this.#stream(id).call(cluster, request);
          const status = Number(response.headers.get(':status'));
          return { status, headers: [...response.headers].filter(([name]) => name !== ':status'), body: response.body };
        } catch (error) {
          // jco gives a thrown payload as the error of a result.
          throw { payload: error instanceof Error ? error.message : String(error) };
        }
      },
    };
  }
}
