/** Marks responses: `config: { header: x-stamp, value: "1" }`. The quickstart's WebAssembly filter. */
import { Status, Stream } from "../assembly/weir";

let header = "x-stamp";
let value = "weir";

/** The value of a string key in a flat JSON object, or null. */
function field(json: string, key: string): string | null {
  const at = json.indexOf('"' + key + '":"');
  if (at < 0) return null;
  const start = at + key.length + 4;
  const end = json.indexOf('"', start);
  return end < 0 ? null : json.substring(start, end);
}

export function configure(config: string): string {
  const name = field(config, "header");
  if (name != null) header = name;
  const text = field(config, "value");
  if (text != null) value = text;
  return header.length == 0 ? "`header` is empty" : "";
}

export function onResponseHeaders(stream: Stream, endStream: bool): Status {
  stream.responseHeaders.set(header, value);
  return Status.Continue;
}
