/** The host functions that every version of the ABI has, by name. */
// @ts-ignore: decorator
@external("env", "proxy_log") export declare function log(level: i32, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_current_time_nanoseconds") declare function get_current_time_nanoseconds(out: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_set_tick_period_milliseconds") declare function set_tick_period_milliseconds(ms: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_buffer_bytes") export declare function get_buffer_bytes(kind: i32, start: i32, max: i32, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_set_buffer_bytes") declare function set_buffer_bytes(kind: i32, start: i32, size: i32, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_buffer_status") declare function get_buffer_status(kind: i32, size: usize, flags: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_header_map_size") declare function get_header_map_size(kind: i32, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_header_map_pairs") declare function get_header_map_pairs(kind: i32, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_set_header_map_pairs") declare function set_header_map_pairs(kind: i32, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_header_map_value") declare function get_header_map_value(kind: i32, kp: usize, kn: usize, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_add_header_map_value") export declare function add_header_map_value(kind: i32, kp: usize, kn: usize, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_replace_header_map_value") declare function replace_header_map_value(kind: i32, kp: usize, kn: usize, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_remove_header_map_value") declare function remove_header_map_value(kind: i32, kp: usize, kn: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_send_local_response") export declare function send_local_response(code: i32, dp: usize, dn: usize, bp: usize, bn: usize, hp: usize, hn: usize, grpc: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_status") declare function get_status(code: usize, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_http_call") declare function http_call(up: usize, un: usize, hp: usize, hn: usize, bp: usize, bn: usize, tp: usize, tn: usize, ms: i32, id: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_grpc_call") declare function grpc_call(up: usize, un: usize, sp: usize, sn: usize, mp: usize, mn: usize, hp: usize, hn: usize, bp: usize, bn: usize, ms: i32, id: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_grpc_stream") declare function grpc_stream(up: usize, un: usize, sp: usize, sn: usize, mp: usize, mn: usize, hp: usize, hn: usize, id: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_grpc_send") declare function grpc_send(id: i32, p: usize, n: usize, end: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_grpc_cancel") declare function grpc_cancel(id: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_grpc_close") declare function grpc_close(id: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_shared_data") declare function get_shared_data(kp: usize, kn: usize, p: usize, n: usize, cas: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_set_shared_data") declare function set_shared_data(kp: usize, kn: usize, p: usize, n: usize, cas: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_register_shared_queue") declare function register_shared_queue(p: usize, n: usize, id: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_resolve_shared_queue") declare function resolve_shared_queue(vp: usize, vn: usize, p: usize, n: usize, id: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_enqueue_shared_queue") declare function enqueue_shared_queue(id: i32, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_dequeue_shared_queue") declare function dequeue_shared_queue(id: i32, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_define_metric") declare function define_metric(kind: i32, p: usize, n: usize, id: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_record_metric") declare function record_metric(id: i32, value: i64): i32;
// @ts-ignore: decorator
@external("env", "proxy_increment_metric") declare function increment_metric(id: i32, value: i64): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_metric") declare function get_metric(id: i32, out: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_get_property") declare function get_property(kp: usize, kn: usize, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_set_property") declare function set_property(kp: usize, kn: usize, p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_set_effective_context") declare function set_effective_context(id: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_done") declare function done(): i32;
// @ts-ignore: decorator
@external("env", "proxy_call_foreign_function") declare function call_foreign_function(kp: usize, kn: usize, ap: usize, an: usize, p: usize, n: usize): i32;

/** Calls a host function with raw arguments; -1 stands for a name that is not there. */
export function call(name: string, a: StaticArray<i32>): i32 {
  if (name == "log") return log(a[0], a[1], a[2]);
  if (name == "get_current_time_nanoseconds") return get_current_time_nanoseconds(a[0]);
  if (name == "set_tick_period_milliseconds") return set_tick_period_milliseconds(a[0]);
  if (name == "get_buffer_bytes") return get_buffer_bytes(a[0], a[1], a[2], a[3], a[4]);
  if (name == "set_buffer_bytes") return set_buffer_bytes(a[0], a[1], a[2], a[3], a[4]);
  if (name == "get_buffer_status") return get_buffer_status(a[0], a[1], a[2]);
  if (name == "get_header_map_size") return get_header_map_size(a[0], a[1]);
  if (name == "get_header_map_pairs") return get_header_map_pairs(a[0], a[1], a[2]);
  if (name == "set_header_map_pairs") return set_header_map_pairs(a[0], a[1], a[2]);
  if (name == "get_header_map_value") return get_header_map_value(a[0], a[1], a[2], a[3], a[4]);
  if (name == "add_header_map_value") return add_header_map_value(a[0], a[1], a[2], a[3], a[4]);
  if (name == "replace_header_map_value") return replace_header_map_value(a[0], a[1], a[2], a[3], a[4]);
  if (name == "remove_header_map_value") return remove_header_map_value(a[0], a[1], a[2]);
  if (name == "send_local_response") return send_local_response(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
  if (name == "get_status") return get_status(a[0], a[1], a[2]);
  if (name == "http_call") return http_call(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]);
  if (name == "grpc_call") return grpc_call(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]);
  if (name == "grpc_stream") return grpc_stream(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]);
  if (name == "grpc_send") return grpc_send(a[0], a[1], a[2], a[3]);
  if (name == "grpc_cancel") return grpc_cancel(a[0]);
  if (name == "grpc_close") return grpc_close(a[0]);
  if (name == "get_shared_data") return get_shared_data(a[0], a[1], a[2], a[3], a[4]);
  if (name == "set_shared_data") return set_shared_data(a[0], a[1], a[2], a[3], a[4]);
  if (name == "register_shared_queue") return register_shared_queue(a[0], a[1], a[2]);
  if (name == "resolve_shared_queue") return resolve_shared_queue(a[0], a[1], a[2], a[3], a[4]);
  if (name == "enqueue_shared_queue") return enqueue_shared_queue(a[0], a[1], a[2]);
  if (name == "dequeue_shared_queue") return dequeue_shared_queue(a[0], a[1], a[2]);
  if (name == "define_metric") return define_metric(a[0], a[1], a[2], a[3]);
  if (name == "record_metric") return record_metric(a[0], <i64>a[1]);
  if (name == "increment_metric") return increment_metric(a[0], <i64>a[1]);
  if (name == "get_metric") return get_metric(a[0], a[1]);
  if (name == "get_property") return get_property(a[0], a[1], a[2], a[3]);
  if (name == "set_property") return set_property(a[0], a[1], a[2], a[3]);
  if (name == "set_effective_context") return set_effective_context(a[0]);
  if (name == "done") return done();
  if (name == "call_foreign_function") return call_foreign_function(a[0], a[1], a[2], a[3], a[4], a[5]);
  return -1;
}
