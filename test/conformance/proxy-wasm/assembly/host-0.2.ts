/** The host functions that ABI 0.2.0 brought. */
// @ts-ignore: decorator
@external("env", "proxy_continue_stream") declare function continue_stream(kind: i32): i32;
// @ts-ignore: decorator
@external("env", "proxy_close_stream") declare function close_stream(kind: i32): i32;

export function call(name: string, a: StaticArray<i32>): i32 {
  if (name == "continue_stream") return continue_stream(a[0]);
  if (name == "close_stream") return close_stream(a[0]);
  return -1;
}
