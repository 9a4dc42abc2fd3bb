/** Lets requests pass that have the header `user: admin`; others get 403. The ABI's functions are imported by hand. */
// @ts-expect-error: decorator
@external("env", "proxy_get_header_map_value")
declare function get_header(map: i32, key: usize, keySize: usize, value: usize, size: usize): i32;
// @ts-expect-error: decorator
@external("env", "proxy_send_local_response")
declare function send_local_response(code: i32, details: usize, detailsSize: usize, body: usize, bodySize: usize, headers: usize, headersSize: usize, grpc: i32): i32;

const REQUEST_HEADERS = 0;
const NAME = String.UTF8.encode("user");
const WANTED = String.UTF8.encode("admin");
const BODY = String.UTF8.encode("forbidden\n");
/** Where the host writes a pointer and a length, and values: each is read before the next is asked for. */
const places = memory.data(8);
let scratch = heap.alloc(4096);
let scratchSize = 4096;

export function proxy_abi_version_0_2_1(): void {}

export function proxy_on_memory_allocate(size: i32): usize {
  if (size > scratchSize) {
    heap.free(scratch);
    scratch = heap.alloc(size);
    scratchSize = size;
  }
  return scratch;
}

export function proxy_on_request_headers(context: i32, count: i32, end: i32): i32 {
  const status = get_header(REQUEST_HEADERS, changetype<usize>(NAME), NAME.byteLength, places, places + 4);
  const size = load<u32>(places + 4);
  if (status == 0 && size == WANTED.byteLength && memory.compare(load<u32>(places), changetype<usize>(WANTED), size) == 0) return 0;
  send_local_response(403, 0, 0, changetype<usize>(BODY), BODY.byteLength, 0, 0, -1);
  return 1;
}

export function abort(message: usize, file: usize, line: u32, column: u32): void {
  unreachable();
}
