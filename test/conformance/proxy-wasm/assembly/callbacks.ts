/** The callbacks of ABI 0.2.x. */
import { get_buffer_bytes } from "./host";
import { call } from "./host-0.2";
import { allocate, configure, opened, run, useVersion } from "./probe";

useVersion(call);


export function proxy_on_memory_allocate(size: i32): usize { return allocate(size); }
export function proxy_on_context_create(id: i32, parent: i32): void { if (parent != 0) opened(id); run(id, "on_context_create", parent == 0 ? "root" : "stream", 0); }
export function proxy_on_vm_start(id: i32, size: i32): i32 { return run(id, "on_vm_start", size.toString(), 1); }
export function proxy_on_configure(id: i32, size: i32): i32 {
  const out = heap.alloc(8);
  if (get_buffer_bytes(7, 0, 0x7fffffff, out, out + 4) == 0) configure(load<u32>(out), load<u32>(out + 4));
  return run(id, "on_configure", size.toString(), 1); }
export function proxy_on_tick(id: i32): void { run(id, "on_tick", "", 0); }
export function proxy_on_request_headers(id: i32, n: i32, end: i32): i32 { return run(id, "on_request_headers", n.toString() + " " + end.toString(), 0); }
export function proxy_on_request_body(id: i32, n: i32, end: i32): i32 { return run(id, "on_request_body", n.toString() + " " + end.toString(), 0); }
export function proxy_on_request_trailers(id: i32, n: i32): i32 { return run(id, "on_request_trailers", n.toString(), 0); }
export function proxy_on_response_headers(id: i32, n: i32, end: i32): i32 { return run(id, "on_response_headers", n.toString() + " " + end.toString(), 0); }
export function proxy_on_response_body(id: i32, n: i32, end: i32): i32 { return run(id, "on_response_body", n.toString() + " " + end.toString(), 0); }
export function proxy_on_response_trailers(id: i32, n: i32): i32 { return run(id, "on_response_trailers", n.toString(), 0); }
export function proxy_on_http_call_response(id: i32, call: i32, headers: i32, body: i32, trailers: i32): void { run(id, "on_http_call_response", headers.toString() + " " + body.toString() + " " + trailers.toString(), 0); }
export function proxy_on_grpc_receive_initial_metadata(id: i32, call: i32, n: i32): void { run(id, "on_grpc_receive_initial_metadata", n.toString(), 0); }
export function proxy_on_grpc_receive(id: i32, call: i32, size: i32): void { run(id, "on_grpc_receive", size.toString(), 0); }
export function proxy_on_grpc_receive_trailing_metadata(id: i32, call: i32, n: i32): void { run(id, "on_grpc_receive_trailing_metadata", n.toString(), 0); }
export function proxy_on_grpc_close(id: i32, call: i32, status: i32): void { run(id, "on_grpc_close", status.toString(), 0); }
export function proxy_on_queue_ready(id: i32, queue: i32): void { run(id, "on_queue_ready", "", 0); }
export function proxy_on_foreign_function(id: i32, fn: i32, size: i32): void { run(id, "on_foreign_function", size.toString(), 0); }
export function proxy_on_done(id: i32): i32 { return run(id, "on_done", "", 1); }
export function proxy_on_log(id: i32): void { run(id, "on_log", "", 0); }
export function proxy_on_delete(id: i32): void { run(id, "on_delete", "", 0); }
