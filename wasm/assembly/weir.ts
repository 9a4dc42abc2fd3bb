/**
 * Weir's library for filters written in AssemblyScript.
 *
 * A filter is a module that exports the hooks that it wants, of these:
 *
 *   configure(config: string): string                  once; `config` is the entry's `config:` as JSON; return "" or what is wrong
 *   onRequestHeaders(stream: Stream, endStream: bool): Status
 *   onRequestBody(stream: Stream, endStream: bool): Status       the piece is `stream.requestBody`
 *   onRequestTrailers(stream: Stream): Status
 *   onResponseHeaders, onResponseBody, onResponseTrailers        the same for the response
 *   onTimer(stream: Stream, timer: i32): void          what `stream.setTimer` asked for
 *   onCallResponse(stream: Stream, call: i32): void    what `stream.call` asked for; see `CallResponse`
 *   onComplete(stream: Stream): void
 *   onDestroy(stream: Stream): void                    drop what you keep by `stream.id`
 *
 * The meaning of each is in Weir's src/abi/README.md.
 */

/** What a hook says of the stream. */
export enum Status {
  Continue = 0,
  Stop = 1,
  StopAndBuffer = 2,
  StopNoBuffer = 3,
  RematchRoute = 4,
  RechooseEndpoint = 5,
}

export enum LogLevel {
  Trace = 0,
  Debug = 1,
  Info = 2,
  Warn = 3,
  Error = 4,
  Critical = 5,
}

enum MapKind {
  RequestHeaders = 0,
  ResponseHeaders = 1,
  RequestTrailers = 2,
  ResponseTrailers = 3,
  CallResponseHeaders = 4,
}

// @ts-ignore: decorator
@external("weir", "header_get")
declare function header_get(stream: usize, map: i32, name: string): string | null;
// @ts-ignore: decorator
@external("weir", "header_set")
declare function header_set(stream: usize, map: i32, name: string, value: string): void;
// @ts-ignore: decorator
@external("weir", "header_add")
declare function header_add(stream: usize, map: i32, name: string, value: string): void;
// @ts-ignore: decorator
@external("weir", "header_remove")
declare function header_remove(stream: usize, map: i32, name: string): void;
// @ts-ignore: decorator
@external("weir", "header_count")
declare function header_count(stream: usize, map: i32): i32;
// @ts-ignore: decorator
@external("weir", "header_name_at")
declare function header_name_at(stream: usize, map: i32, index: i32): string;
// @ts-ignore: decorator
@external("weir", "header_value_at")
declare function header_value_at(stream: usize, map: i32, index: i32): string;
// @ts-ignore: decorator
@external("weir", "body_get")
declare function body_get(stream: usize, response: i32): ArrayBuffer;
// @ts-ignore: decorator
@external("weir", "body_set")
declare function body_set(stream: usize, response: i32, body: ArrayBuffer): void;
// @ts-ignore: decorator
@external("weir", "respond")
declare function host_respond(stream: usize, status: i32, headers: string, body: string): void;
// @ts-ignore: decorator
@external("weir", "continue")
declare function host_continue(stream: usize, response: i32): void;
// @ts-ignore: decorator
@external("weir", "reset")
declare function host_reset(stream: usize): void;
// @ts-ignore: decorator
@external("weir", "log")
declare function host_log(stream: usize, level: i32, message: string): void;
// @ts-ignore: decorator
@external("weir", "info_get")
declare function info_get(stream: usize, name: string): string | null;
// @ts-ignore: decorator
@external("weir", "route_config")
declare function route_config(stream: usize): string;
// @ts-ignore: decorator
@external("weir", "metadata_get")
declare function metadata_get(stream: usize, namespace: string, key: string): string | null;
// @ts-ignore: decorator
@external("weir", "metadata_set")
declare function metadata_set(stream: usize, namespace: string, key: string, value: string): void;
// @ts-ignore: decorator
@external("weir", "set_timer")
declare function host_set_timer(stream: usize, milliseconds: i32): i32;
// @ts-ignore: decorator
@external("weir", "call")
declare function host_call(stream: usize, cluster: string, headers: string, body: ArrayBuffer, timeout: i32): i32;
// @ts-ignore: decorator
@external("weir", "call_body")
declare function call_body(stream: usize): ArrayBuffer;

