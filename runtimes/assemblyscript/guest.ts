/** One instance of an AssemblyScript module, and the host functions that it may call. */
import { type ASUtil, instantiateSync } from '@assemblyscript/loader';
import {
  type CallResponse,
  ExtensionError,
  type FilterHost,
  HeaderMap,
  type Json,
  type LogLevel,
  type Stream,
  type StreamInfo,
} from '../../src/abi/index.ts';
import type { Fuel, WasmModule } from '../shared/wasm/module.ts';
import { trapError } from '../shared/wasm/trap.ts';

/** What the module may export; each hook gets the stream's number first. */
export interface GuestExports extends Record<string, unknown> {
  configure?: (config: number) => number;
  onRequestHeaders?: (stream: number, end: number) => number;
  onRequestBody?: (stream: number, end: number) => number;
  onRequestTrailers?: (stream: number) => number;
  onResponseHeaders?: (stream: number, end: number) => number;
  onResponseBody?: (stream: number, end: number) => number;
  onResponseTrailers?: (stream: number) => number;
  onTimer?: (stream: number, timer: number) => void;
  onCallResponse?: (stream: number, call: number) => void;
  onComplete?: (stream: number) => void;
  onDestroy?: (stream: number) => void;
}

/** What the host keeps of a stream for its guest. */
export interface GuestStream {
  readonly id: number;
  readonly stream: Stream;
  requestTrailers: HeaderMap | undefined;
  responseTrailers: HeaderMap | undefined;
  call: CallResponse | undefined;
  /** What the running body hook put in the place of its piece. */
  replacement: Uint8Array | undefined;
  nextTimer: number;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'critical'] as const satisfies readonly LogLevel[];

export class Guest {
  readonly exports: ASUtil & GuestExports;
  /**
   * By number; a number is used again once its stream has ended. An array, since a Map that is filled and emptied all the time
   * keeps its former tables, and with them ended streams, alive until the next full garbage collection.
   */
  readonly #streams: (GuestStream | undefined)[] = [undefined];
  readonly #free: number[] = [];
  /** It trapped: its stack and its memory can't be trusted any more. */
  dead = false;
  /** By what. */
  failure = '';

  readonly #module: WasmModule;
  readonly #fuel: Fuel;

  readonly #host: FilterHost;

  constructor(module: WasmModule, host: FilterHost) {
    this.#module = module;
    this.#host = host;
    const { exports, instance } = instantiateSync<GuestExports>(module.module, {
      env: { abort: (message, file, line, column) => this.#abort(message, file, line, column) },
      weir: { ...this.#hostFunctions(), ...this.#sharedFunctions() },
    });
    this.exports = exports as ASUtil & GuestExports;
    this.#fuel = module.fuelOf(instance);
  }

  /** Gives the entry's configuration to the module; returns what is wrong with it, or ''. */
  configure(config: Json): string {
    const { configure, __newString, __getString } = this.exports;
    if (configure === undefined) return '';
    return __getString(configure(__newString(JSON.stringify(config))));
  }

  open(stream: Stream): GuestStream {
    const id = this.#free.pop() ?? this.#streams.length;
    const opened: GuestStream = {
      id,
      stream,
      requestTrailers: undefined,
      responseTrailers: undefined,
      call: undefined,
      replacement: undefined,
      nextTimer: 1,
    };
    this.#streams[id] = opened;
    return opened;
  }

  close({ id }: GuestStream): void {
    if (!this.dead) this.enter(() => this.exports.onDestroy?.(id));
    this.#streams[id] = undefined;
    this.#free.push(id);
  }

  /** As `enter`, with the larger budget of a start. */
  start<T>(call: () => T): T {
    return this.#enter(call, true);
  }

  /** Calls into the module; a trap makes this instance dead. @throws ExtensionError */
  enter<T>(call: () => T): T {
    return this.#enter(call, false);
  }

  #enter<T>(call: () => T, start: boolean): T {
    if (this.dead) throw new ExtensionError('threw', 'the module trapped in another stream and was started anew');
    try {
      if (start) this.#fuel.refillForStart();
      else this.#fuel.refill();
      return call();
    } catch (error) {
      this.dead = true;
      const failure = trapError(error, this.#module, this.#fuel);
      this.failure = failure.message;
      throw failure;
    }
  }

  #abort(message?: number, file?: number, line?: number, column?: number): never {
    const { __getString } = this.exports;
    const text = message ? __getString(message) : 'abort';
    const name = file ? __getString(file) : 'module';
    throw new ExtensionError('threw', `abort: ${text}`, { position: { file: name, line, column } });
  }

  #stream(id: number): GuestStream {
    const found = this.#streams[id];
    if (found === undefined) throw new ExtensionError('contract', 'the module used a stream that has ended');
    return found;
  }

