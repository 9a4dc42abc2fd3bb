/**
 * A Proxy-Wasm module whose configuration is a program: lines `CALLBACK: FUNCTION ARGUMENT...` that are run in order when that
 * callback comes. `on_request_headers@2:` is for the second stream only. Arguments:
 *
 *   12             a number
 *   'text'         pointer and length of text, with \0 \n \s (blank) \xHH
 *   {a=1;b=2}      pointer and length of a map in the ABI's format
 *   *i *l          a place for a 32-bit or 64-bit number, which is reported
 *   *b *p          two places for a pointer and a length; reported are the bytes, or the map
 *   $name          the number that `*i=name` stored
 *
 * Every call is logged as `CALLBACK FUNCTION -> STATUS RESULTS`. Further functions: `report MAP NAME` adds all results so far as a
 * header, `fuzz COUNT SEED` calls functions with random arguments and logs every status that the ABI does not know, `respond` answers 200 with them as the body, `return N` is the callback's result, `trap`, `loop`, `recurse`, `grow`.
 */
import { add_header_map_value, call, log, send_local_response } from "./host";

const VOLATILE = [
  "x-forwarded-proto",
  "x-request-id",
  "x-envoy-upstream-service-time",
  "date",
  "server",
  "connection",
  "content-length",
  "transfer-encoding",
  "x-forwarded-for",
  ":authority",
];
const GROWN: usize[] = [];
let program: string[] = [];
let streams = 0;
const ordinals = new Map<i32, i32>();
const variables = new Map<string, i32>();
const reports = new Map<i32, string>();
const arguments_ = new StaticArray<i32>(16);
let keep: ArrayBuffer[] = [];
let versionCall: (name: string, a: StaticArray<i32>) => i32 = (name: string, a: StaticArray<i32>): i32 => -1;

export function allocate(size: i32): usize {
  return heap.alloc(size);
}

/** Takes the program. */
export function configure(p: usize, n: i32): void {
  program = String.UTF8.decodeUnsafe(p, n).split("\n");
}

/** Calls the functions that only this version of the ABI has. */
export function useVersion(functions: (name: string, a: StaticArray<i32>) => i32): void {
  versionCall = functions;
}

/** A stream's context is there: gives it its number. */
export function opened(context: i32): void {
  ordinals.set(context, ++streams);
}

/** Runs what the program has for this callback; returns its result. */
export function run(context: i32, callback: string, detail: string, result: i32): i32 {
  const own = callback + ":";
  const numbered = callback + "@" + (ordinals.has(context) ? ordinals.get(context) : 0).toString() + ":";
  for (let i = 0; i < program.length; i++) {
    const line = program[i];
    if (line.startsWith(own)) result = step(context, callback, line.substring(own.length).trim(), detail, result);
    else if (line.startsWith(numbered)) result = step(context, callback, line.substring(numbered.length).trim(), detail, result);
  }
  return result;
}