// @ts-ignore: decorator
@external("weir", "clear_route_cache")
declare function clear_route_cache(stream: usize): void;
// @ts-ignore: decorator
@external("weir", "override_endpoint")
declare function override_endpoint(stream: usize, address: string, strict: bool): void;
// @ts-ignore: decorator
@external("weir", "drain_connection")
declare function drain_connection(stream: usize): void;
// @ts-ignore: decorator
@external("weir", "set_reason_phrase")
declare function set_reason_phrase(stream: usize, phrase: string): void;
// @ts-ignore: decorator
@external("weir", "metric_record")
declare function metric_record(kind: i32, name: string, value: f64): void;
// @ts-ignore: decorator
@external("weir", "metric_value")
declare function metric_value(kind: i32, name: string): f64;
// @ts-ignore: decorator
@external("weir", "shared_get")
declare function shared_get(store: string, key: string): string | null;
// @ts-ignore: decorator
@external("weir", "shared_version")
declare function shared_version(store: string, key: string): i32;
// @ts-ignore: decorator
@external("weir", "shared_set")
declare function shared_set(store: string, key: string, value: string, ttl: f64): void;
// @ts-ignore: decorator
@external("weir", "shared_delete")
declare function shared_delete(store: string, key: string): bool;
// @ts-ignore: decorator
@external("weir", "shared_increment")
declare function shared_increment(store: string, key: string, by: f64, ttl: f64): f64;
// @ts-ignore: decorator
@external("weir", "shared_compare_and_set")
declare function shared_compare_and_set(store: string, key: string, version: i32, value: string, ttl: f64): bool;

/** Metrics of this filter, `weir_filter_<name>`; names are of lower-case letters, digits and _. Values are this worker's. */
export namespace metrics {
  export function count(name: string, amount: f64 = 1): void {
    metric_record(0, name, amount);
  }
  export function setGauge(name: string, value: f64): void {
    metric_record(1, name, value);
  }
  export function observe(name: string, value: f64): void {
    metric_record(2, name, value);
  }
  export function counterValue(name: string): f64 {
    return metric_value(0, name);
  }
  export function gaugeValue(name: string): f64 {
    return metric_value(1, name);
  }
}

/** A key-value store that all workers share, by name. `ttl` is in milliseconds, 0 for no end. */
export class SharedData {
  constructor(private name: string) {}

  get(key: string): string | null {
    return shared_get(this.name, key);
  }
  /** For `compareAndSet`; 0 when there is no value. */
  version(key: string): i32 {
    return shared_version(this.name, key);
  }
  set(key: string, value: string, ttl: f64 = 0): void {
    shared_set(this.name, key, value, ttl);
  }
  /** Whether there was one. */
  delete(key: string): bool {
    return shared_delete(this.name, key);
  }
  /** Adds to a number, 0 at first; gives the sum. `ttl` counts from the first one on. */
  increment(key: string, by: f64 = 1, ttl: f64 = 0): f64 {
    return shared_increment(this.name, key, by, ttl);
  }
  /** Sets the value if its version is still that. */
  compareAndSet(key: string, version: i32, value: string, ttl: f64 = 0): bool {
    return shared_compare_and_set(this.name, key, version, value, ttl);
  }
}

/** The header fields of a request or a response; pseudo-headers (`:path`) are among them. Names compare without case. */
export class Headers {
  constructor(
    private stream: usize,
    private map: i32,
  ) {}

  /** The value, or null; several fields of one name are joined by a comma. */
  get(name: string): string | null {
    return header_get(this.stream, this.map, name);
  }
  /** Puts `value` in the place of all fields of that name. */
  set(name: string, value: string): void {
    header_set(this.stream, this.map, name, value);
  }
  add(name: string, value: string): void {
    header_add(this.stream, this.map, name, value);
  }
  remove(name: string): void {
    header_remove(this.stream, this.map, name);
  }
  get size(): i32 {
    return header_count(this.stream, this.map);
  }
  /** The name of field `index`, from 0 on, in lower case. */
  nameAt(index: i32): string {
    return header_name_at(this.stream, this.map, index);
  }
  valueAt(index: i32): string {
    return header_value_at(this.stream, this.map, index);
  }
}