  #headers(id: number, map: number): HeaderMap {
    const { stream, requestTrailers, responseTrailers, call } = this.#stream(id);
    const headers = [stream.requestHeaders, stream.responseHeaders, requestTrailers, responseTrailers, call?.headers][
      map
    ];
    if (headers === undefined) throw new ExtensionError('contract', 'these headers are not there yet, or not any more');
    return headers;
  }

  #text(pointer: number): string {
    return this.exports.__getString(pointer);
  }

  /** A string for the module, or null. */
  #give(text: string | undefined): number {
    return text === undefined ? 0 : this.exports.__newString(text);
  }

  #giveBytes(bytes: Uint8Array): number {
    const copy = new Uint8Array(bytes.length);
    copy.set(bytes);
    return this.exports.__newArrayBuffer(copy.buffer);
  }

  #bytes(pointer: number): Uint8Array {
    return new Uint8Array(this.exports.__getArrayBuffer(pointer));
  }

  #hostFunctions(): Record<string, unknown> {
    return {
      header_get: (id: number, map: number, name: number) => this.#give(this.#headers(id, map).get(this.#text(name))),
      header_set: (id: number, map: number, name: number, value: number) =>
        this.#headers(id, map).set(this.#text(name), this.#text(value)),
      header_add: (id: number, map: number, name: number, value: number) =>
        this.#headers(id, map).add(this.#text(name), this.#text(value)),
      header_remove: (id: number, map: number, name: number) => void this.#headers(id, map).remove(this.#text(name)),
      header_count: (id: number, map: number) => this.#headers(id, map).size,
      header_name_at: (id: number, map: number, index: number) =>
        this.#give(this.#headers(id, map).nameAt(index) ?? ''),
      header_value_at: (id: number, map: number, index: number) =>
        this.#give(this.#headers(id, map).valueAt(index) ?? ''),
      body_get: (id: number, response: number) => {
        const { stream } = this.#stream(id);
        return this.#giveBytes(response === 1 ? stream.responseBody : stream.requestBody);
      },
      body_set: (id: number, _response: number, body: number) => {
        this.#stream(id).replacement = this.#bytes(body);
      },
      respond: (id: number, status: number, headers: number, body: number) =>
        this.#stream(id).stream.respond(status, fieldLines(this.#text(headers)), this.#text(body), 'wasm_response'),
      continue: (id: number, response: number) => {
        const { stream } = this.#stream(id);
        if (response === 1) stream.continueResponse();
        else stream.continueRequest();
      },
      clear_route_cache: (id: number) => this.#stream(id).stream.clearRouteCache(),
      override_endpoint: (id: number, address: number, strict: number) =>
        this.#stream(id).stream.overrideEndpoint(this.#text(address), strict !== 0),
      drain_connection: (id: number) => this.#stream(id).stream.drainConnection(),
      set_reason_phrase: (id: number, phrase: number) => this.#stream(id).stream.setReasonPhrase(this.#text(phrase)),
      reset: (id: number) => this.#stream(id).stream.reset(),
      log: (id: number, level: number, message: number) =>
        this.#stream(id).stream.log[LOG_LEVELS[level] ?? 'info'](this.#text(message)),
      info_get: (id: number, name: number) => {
        const value = this.#stream(id).stream.info[this.#text(name) as keyof StreamInfo];
        return this.#give(value === undefined ? undefined : String(value));
      },
      route_config: (id: number) => {
        const config = this.#stream(id).stream.routeConfig;
        return this.#give(config === undefined ? '' : JSON.stringify(config));
      },
      metadata_get: (id: number, namespace: number, key: number) => {
        const value = this.#stream(id).stream.metadata.get(this.#text(namespace))?.[this.#text(key)];
        return this.#give(value === undefined ? undefined : JSON.stringify(value));
      },
      metadata_set: (id: number, namespace: number, key: number, value: number) =>
        this.#stream(id).stream.metadata.set(
          this.#text(namespace),
          this.#text(key),
          JSON.parse(this.#text(value)) as Json,
        ),
      set_timer: (id: number, milliseconds: number) => {
        const found = this.#stream(id);
        const timer = found.nextTimer++;
        found.stream.setTimer(milliseconds, () => this.enter(() => this.exports.onTimer?.(id, timer)));
        return timer;
      },
      call: (id: number, cluster: number, headers: number, body: number, timeout: number) =>
        this.#call(this.#stream(id), this.#text(cluster), this.#text(headers), this.#bytes(body), timeout),
      call_body: (id: number) => this.#giveBytes(this.#stream(id).call?.body ?? new Uint8Array(0)),
    };
  }

  /** What belongs to no stream: metrics, and data that workers share. */
  #sharedFunctions(): Record<string, unknown> {
    const host = this.#host;
    const ttlOf = (ttl: number) => (ttl > 0 ? ttl : undefined);
    const bytes = (pointer: number) => Buffer.from(this.#text(pointer), 'utf8').toString('latin1');
    const store = (name: number) => host.shared(bytes(name));
    return {
      metric_record: (kind: number, name: number, value: number) => {
        const text = this.#text(name);
        if (kind === 0) host.counter(text).add(value);
        else if (kind === 1) host.gauge(text).set(value);
        else host.histogram(text).observe(value);
      },
      metric_value: (kind: number, name: number) =>
        kind === 0 ? host.counter(this.#text(name)).value : host.gauge(this.#text(name)).value,
      shared_get: (name: number, key: number) => {
        const entry = store(name).get(bytes(key));
        return this.#give(entry === undefined ? undefined : Buffer.from(entry.value, 'latin1').toString('utf8'));
      },
      shared_version: (name: number, key: number) => store(name).get(bytes(key))?.version ?? 0,
      shared_set: (name: number, key: number, value: number, ttl: number) =>
        store(name).set(bytes(key), bytes(value), ttlOf(ttl)),
      shared_delete: (name: number, key: number) => (store(name).delete(bytes(key)) ? 1 : 0),
      shared_increment: (name: number, key: number, by: number, ttl: number) =>
        store(name).increment(bytes(key), by, ttlOf(ttl)),
      shared_compare_and_set: (name: number, key: number, version: number, value: number, ttl: number) =>
        store(name).compareAndSet(bytes(key), version, bytes(value), ttlOf(ttl)) ? 1 : 0,
    };
  }

  #call(found: GuestStream, cluster: string, headers: string, body: Uint8Array, timeout: number): number {
    const number = found.nextTimer++;
    const request = { headers: new HeaderMap(fieldLines(headers)), timeout, ...(body.length > 0 ? { body } : {}) };
    void found.stream.call(cluster, request).then((response) => {
      if (this.#streams[found.id] !== found) return;
      // A timer's callback is how the ABI runs code of a filter between its hooks.
      found.stream.setTimer(0, () => {
        found.call = response;
        this.enter(() => this.exports.onCallResponse?.(found.id, number));
        found.call = undefined;
      });
    });
    return number;
  }
}

/** Lines `name: value`. */
function fieldLines(text: string): [string, string][] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const colon = line.indexOf(':', 1);
      if (colon < 0)
        throw new ExtensionError('contract', `${JSON.stringify(line)} is no header line: write name: value`);
      return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    });
}