function step(context: i32, callback: string, text: string, detail: string, result: i32): i32 {
  const words = text.split(" ");
  const name = words[0];
  keep = [];
  if (name == "return") return <i32>parseInt(words[1]);
  if (name == "trap") unreachable();
  if (name == "loop") while (true) {}
  if (name == "recurse") return recurse(context) + 1;
  if (name == "grow") while (memory.grow(16) >= 0) GROWN.push(heap.alloc(1000000));
  if (name == "fuzz") {
    fuzz(context, callback, <i32>parseInt(words[1]), <u32>parseInt(words[2]));
    return result;
  }
  if (name == "args") {
    note(context, callback, "args " + detail);
    return result;
  }
  if (name == "report") {
    const key = utf8(words[2]);
    const value = utf8(reported(context));
    const status = add_header_map_value(<i32>parseInt(words[1]), changetype<usize>(key), key.byteLength, changetype<usize>(value), value.byteLength);
    if (status != 0) note(context, callback, "report -> " + status.toString());
    return result;
  }
  if (name == "respond") {
    const body = utf8(reported(context));
    send_local_response(200, 0, 0, changetype<usize>(body), body.byteLength, 0, 0, -1);
    return result;
  }
  let count = 0;
  const outs: string[] = [];
  const places: usize[] = [];
  for (let i = 1; i < words.length; i++) {
    const word = words[i];
    if (word.startsWith("'")) {
      const bytes = unescape(word.substring(1, word.length - 1));
      arguments_[count++] = <i32>changetype<usize>(bytes);
      arguments_[count++] = bytes.byteLength;
    } else if (word.startsWith("{")) {
      const bytes = pairs(word.substring(1, word.length - 1));
      arguments_[count++] = <i32>changetype<usize>(bytes);
      arguments_[count++] = bytes.byteLength;
    } else if (word.startsWith("*")) {
      const place = heap.alloc(8);
      store<u64>(place, 0);
      outs.push(word);
      places.push(place);
      arguments_[count++] = <i32>place;
      if (word == "*b" || word == "*p") arguments_[count++] = <i32>place + 4;
    } else if (word.startsWith("$")) {
      arguments_[count++] = variables.get(word.substring(1));
    } else {
      arguments_[count++] = <i32>parseInt(word);
    }
  }
  let status = call(name, arguments_);
  if (status == -1) status = versionCall(name, arguments_);
  let line = name + " -> " + status.toString();
  for (let i = 0; i < outs.length; i++) {
    const place = places[i];
    if (outs[i].startsWith("*i")) {
      line += " " + load<i32>(place).toString();
      if (outs[i].length > 3) variables.set(outs[i].substring(3), load<i32>(place));
    } else if (outs[i] == "*l") line += " " + load<i64>(place).toString();
    else if (outs[i] == "*b") line += " " + escape(load<u32>(place), load<u32>(place + 4));
    else line += " " + map(load<u32>(place), load<u32>(place + 4));
  }
  note(context, callback, line);
  return result;
}

const FUNCTIONS = [
  "log", "get_current_time_nanoseconds", "get_buffer_bytes", "set_buffer_bytes", "get_buffer_status", "get_header_map_size",
  "get_header_map_pairs", "set_header_map_pairs", "get_header_map_value", "add_header_map_value", "replace_header_map_value",
  "remove_header_map_value", "send_local_response", "get_status", "http_call", "grpc_call", "grpc_stream", "grpc_send", "grpc_cancel",
  "grpc_close", "get_shared_data", "set_shared_data", "register_shared_queue", "resolve_shared_queue", "enqueue_shared_queue",
  "dequeue_shared_queue", "define_metric", "record_metric", "increment_metric", "get_metric", "get_property", "set_property",
  "set_effective_context", "done", "call_foreign_function", "continue_stream", "close_stream", "set_tick_period_milliseconds",
];
const TEXTS = ["x-a", ":path", "request\0path", "app", "aux", "k", "compress", "set_envoy_filter_state", "", "host", "a\r\nb", "metadata\0x"];
/** Documented statuses, as bits. */
const STATUSES: u32 = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 12);
const scratch = heap.alloc(65536);
let state: u32 = 1;

function random(below: u32): u32 {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % below;
}

function fuzz(context: i32, callback: string, count: i32, seed: u32): void {
  state = seed | 1;
  for (let i = 0; i < 4096; i += 4) store<u32>(scratch + i, random(0xffffffff));
  for (let i = 0; i < TEXTS.length; i++) String.UTF8.encodeUnsafe(changetype<usize>(TEXTS[i]), TEXTS[i].length, scratch + 8192 + 64 * i);
  for (let i = 0; i < count; i++) {
    const name = FUNCTIONS[random(FUNCTIONS.length)];
    for (let j = 0; j < 12; j++) {
      const kind = random(16);
      if (kind < 4) arguments_[j] = <i32>random(10);
      else if (kind < 9) {
        // A text and its length.
        const text = random(TEXTS.length);
        arguments_[j] = <i32>scratch + 8192 + 64 * text;
        if (j < 11) arguments_[++j] = TEXTS[text].length;
      } else if (kind < 12) arguments_[j] = <i32>scratch + random(4096);
      else if (kind < 13) arguments_[j] = <i32>random(300);
      else if (kind < 14) arguments_[j] = <i32>(memory.size() << 16) - random(16);
      else if (kind < 15) arguments_[j] = -1 - <i32>random(20);
      else arguments_[j] = <i32>(random(0xffff) << 16 | random(0xffff));
    }
    let status = call(name, arguments_);
    if (status == -1) status = versionCall(name, arguments_);
    if (status < 0 || status > 12 || (STATUSES >> status & 1) == 0) note(context, callback, "undocumented " + name + " " + status.toString());
  }
}

