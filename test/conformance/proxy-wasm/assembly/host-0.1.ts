/** The host functions that only ABI 0.1.0 has. */
// @ts-ignore: decorator
@external("env", "proxy_get_configuration") export declare function get_configuration(p: usize, n: usize): i32;
// @ts-ignore: decorator
@external("env", "proxy_continue_request") declare function continue_request(): i32;
// @ts-ignore: decorator
@external("env", "proxy_continue_response") declare function continue_response(): i32;
// @ts-ignore: decorator
@external("env", "proxy_clear_route_cache") declare function clear_route_cache(): i32;

export function call(name: string, a: StaticArray<i32>): i32 {
  if (name == "get_configuration") return get_configuration(a[0], a[1]);
  if (name == "continue_request") return continue_request();
  if (name == "continue_response") return continue_response();
  if (name == "clear_route_cache") return clear_route_cache();
  return -1;
}
