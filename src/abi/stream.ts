/** What a filter sees of the stream (one request and its response) that it serves. */
import type { HeaderMap } from './headers.ts';
import type { TlsInfo } from './tls.ts';

/** Facts of the stream. Fields that are not known yet are `undefined`, empty or 0. */
export interface StreamInfo {
  /** Unique in this process, counting from 1. */
  readonly id: number;
  readonly listener: string;
  /** Of the client's connection, unique in this process, counting from 1. */
  readonly connectionId: number;
  /** `HTTP/1.1` or `HTTP/1.0`. */
  readonly protocol: string;
  /** Of the client's connection; `undefined` on a plain one. */
  readonly tls: TlsInfo | undefined;
  /** `ip:port` of the peer. */
  readonly downstreamRemoteAddress: string;
  /** `ip:port` that the peer connected to. */
  readonly downstreamLocalAddress: string;
  /** Milliseconds since the epoch when the request's head had arrived. */
  readonly startTime: number;
  /** Milliseconds from then until now, or until the stream's end. */
  readonly duration: number;
  readonly virtualHost: string;
  readonly route: string;
  readonly cluster: string;
  /** `address:port` of the chosen endpoint. */
  readonly endpoint: string;
  /** `ip:port` of this side of the connection to the endpoint; empty until there is one. */
  readonly upstreamLocalAddress: string;
  /** The status sent downstream; 0 until then. */
  readonly responseCode: number;
  /** Why the response is what it is, e.g. `via_upstream`, `route_not_found` (Envoy: `%RESPONSE_CODE_DETAILS%`). */
  readonly responseCodeDetails: string;
  /** Envoy's short flags, e.g. `NR`, `UF`; empty for an ordinary response. */
  readonly responseFlags: readonly string[];
  /** Body bytes received from the client. */
  readonly bytesReceived: number;
  /** Body bytes sent to the client. */
  readonly bytesSent: number;
}

/** A JSON value: what metadata holds, and what a configuration gives to a filter. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Metadata that filters leave for each other and for the access log, by namespace (usually the filter's name). */
export interface DynamicMetadata {
  get(namespace: string): Readonly<Record<string, Json>> | undefined;
  /** The namespaces that have values, in the order in which they got the first. */
  namespaces(): string[];
  set(namespace: string, key: string, value: Json): void;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'critical';

/** Log lines carry the filter's name and the stream's id. */
export interface Log {
  /** Whether a message of that level is written. */
  isEnabled(level: LogLevel): boolean;
  trace(message: string): void;
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  critical(message: string): void;
}

/** A request that a filter sends through one of Weir's clusters. */
export interface CallRequest {
  /** Must hold `:method`, `:path` and `:authority`. */
  headers: HeaderMap;
  body?: Uint8Array;
  /** Make the body chunked. */
  trailers?: HeaderMap;
  /** Milliseconds until the call is given up; default 5,000. */
  timeout?: number;
}

export interface CallResponse {
  headers: HeaderMap;
  body: Uint8Array;
  trailers: HeaderMap | undefined;
}

/** The handle of one filter on one stream; dead after `onDestroy`. */
export interface Stream {
  readonly info: StreamInfo;
  readonly requestHeaders: HeaderMap;
  /** `undefined` until there is a response. */
  readonly responseHeaders: HeaderMap | undefined;
  /** What this filter had kept by `StopAndBuffer` on the request side, the chunk of the running hook included. */
  readonly requestBody: Uint8Array;
  /** The same on the response side. */
  readonly responseBody: Uint8Array;
  readonly metadata: DynamicMetadata;
  /** Objects that filters of this stream share, by name. */
  readonly filterState: Map<string, unknown>;
  /** The `metadata:` of the matched route, by namespace. */
  readonly routeMetadata: Readonly<Record<string, Json>>;
  /** The `metadata:` of the matched route's virtual host, by namespace. */
  readonly virtualHostMetadata: Readonly<Record<string, Json>>;
  /** This filter's `config:` of the matched route or virtual host; `undefined` when there is none. */
  readonly routeConfig: Json | undefined;
  /**
   * All settings of the matched route or virtual host for this filter, as they stand in the configuration: the same object that
   * `validateRouteSettings` got. `undefined` when there are none.
   */
  readonly routeSettings: Readonly<Record<string, Json>> | undefined;
  readonly log: Log;

  /**
   * Puts `body` in the place of the whole request body that this filter holds, the piece of the running body hook included.
   * While it holds the headers too, `content-length` follows, and a request that had no body gets one.
   * @throws ExtensionError (`contract`) when it holds neither headers nor a body.
   */
  setRequestBody(body: Uint8Array): void;
  /** The same on the response side. */
  setResponseBody(body: Uint8Array): void;
  /** Ends a `Stop` of this filter on the request side; what it held goes on to the next filter. */
  continueRequest(): void;
  /** Ends a `Stop` of this filter on the response side. */
  continueResponse(): void;
  /**
   * Answers with a *local reply*: no request hook runs any more, the response filters do. On the response side, while the
   * response's headers are still held, it takes the place of the upstream's response for the filters that follow.
   * `content-length` is set from the body; `content-type` is `text/plain` unless given. A gRPC request gets status 200 and
   * `grpc-status`: the given one, or the one that stands for the HTTP status; the body becomes `grpc-message`.
   * @throws ExtensionError (`contract`) when the response has started.
   */
  respond(
    status: number,
    headers?: Iterable<readonly [string, string]>,
    body?: Uint8Array | string,
    details?: string,
    grpcStatus?: number,
  ): void;
  /** Matches the route again before the next filter runs. Without effect once the request has gone on to the upstream. */
  clearRouteCache(): void;
  /**
   * Sends the request to that endpoint of its cluster, `ip` or `ip:port`, when it has it. Otherwise the load balancer chooses; with
   * `strict` the answer is 503.
   */
  overrideEndpoint(address: string, strict: boolean): void;
  /** Closes the client's connection after this response (`connection: close`). */
  drainConnection(): void;
  /** The phrase beside the status of an HTTP/1.1 response, instead of the usual one. Only while its head has not been sent. @throws ExtensionError (`contract`) when it holds a control character. */
  setReasonPhrase(phrase: string): void;
  /** Ends the stream with no answer: the connection is closed. */
  reset(): void;
  /**
   * Sends a request through a cluster. A failure of the network is an answer too: 503 or 504, as Envoy's `httpCall` gives it.
   * @throws ExtensionError (`contract`) when the cluster is unknown or a pseudo-header is missing.
   */
  call(cluster: string, request: CallRequest): Promise<CallResponse>;
  /** Runs `callback` once after `ms` milliseconds unless the stream ends first; returns a function that cancels it. */
  setTimer(ms: number, callback: () => void): () => void;
}