function recurse(n: i32): i32 {
  return n == 0x7fffffff ? 0 : recurse(n + 1) + 1;
}

function reported(context: i32): string {
  return reports.has(context) ? reports.get(context) : "";
}

function note(context: i32, callback: string, text: string): void {
  reports.set(context, reported(context) + (reported(context) == "" ? "" : " | ") + text);
  const bytes = utf8(callback + " " + text);
  log(2, changetype<usize>(bytes), bytes.byteLength);
}

function utf8(text: string): ArrayBuffer {
  const bytes = String.UTF8.encode(text);
  keep.push(bytes);
  return bytes;
}

function unescape(text: string): ArrayBuffer {
  const bytes: u8[] = [];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code != 92) bytes.push(<u8>code);
    else {
      const kind = text.charAt(++i);
      if (kind == "0") bytes.push(0);
      else if (kind == "n") bytes.push(10);
      else if (kind == "r") bytes.push(13);
      else if (kind == "s") bytes.push(32);
      else {
        bytes.push(<u8>parseInt(text.substring(i + 1, i + 3), 16));
        i += 2;
      }
    }
  }
  const buffer = new ArrayBuffer(bytes.length);
  for (let i = 0; i < bytes.length; i++) store<u8>(changetype<usize>(buffer) + i, bytes[i]);
  keep.push(buffer);
  return buffer;
}

function escape(p: usize, n: i32): string {
  let text = "'";
  for (let i = 0; i < n; i++) {
    const code = <i32>load<u8>(p + i);
    if (code >= 32 && code < 127 && code != 92) text += String.fromCharCode(code);
    else text += "\\x" + (code < 16 ? "0" : "") + code.toString(16);
  }
  return text + "'";
}

function pairs(text: string): ArrayBuffer {
  const fields: string[] = text == "" ? new Array<string>(0) : text.split(";");
  let size = 4;
  const parts: ArrayBuffer[] = [];
  for (let i = 0; i < fields.length; i++) {
    const at = fields[i].indexOf("=");
    parts.push(unescape(fields[i].substring(0, at)));
    parts.push(unescape(fields[i].substring(at + 1)));
    size += 10 + parts[2 * i].byteLength + parts[2 * i + 1].byteLength;
  }
  const buffer = new ArrayBuffer(size);
  const base = changetype<usize>(buffer);
  store<u32>(base, fields.length);
  let at = base + 4 + 8 * fields.length;
  for (let i = 0; i < parts.length; i++) {
    store<u32>(base + 4 + 4 * i, parts[i].byteLength);
    memory.copy(at, changetype<usize>(parts[i]), parts[i].byteLength);
    at += parts[i].byteLength + 1;
  }
  keep.push(buffer);
  return buffer;
}

/** A map as text, in the order of its names; what differs by right between proxies is left out. */
function map(p: usize, n: i32): string {
  if (n < 4) return "{}";
  const count = <i32>load<u32>(p);
  let at = p + 4 + 8 * count;
  const fields: string[] = [];
  for (let i = 0; i < count; i++) {
    const kn = <i32>load<u32>(p + 4 + 8 * i);
    const vn = <i32>load<u32>(p + 8 + 8 * i);
    const key = escape(at, kn);
    const value = escape(at + kn + 1, vn);
    const name = key.substring(1, key.length - 1);
    if (!VOLATILE.includes(name)) fields.push(name + "=" + value.substring(1, value.length - 1));
    at += kn + vn + 2;
  }
  // Fields of one name keep their order.
  for (let i = 1; i < fields.length; i++) {
    for (let j = i; j > 0 && nameOf(fields[j]) < nameOf(fields[j - 1]); j--) {
      const field = fields[j];
      fields[j] = fields[j - 1];
      fields[j - 1] = field;
    }
  }
  return "{" + fields.join(";") + "}";
}

function nameOf(field: string): string {
  return field.substring(0, field.indexOf("="));
}

export function abort(message: usize, file: usize, line: u32, column: u32): void {
  unreachable();
}
