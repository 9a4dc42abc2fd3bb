/** The doorway for everything that extends Weir: filters, their factories and the runtimes that load them. */
import type { AccessLogger } from './access-log.ts';
import type { HeaderMap } from './headers.ts';
import type { LoadBalancer } from './load-balancer.ts';
import type { Plugin, PluginSpec } from './plugin.ts';
import type { CallRequest, CallResponse, Json, Log, Stream, StreamInfo } from './stream.ts';
import type { CertificateProvider } from './tls.ts';

/**
 * What a hook says of the stream. A hook that returns nothing says `Continue`. The values are their own names, so that a
 * filter may also return the plain string.
 */
export const FilterStatus = {
  /** Go on to the next filter. After a `StopAndBuffer`, what was kept goes on too. */
  Continue: 'Continue',
  /** Hold the stream here; no hook of this side runs until `continueRequest()` / `continueResponse()`, `respond()` or `reset()`. */
  Stop: 'Stop',
  /** Hold the headers, or keep this chunk; this filter's body hooks go on being called. (Envoy: `StopIteration`, `StopIterationAndBuffer`.) */
  StopAndBuffer: 'StopAndBuffer',
  /** Body hooks: the filter took the chunk, and nothing of it goes on. */
  StopNoBuffer: 'StopNoBuffer',
  /** Request headers, after-route phase: match the route again, then run this filter again. At most 10 times a stream. */
  RematchRoute: 'RematchRoute',
  /** Request headers, after-choose-endpoint phase: choose another endpoint, then run this filter again. At most 10 times. */
  RechooseEndpoint: 'RechooseEndpoint',
} as const;
export type FilterStatus = (typeof FilterStatus)[keyof typeof FilterStatus];

/** What a hook may return: a status, nothing (`Continue`), or a promise of one. */
export type HookResult = FilterStatus | undefined | void | Promise<FilterStatus | undefined | void>;
/** A body hook may also return bytes, which go on in the place of the chunk (of all that was kept, after `StopAndBuffer`). */
export type BodyHookResult =
  | FilterStatus
  | Uint8Array
  | undefined
  | void
  | Promise<FilterStatus | Uint8Array | undefined | void>;

/**
 * A filter of one stream. Every hook is optional, and hooks of one stream never overlap. A hook that throws, or whose promise
 * rejects, is an `ExtensionError` and gets the entry's `on_error` policy.
 */
export interface StreamFilter {
  /** When: the request's head has arrived, in the filter's phase. May: edit headers, stop, respond. `endStream`: there is no body. */
  onRequestHeaders?(headers: HeaderMap, endStream: boolean): HookResult;
  /** When: body bytes have arrived and the headers have passed this filter (or it holds them by `StopAndBuffer`). */
  onRequestBody?(chunk: Uint8Array, endStream: boolean): BodyHookResult;
  /** When: the request ends with trailers; the last body hook then had `endStream` false. */
  onRequestTrailers?(trailers: HeaderMap): HookResult;
  /** When: the response's head, from the upstream or a local reply, reaches this filter (last filter first). */
  onResponseHeaders?(headers: HeaderMap, endStream: boolean): HookResult;
  onResponseBody?(chunk: Uint8Array, endStream: boolean): BodyHookResult;
  onResponseTrailers?(trailers: HeaderMap): HookResult;
  /** When: after the last byte or the reset, for logs. Can't change anything. */
  onComplete?(info: StreamInfo): void;
  /** When: always, exactly once, as the last call. */
  onDestroy?(): void;
}

/** When the request hooks run. Default: `after-route`, so that per-route settings hold from the first hook on. */
export type FilterPhase = 'before-route' | 'after-route' | 'after-choose-endpoint';

/** What becomes of a request when a filter fails. */
export interface FailurePolicy {
  readonly onError?: 'fail_closed' | 'fail_open';
  readonly status?: number;
  readonly body?: string;
}

/** Made once per config entry per listener (and worker), never shared between entries. */
export interface StreamFilterFactory {
  /** The phase unless the configuration names one. */
  readonly phase?: FilterPhase;
  /** Match the route again after this filter when it changed a header (Envoy's `clear_route_cache`). */
  readonly clearsRouteCache?: boolean;
  /** What becomes of a request when the filter fails, where the configuration does not say it. Default: closed, with 500 and a line of text. */
  readonly failure?: FailurePolicy;
  /** Keys that a route's or virtual host's settings for this filter may have besides `disabled` and `config`. */
  readonly routeOptions?: readonly string[];
  /** Called at the start of a stream. A filter that keeps no state may be one object for all streams. */
  create(stream: Stream): StreamFilter;
  /** Checks a route's or virtual host's `config:` for this filter when the configuration is loaded. @throws FilterConfigError */
  validateRouteConfig?(config: Json): void;
  /** The same for all settings of a route, or else of its virtual host, for this filter. @throws FilterConfigError */
  validateRouteSettings?(settings: Readonly<Record<string, Json>>): void;
  /** When: the configuration was replaced and the last stream that used it has ended. */
  close?(): void;
}

/** The fixed name that a dynamically loaded module exports. @throws FilterConfigError when `config` is bad. */
export type CreateStreamFilterFactory = (
  config: Json,
  host: FilterHost,
) => StreamFilterFactory | Promise<StreamFilterFactory>;

/** A number that only grows. */
export interface Counter {
  /** In this worker. */
  readonly value: number;
  add(amount?: number): void;
}
export interface Gauge {
  /** In this worker. */
  readonly value: number;
  set(value: number): void;
  add(amount: number): void;
}
export interface Histogram {
  observe(value: number): void;
}

