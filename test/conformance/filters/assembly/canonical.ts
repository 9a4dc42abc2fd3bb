/** The canonical conformance filters in AssemblyScript; `config: { case: NAME }` chooses one. */
import { CallResponse, Status, Stream } from "../../../../wasm/assembly/weir";

let chosen = "";

export function configure(config: string): string {
  const known = [
    "add-header", "local-reply", "pause-resume", "rewrite-body", "trailers", "route-config", "throw", "run-away",
  ];
  for (let i = 0; i < known.length; i++) {
    if (config.includes('"case":"' + known[i] + '"')) {
      chosen = known[i];
      return "";
    }
  }
  return "unknown case";
}

export function onRequestHeaders(stream: Stream, endStream: bool): Status {
  if (chosen == "add-header") stream.requestHeaders.add("x-request-mark", "seen");
  if (chosen == "local-reply" && stream.requestHeaders.get("user") != "admin") {
    stream.respond(403, "denied", "x-reason: not admin\n");
  }
  if (chosen == "pause-resume") {
    stream.call("aux", ":method: GET\n:path: /check\n:authority: aux\n");
    return Status.Stop;
  }
  if (chosen == "rewrite-body") return Status.StopAndBuffer;
  if (chosen == "throw") throw new Error("thrown on purpose");
  if (chosen == "run-away") {
    while (true) {}
  }
  return Status.Continue;
}

export function onCallResponse(stream: Stream, call: i32): void {
  const response = new CallResponse(stream);
  const status = response.headers.get(":status");
  stream.requestHeaders.set("x-checked", status == null ? "none" : status);
  stream.continueRequest();
}

function upper(body: ArrayBuffer): ArrayBuffer {
  return String.UTF8.encode(String.UTF8.decode(body).toUpperCase());
}

export function onRequestBody(stream: Stream, endStream: bool): Status {
  if (chosen != "rewrite-body") return Status.Continue;
  if (!endStream) return Status.StopAndBuffer;
  stream.replaceRequestBody(upper(stream.requestBody));
  return Status.Continue;
}

export function onRequestTrailers(stream: Stream): Status {
  if (chosen == "rewrite-body") stream.replaceRequestBody(upper(stream.requestBody));
  if (chosen == "trailers") stream.requestTrailers.add("x-request-mark", "seen");
  return Status.Continue;
}

export function onResponseHeaders(stream: Stream, endStream: bool): Status {
  if (chosen == "add-header" || chosen == "local-reply") stream.responseHeaders.add("x-response-mark", "seen");
  if (chosen == "rewrite-body") return Status.StopAndBuffer;
  if (chosen == "route-config") {
    const config = stream.routeConfig;
    const start = config.indexOf('"greeting":"');
    const end = start < 0 ? -1 : config.indexOf('"', start + 12);
    stream.responseHeaders.set("x-greeting", end < 0 ? "none" : config.substring(start + 12, end));
  }
  return Status.Continue;
}

export function onResponseBody(stream: Stream, endStream: bool): Status {
  if (chosen != "rewrite-body") return Status.Continue;
  if (!endStream) return Status.StopAndBuffer;
  stream.replaceResponseBody(upper(stream.responseBody));
  return Status.Continue;
}

export function onResponseTrailers(stream: Stream): Status {
  if (chosen == "rewrite-body") stream.replaceResponseBody(upper(stream.responseBody));
  if (chosen == "trailers") stream.responseTrailers.add("x-response-mark", "seen");
  return Status.Continue;
}
