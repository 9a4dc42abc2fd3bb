/* The canonical conformance filters for Proxy-Wasm in C, without any library; `config: { case: NAME }` chooses one. */
typedef unsigned int u32;
#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))

IMPORT(proxy_get_buffer_bytes) u32 proxy_get_buffer_bytes(u32 type, u32 start, u32 max, char **data, u32 *size);
IMPORT(proxy_set_buffer_bytes) u32 proxy_set_buffer_bytes(u32 type, u32 start, u32 size, const char *data, u32 length);
IMPORT(proxy_get_header_map_value) u32 proxy_get_header_map_value(u32 map, const char *key, u32 key_size, char **value, u32 *size);
IMPORT(proxy_add_header_map_value) u32 proxy_add_header_map_value(u32 map, const char *key, u32 key_size, const char *value, u32 size);
IMPORT(proxy_replace_header_map_value) u32 proxy_replace_header_map_value(u32 map, const char *key, u32 key_size, const char *value, u32 size);
IMPORT(proxy_send_local_response) u32 proxy_send_local_response(u32 code, const char *details, u32 details_size, const char *body, u32 body_size, const char *headers, u32 headers_size, int grpc);
IMPORT(proxy_http_call) u32 proxy_http_call(const char *upstream, u32 upstream_size, const char *headers, u32 headers_size, const char *body, u32 body_size, const char *trailers, u32 trailers_size, u32 timeout, u32 *id);
IMPORT(proxy_set_effective_context) u32 proxy_set_effective_context(u32 id);
IMPORT(proxy_continue_stream) u32 proxy_continue_stream(u32 stream);

#define S(text) text, sizeof(text) - 1
extern unsigned char __heap_base;
static unsigned long top;
static const char *chosen = "";
/* The stream that waits for its call: the tests make one at a time. */
static u32 waiting;

static u32 length(const char *text) { u32 n = 0; while (text[n]) n++; return n; }
static int starts(const char *data, u32 size, const char *text) {
  u32 n = length(text);
  if (size < n) return 0;
  for (u32 i = 0; i < n; i++) if (data[i] != text[i]) return 0;
  return 1;
}
static int is(const char *name) { return length(chosen) == length(name) && starts(chosen, length(chosen), name); }

/* Gives memory of which nothing ever comes back: a test is short. */
EXPORT(proxy_on_memory_allocate) void *proxy_on_memory_allocate(u32 size) {
  if (!top) top = (unsigned long)&__heap_base;
  unsigned long at = (top + 15) & ~15ul;
  top = at + size;
  unsigned long pages = (top + 65535) / 65536;
  unsigned long have = __builtin_wasm_memory_size(0);
  if (pages > have && __builtin_wasm_memory_grow(0, pages - have) == (unsigned long)-1) return 0;
  return (void *)at;
}

EXPORT(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

EXPORT(proxy_on_configure) u32 proxy_on_configure(u32 id, u32 size) {
  static const char *const cases[] = {"add-header", "local-reply", "pause-resume", "rewrite-body", "trailers", "throw", "run-away"};
  char *data;
  u32 got;
  if (proxy_get_buffer_bytes(7, 0, size, &data, &got)) return 0;
  for (u32 at = 0; at + 8 < got; at++) {
    if (!starts(data + at, got - at, "\"case\":\"")) continue;
    for (u32 i = 0; i < sizeof cases / sizeof *cases; i++) {
      u32 n = length(cases[i]);
      if (starts(data + at + 8, got - at - 8, cases[i]) && data[at + 8 + n] == '"') {
        chosen = cases[i];
        return 1;
      }
    }
  }
  return 0;
}

EXPORT(proxy_on_request_headers) u32 proxy_on_request_headers(u32 id, u32 count, u32 end) {
  if (is("add-header")) proxy_add_header_map_value(0, S("x-request-mark"), S("seen"));
  if (is("local-reply")) {
    char *value;
    u32 size;
    if (proxy_get_header_map_value(0, S("user"), &value, &size) || size != 5 || !starts(value, size, "admin")) {
      proxy_send_local_response(403, 0, 0, S("denied"), S("\1\0\0\0\10\0\0\0\11\0\0\0x-reason\0not admin\0"), -1);
      return 1;
    }
  }
  if (is("pause-resume")) {
    u32 call;
    waiting = id;
    proxy_http_call(S("aux"), S("\3\0\0\0\7\0\0\0\3\0\0\0\5\0\0\0\6\0\0\0\12\0\0\0\3\0\0\0:method\0GET\0:path\0/check\0:authority\0aux\0"), 0, 0, 0, 0, 5000, &call);
    return 1;
  }
  if (is("throw")) __builtin_trap();
  if (is("run-away")) for (volatile u32 n = 0;; n++) {}
  return 0;
}

EXPORT(proxy_on_http_call_response) void proxy_on_http_call_response(u32 root, u32 call, u32 headers, u32 body, u32 trailers) {
  char *value = "none";
  u32 size = 4;
  proxy_get_header_map_value(6, S(":status"), &value, &size);
  proxy_set_effective_context(waiting);
  proxy_replace_header_map_value(0, S("x-checked"), value, size);
  proxy_continue_stream(0);
}

static void uppercase(u32 type, u32 size) {
  char *data;
  u32 got;
  if (proxy_get_buffer_bytes(type, 0, size, &data, &got)) return;
  for (u32 i = 0; i < got; i++) if (data[i] >= 'a' && data[i] <= 'z') data[i] -= 32;
  proxy_set_buffer_bytes(type, 0, size, data, got);
}

EXPORT(proxy_on_request_body) u32 proxy_on_request_body(u32 id, u32 size, u32 end) {
  if (!is("rewrite-body")) return 0;
  if (!end) return 1;
  uppercase(0, size);
  return 0;
}

EXPORT(proxy_on_request_trailers) u32 proxy_on_request_trailers(u32 id, u32 count) {
  if (is("trailers")) proxy_add_header_map_value(1, S("x-request-mark"), S("seen"));
  return 0;
}

EXPORT(proxy_on_response_headers) u32 proxy_on_response_headers(u32 id, u32 count, u32 end) {
  if (is("add-header") || is("local-reply")) proxy_add_header_map_value(2, S("x-response-mark"), S("seen"));
  return 0;
}

EXPORT(proxy_on_response_body) u32 proxy_on_response_body(u32 id, u32 size, u32 end) {
  if (is("rewrite-body")) uppercase(1, size);
  return 0;
}

EXPORT(proxy_on_response_trailers) u32 proxy_on_response_trailers(u32 id, u32 count) {
  if (is("trailers")) proxy_add_header_map_value(3, S("x-response-mark"), S("seen"));
  return 0;
}