/** The answer to a call, within `onCallResponse`. */
export class CallResponse {
  headers: Headers;
  body: ArrayBuffer;

  constructor(stream: Stream) {
    this.headers = new Headers(stream.id, MapKind.CallResponseHeaders);
    this.body = call_body(stream.id);
  }
}

/** One request and its response. The value is a number: it may be kept, and compared. */
@final
@unmanaged
export class Stream {
  /** Unique within the worker. */
  get id(): usize {
    return changetype<usize>(this);
  }
  get requestHeaders(): Headers {
    return new Headers(this.id, MapKind.RequestHeaders);
  }
  get responseHeaders(): Headers {
    return new Headers(this.id, MapKind.ResponseHeaders);
  }
  /** Within `onRequestTrailers`. */
  get requestTrailers(): Headers {
    return new Headers(this.id, MapKind.RequestTrailers);
  }
  /** Within `onResponseTrailers`. */
  get responseTrailers(): Headers {
    return new Headers(this.id, MapKind.ResponseTrailers);
  }
  /** Within `onRequestBody`: the piece, or after `StopAndBuffer` all that was kept. */
  get requestBody(): ArrayBuffer {
    return body_get(this.id, 0);
  }
  get responseBody(): ArrayBuffer {
    return body_get(this.id, 1);
  }
  /**
   * Within a body hook: these bytes go on in the place of the piece, or of all that was kept. Within a trailers hook, after
   * `StopAndBuffer`: in the place of all that was kept (a body that trailers follow has no last piece).
   */
  replaceRequestBody(body: ArrayBuffer): void {
    body_set(this.id, 0, body);
  }
  replaceResponseBody(body: ArrayBuffer): void {
    body_set(this.id, 1, body);
  }
  /** Answers with a local reply. `headers`: lines `name: value`. */
  respond(status: i32, body: string = "", headers: string = ""): void {
    host_respond(this.id, status, headers, body);
  }
  continueRequest(): void {
    host_continue(this.id, 0);
  }
  continueResponse(): void {
    host_continue(this.id, 1);
  }
  /** Matches the route again before the next filter runs. */
  clearRouteCache(): void {
    clear_route_cache(this.id);
  }
  /** Sends the request to that endpoint of its cluster, `ip` or `ip:port`; with `strict` the answer is 503 when it is not there. */
  overrideEndpoint(address: string, strict: bool = false): void {
    override_endpoint(this.id, address, strict);
  }
  /** Closes the client's connection after this response. */
  drainConnection(): void {
    drain_connection(this.id);
  }
  /** The phrase beside the status, instead of the usual one. */
  setReasonPhrase(phrase: string): void {
    set_reason_phrase(this.id, phrase);
  }
  /** Ends the stream with no answer. */
  reset(): void {
    host_reset(this.id);
  }
  log(level: LogLevel, message: string): void {
    host_log(this.id, level, message);
  }
  /** A fact of the stream by its name in Weir's StreamInfo, e.g. `route`, `downstreamRemoteAddress`; null when unknown. */
  info(name: string): string | null {
    return info_get(this.id, name);
  }
  /** This filter's `config:` of the matched route, as JSON; "" when there is none. */
  get routeConfig(): string {
    return route_config(this.id);
  }
  /** A metadata value as JSON, or null. */
  getMetadata(namespace: string, key: string): string | null {
    return metadata_get(this.id, namespace, key);
  }
  /** `value` is JSON. */
  setMetadata(namespace: string, key: string, value: string): void {
    metadata_set(this.id, namespace, key, value);
  }
  /** Calls `onTimer` once, with the number that this returns. */
  setTimer(milliseconds: i32): i32 {
    return host_set_timer(this.id, milliseconds);
  }
  /** Sends a request through a cluster; `onCallResponse` gets the number that this returns. `headers`: lines `name: value`. */
  call(cluster: string, headers: string, body: ArrayBuffer = new ArrayBuffer(0), timeout: i32 = 5000): i32 {
    return host_call(this.id, cluster, headers, body, timeout);
  }
}
