/** The canonical conformance filters for Proxy-Wasm in AssemblyScript, without any library; `config: { case: NAME }` chooses one. */
// @ts-ignore: decorator
@external("env", "proxy_get_buffer_bytes")
declare function get_buffer_bytes(kind: i32, start: i32, max: i32, data: usize, size: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_set_buffer_bytes")
declare function set_buffer_bytes(kind: i32, start: i32, size: i32, data: usize, length: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_header_map_value")
declare function get_header(map: i32, key: usize, keySize: i32, value: usize, size: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_add_header_map_value")
declare function add_header(map: i32, key: usize, keySize: i32, value: usize, size: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_replace_header_map_value")
declare function replace_header(map: i32, key: usize, keySize: i32, value: usize, size: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_send_local_response")
declare function send_local_response(code: i32, details: usize, detailsSize: i32, body: usize, bodySize: i32, headers: usize, headersSize: i32, grpc: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_http_call")
declare function http_call(upstream: usize, upstreamSize: i32, headers: usize, headersSize: i32, body: usize, bodySize: i32, trailers: usize, trailersSize: i32, timeout: i32, id: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_set_effective_context")
declare function set_effective_context(id: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_continue_stream")
declare function continue_stream(stream: i32): i32;

const places = memory.data(16);
let chosen = "";
const waiting = new Map<i32, i32>();

export function proxy_abi_version_0_2_1(): void {}

/** What the host was given is freed when it was read: `text` and `uppercase`. */
export function proxy_on_memory_allocate(size: i32): usize {
  return heap.alloc(size);
}

function text(): string {
  const at = <usize>load<u32>(places);
  const size = load<u32>(places + 4);
  const result = String.UTF8.decodeUnsafe(at, size);
  if (size > 0) heap.free(at);
  return result;
}

function bytes(value: string): ArrayBuffer {
  return String.UTF8.encode(value);
}

function add(map: i32, name: string, value: string): void {
  const key = bytes(name);
  const data = bytes(value);
  add_header(map, changetype<usize>(key), key.byteLength, changetype<usize>(data), data.byteLength);
}

function header(map: i32, name: string): string {
  const key = bytes(name);
  return get_header(map, changetype<usize>(key), key.byteLength, places, places + 4) == 0 ? text() : "";
}

function pairs(fields: string[]): ArrayBuffer {
  let size = 4;
  for (let i = 0; i < fields.length; i++) size += 5 + String.UTF8.byteLength(fields[i]);
  const buffer = new ArrayBuffer(size);
  const base = changetype<usize>(buffer);
  store<u32>(base, fields.length / 2);
  let at = base + 4 + 4 * fields.length;
  for (let i = 0; i < fields.length; i++) {
    const field = bytes(fields[i]);
    store<u32>(base + 4 + 4 * i, field.byteLength);
    memory.copy(at, changetype<usize>(field), field.byteLength);
    at += field.byteLength + 1;
  }
  return buffer;
}

export function proxy_on_configure(id: i32, size: i32): i32 {
  get_buffer_bytes(7, 0, size, places, places + 4);
  const config = text();
  const known = ["add-header", "local-reply", "pause-resume", "rewrite-body", "trailers", "throw", "run-away"];
  for (let i = 0; i < known.length; i++) {
    if (config.includes('"case":"' + known[i] + '"')) {
      chosen = known[i];
      return 1;
    }
  }
  return 0;
}

export function proxy_on_request_headers(id: i32, count: i32, end: i32): i32 {
  if (chosen == "add-header") add(0, "x-request-mark", "seen");
  if (chosen == "local-reply" && header(0, "user") != "admin") {
    const body = bytes("denied");
    const headers = pairs(["x-reason", "not admin"]);
    send_local_response(403, 0, 0, changetype<usize>(body), body.byteLength, changetype<usize>(headers), headers.byteLength, -1);
    return 1;
  }
  if (chosen == "pause-resume") {
    const upstream = bytes("aux");
    const headers = pairs([":method", "GET", ":path", "/check", ":authority", "aux"]);
    http_call(changetype<usize>(upstream), upstream.byteLength, changetype<usize>(headers), headers.byteLength, 0, 0, 0, 0, 5000, places + 8);
    waiting.set(load<i32>(places + 8), id);
    return 1;
  }
  if (chosen == "throw") throw new Error("thrown on purpose");
  if (chosen == "run-away") {
    while (true) {}
  }
  return 0;
}

export function proxy_on_http_call_response(root: i32, call: i32, headers: i32, body: i32, trailers: i32): void {
  const status = bytes(header(6, ":status"));
  set_effective_context(waiting.get(call));
  waiting.delete(call);
  const key = bytes("x-checked");
  replace_header(0, changetype<usize>(key), key.byteLength, changetype<usize>(status), status.byteLength);
  continue_stream(0);
}

function uppercase(kind: i32, size: i32): void {
  get_buffer_bytes(kind, 0, size, places, places + 4);
  const body = bytes(text().toUpperCase());
  set_buffer_bytes(kind, 0, size, changetype<usize>(body), body.byteLength);
}

export function proxy_on_request_body(id: i32, size: i32, end: i32): i32 {
  if (chosen != "rewrite-body") return 0;
  if (!end) return 1;
  uppercase(0, size);
  return 0;
}

export function proxy_on_request_trailers(id: i32, count: i32): i32 {
  if (chosen == "trailers") add(1, "x-request-mark", "seen");
  return 0;
}

export function proxy_on_response_headers(id: i32, count: i32, end: i32): i32 {
  if (chosen == "add-header" || chosen == "local-reply") add(2, "x-response-mark", "seen");
  return 0;
}

export function proxy_on_response_body(id: i32, size: i32, end: i32): i32 {
  if (chosen == "rewrite-body") uppercase(1, size);
  return 0;
}

export function proxy_on_response_trailers(id: i32, count: i32): i32 {
  if (chosen == "trailers") add(3, "x-response-mark", "seen");
  return 0;
}

export function abort(message: usize, file: usize, line: u32, column: u32): void {
  unreachable();
}