/** A value that workers share, and the number that its last change got. */
export interface SharedEntry {
  value: string;
  /** For `compareAndSet`; never 0. */
  version: number;
}

/**
 * A key-value store over all workers. Keys and values are strings of the code points 0–255; a time to live is in milliseconds. What
 * writes throws when the store is full.
 */
export interface SharedData {
  get(key: string): SharedEntry | undefined;
  set(key: string, value: string, ttl?: number): void;
  /** Whether there was one. */
  delete(key: string): boolean;
  /** Adds to a number, 0 at first; `ttl` counts from the first one on. Gives the sum. */
  increment(key: string, by: number, ttl?: number): number;
  /** Sets the value if its version is still that; 0 stands for no value. */
  compareAndSet(key: string, version: number, value: string, ttl?: number): boolean;
}

/** A gRPC method to call. Source: gRPC over HTTP/2. */
export interface GrpcRequest {
  /** Full name, e.g. `helloworld.Greeter`. */
  service: string;
  method: string;
  metadata: HeaderMap;
  /** Milliseconds until the call is given up; none by default. */
  timeout?: number | undefined;
}

/** What comes back, in this order; messages are the bytes of their protobuf encoding, usually. */
export interface GrpcHandler {
  onInitialMetadata(metadata: HeaderMap): void;
  onMessage(message: Uint8Array): void;
  onTrailingMetadata(metadata: HeaderMap): void;
  /** Always, as the last one: gRPC's status code and message; 14 (unavailable) when the network failed. */
  onClose(code: number, message: string): void;
}

export interface GrpcStream {
  send(message: Uint8Array, end: boolean): void;
  /** No message follows. */
  end(): void;
  /** Ends both sides; nothing of the handler is called any more. */
  cancel(): void;
}

/** What a factory gets of Weir: its name, its log, its metrics and what workers share. */
export interface FilterHost {
  /** The entry's `name:`, by default the last part of its `use:`. */
  readonly name: string;
  readonly listener: string;
  readonly log: Log;
  /** Makes or finds the metric `weir_filter_<name>` with labels `filter` and `listener`. Names match `[a-z_][a-z0-9_]*`. */
  counter(name: string): Counter;
  gauge(name: string): Gauge;
  histogram(name: string): Histogram;
  /** The data that workers share under that name. */
  shared(name: string): SharedData;
  /**
   * Sends a request through a cluster, outside of any stream. As `Stream.call`, but the stream's end does not end it.
   * @throws ExtensionError (`contract`) when the cluster is unknown or a pseudo-header is missing.
   */
  call(cluster: string, request: CallRequest): Promise<CallResponse>;
  /**
   * Opens a gRPC stream through a cluster (HTTP/2 without TLS). Nothing of the handler is called before this returns.
   * @throws ExtensionError (`contract`) when the cluster is unknown.
   */
  grpc(cluster: string, request: GrpcRequest, handler: GrpcHandler): GrpcStream;
  /**
   * Starts a program as Weir's child, or joins those who use the same one. Close it when the factory is closed. What goes wrong shows in
   * `started` and `problem`.
   */
  plugin(spec: PluginSpec): Plugin;
  /** Makes a change of this file reload the configuration, as a change of the script itself does. */
  watch(file: string): void;
}

/** Per-hook and per-stream limits of one entry. */
export interface FilterLimits {
  /** Instructions of a hook. Default: 1,000,000 in Lua, 20,000,000 in WebAssembly. */
  readonly instructions: number | undefined;
  /** Bytes: of a module's memory, or of what a Lua script's run adds and its globals hold. Default: 16 MiB in Lua, 64 MiB in WebAssembly. */
  readonly memory: number | undefined;
  /** Milliseconds that one `Stop`, or one promise, may hold a stream. Default 5,000. */
  readonly time: number;
}

/** One config entry as its runtime gets it. */
export interface FilterSpec {
  readonly name: string;
  /** What the entry names: a path as it was written, a built-in's name, or '' for an inline source. */
  readonly use: string;
  /** The absolute path of the file, when `use` is one. */
  readonly file: string | undefined;
  /** The text of an inline source. */
  readonly source: string | undefined;
  readonly config: Json;
  /** The entry's keys that are the runtime's own (`FilterRuntime.options`). */
  readonly options: Readonly<Record<string, Json>>;
  readonly limits: FilterLimits;
  /** What relative paths of the entry start from. */
  readonly directory: string;
}

/** A file that the adapter asks the runtimes about. */
export interface SniffedFile {
  readonly path: string;
  /** The whole file. */
  readonly bytes: Uint8Array;
}

/** The kinds of extension besides stream filters. */
export interface Extensions {
  accessLogger: AccessLogger;
  certificateProvider: CertificateProvider;
  loadBalancer: LoadBalancer;
}

/** An adapter: it turns config entries of one kind into factories. */
export interface FilterRuntime {
  readonly name: string;
  /** Keys of an entry that this runtime reads, besides those that every entry has. */
  readonly options?: readonly string[];
  /** Whether this runtime runs that file, when the entry names no `runtime:`. */
  sniff(file: SniffedFile): boolean;
  /** Whether this runtime has a built-in of that name. */
  provides?(name: string): boolean;
  /** Names of its built-ins, for "did you mean". */
  readonly builtins?: readonly string[];
  /** @throws FilterConfigError */
  load(spec: FilterSpec, host: FilterHost): StreamFilterFactory | Promise<StreamFilterFactory>;
  /** How it makes extensions of other kinds, where it can. @throws FilterConfigError */
  readonly extensions?: {
    readonly [K in keyof Extensions]?: (spec: FilterSpec, host: FilterHost) => Extensions[K] | Promise<Extensions[K]>;
  };
  close?(): void;
}
