/** Uses what Weir's AssemblyScript library has beyond headers and bodies. */
import { metrics, SharedData, Status, Stream } from "../../../wasm/assembly/weir";

const data = new SharedData("visits");

export function onRequestHeaders(stream: Stream, endStream: bool): Status {
  metrics.count("requests");
  metrics.setGauge("last", 7);
  metrics.observe("sizes", 100);
  const visits = data.increment("count");
  if (data.get("name") == null) data.set("name", "w\u00e4re");
  const version = data.version("name");
  const swapped = data.compareAndSet("name", version, "other \u20ac");
  const again = data.compareAndSet("name", version, "never");
  stream.requestHeaders.set("x-visits", visits.toString());
  stream.requestHeaders.set("x-swapped", swapped.toString() + again.toString());
  stream.requestHeaders.set("x-same", (data.get("name") == "other \u20ac").toString());
  stream.requestHeaders.set("x-deleted", data.delete("name").toString());
  stream.requestHeaders.set(":path", "/moved");
  stream.clearRouteCache();
  stream.drainConnection();
  return Status.Continue;
}

export function onResponseHeaders(stream: Stream, endStream: bool): Status {
  stream.setReasonPhrase("Very Good");
  stream.responseHeaders.set("x-count", metrics.counterValue("requests").toString());
  return Status.Continue;
}
