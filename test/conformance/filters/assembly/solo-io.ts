/**
 * The canonical conformance filters with @solo-io/proxy-runtime 0.1.8 and AssemblyScript 0.14; `root_id: NAME` chooses one (the SDK
 * reads the configuration's size into a wrong place). It has no way to change a body.
 */
export * from "@solo-io/proxy-runtime/proxy";
import { Context, FilterHeadersStatusValues, FilterTrailersStatusValues, HeaderPair, Headers, registerRootContext, RootContext, send_local_response, stream_context, continue_request, GrpcStatusValues } from "@solo-io/proxy-runtime";

class Root extends RootContext {
  name: string = "";

  createContext(id: u32): Context {
    return new Canonical(id, this);
  }
}

function pair(name: string, value: string): HeaderPair {
  return new HeaderPair(String.UTF8.encode(name), String.UTF8.encode(value));
}

class Canonical extends Context {
  name: string;

  constructor(id: u32, root: Root) {
    super(id, root);
    this.name = root.name;
  }

  onRequestHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    if (this.name == "add-header") stream_context.headers.request.add("x-request-mark", "seen");
    if (this.name == "local-reply" && stream_context.headers.request.get("user") != "admin") {
      let headers = new Array<HeaderPair>();
      headers.push(pair("x-reason", "not admin"));
      send_local_response(403, "", String.UTF8.encode("denied"), headers, GrpcStatusValues.PermissionDenied);
      return FilterHeadersStatusValues.StopIteration;
    }
    if (this.name == "pause-resume") {
      let headers = new Array<HeaderPair>();
      headers.push(pair(":method", "GET"));
      headers.push(pair(":path", "/check"));
      headers.push(pair(":authority", "aux"));
      this.root_context.httpCall("aux", headers, new ArrayBuffer(0), new Array<HeaderPair>(), 5000, this, (context: Context, headers: u32, size: usize, trailers: u32): void => {
        stream_context.headers.request.replace("x-checked", stream_context.headers.http_callback.get(":status"));
        continue_request();
      });
      return FilterHeadersStatusValues.StopIteration;
    }
    if (this.name == "throw") unreachable();
    if (this.name == "run-away") {
      while (true) {}
    }
    return FilterHeadersStatusValues.Continue;
  }

  onRequestTrailers(count: u32): FilterTrailersStatusValues {
    if (this.name == "trailers") stream_context.trailers.request.add("x-request-mark", "seen");
    return FilterTrailersStatusValues.Continue;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    if (this.name == "add-header" || this.name == "local-reply") stream_context.headers.response.add("x-response-mark", "seen");
    return FilterHeadersStatusValues.Continue;
  }

  onResponseTrailers(count: u32): FilterTrailersStatusValues {
    if (this.name == "trailers") stream_context.trailers.response.add("x-response-mark", "seen");
    return FilterTrailersStatusValues.Continue;
  }
}

function make(id: u32, name: string): RootContext {
  let root = new Root(id);
  root.name = name;
  return root;
}

registerRootContext((id: u32) => { return make(id, "add-header"); }, "add-header");
registerRootContext((id: u32) => { return make(id, "local-reply"); }, "local-reply");
registerRootContext((id: u32) => { return make(id, "pause-resume"); }, "pause-resume");
registerRootContext((id: u32) => { return make(id, "trailers"); }, "trailers");
registerRootContext((id: u32) => { return make(id, "throw"); }, "throw");
registerRootContext((id: u32) => { return make(id, "run-away"); }, "run-away");
