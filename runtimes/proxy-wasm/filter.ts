/** The stream filter of a Proxy-Wasm module: Weir's hooks as the module's callbacks. */
import { FilterStatus, type HeaderMap, type Stream, type StreamFilter } from '../../src/abi/index.ts';
import type { ContextSide, RootContext, StreamContext } from './context.ts';
import type { Callback, Machine } from './machine.ts';

const NOTHING: Uint8Array = new Uint8Array(0);

/** Results of callbacks; what is larger is the strongest stop. Source: proxy-wasm-cpp-host, `proxy_wasm_enums.h`. */
const CONTINUE = 0;
const HEADERS_STOP_ITERATION = 1;
const BODY_STOP_AND_BUFFER = 1;
const BODY_STOP_AND_WATERMARK = 2;
/** Why the response is what it is, when it is the upstream's. */
const VIA_UPSTREAM = 'via_upstream';

/** Hooks that are not needed where the module has no callback for them. */
const HOOK_CALLBACKS: Readonly<Record<string, Callback>> = {
  onRequestBody: 'proxy_on_request_body',
  onRequestTrailers: 'proxy_on_request_trailers',
  onResponseHeaders: 'proxy_on_response_headers',
  onResponseBody: 'proxy_on_response_body',
  onResponseTrailers: 'proxy_on_response_trailers',
};

/** A filter of one stream: its state. Its hooks are methods of the machine's prototype. */
export interface ModuleFilter extends StreamFilter {
  root: RootContext;
  stream: Stream;
  /** Made when the request first reaches the filter; a stream that was answered before has none. */
  context: StreamContext | undefined;
}

/** Hooks for the callbacks that the module exports, so that others cost nothing; made once for a machine. */
export function hooksOf(machine: Machine): object {
  const hooks: StreamFilter & ThisType<ModuleFilter> = {
    onRequestHeaders(headers, end) {
      const context = open(this);
      return runHeaders(context, context.request, 'proxy_on_request_headers', headers, end);
    },
    onRequestBody(chunk, end) {
      return runBody(open(this), true, chunk, end);
    },
    onRequestTrailers(trailers) {
      return runTrailers(open(this), true, trailers);
    },
    onResponseHeaders(headers, end) {
      const { context } = this;
      if (context === undefined) return FilterStatus.Continue;
      return runHeaders(context, context.response, 'proxy_on_response_headers', headers, end);
    },
    onResponseBody(chunk, end) {
      return this.context === undefined ? FilterStatus.Continue : runBody(this.context, false, chunk, end);
    },
    onResponseTrailers(trailers) {
      return this.context === undefined ? FilterStatus.Continue : runTrailers(this.context, false, trailers);
    },
    onComplete() {
      // What failed has been said.
      if (machine.failed !== undefined) return;
      const context = open(this);
      context.logging = true;
      machine.call(context, 'proxy_on_log');
      context.logging = false;
    },
    onDestroy() {
      const { context } = this;
      if (context === undefined) return;
      context.request.headers = undefined;
      context.response.headers = undefined;
      try {
        if (machine.failed === undefined) {
          machine.call(context, 'proxy_on_done');
          machine.call(context, 'proxy_on_delete');
        }
      } finally {
        machine.forget(context);
      }
    },
  };
  const exported = (name: string) => HOOK_CALLBACKS[name] === undefined || machine.has(HOOK_CALLBACKS[name]);
  return Object.fromEntries(Object.entries(hooks).filter(([name]) => exported(name)));
}

function open(filter: ModuleFilter): StreamContext {
  filter.context ??= filter.root.machine.openStream(filter.root, filter.stream);
  return filter.context;
}

function callHook(context: StreamContext, callback: Callback, count: number, end: boolean): number {
  context.inHook = true;
  context.stopped = false;
  const result = context.machine.call(context, callback, count, end ? 1 : 0);
  context.inHook = false;
  return result;
}

function runHeaders(
  context: StreamContext,
  side: ContextSide,
  callback: Callback,
  headers: HeaderMap,
  end: boolean,
): FilterStatus {
  side.headers = headers;
  const result = callHook(context, callback, headers.size, end);
  side.paused = result !== CONTINUE || context.stopped;
  if (!side.paused) {
    side.headers = undefined;
    return FilterStatus.Continue;
  }
  if (result === HEADERS_STOP_ITERATION && context.plugin.allowStopIteration && !context.stopped) {
    return FilterStatus.StopAndBuffer;
  }
  side.waited = true;
  return FilterStatus.Stop;
}

/**
 * The end of a body comes to the module as an empty piece of its own, as it does from Envoy's codec for HTTP/1. What waited behind a
 * stop comes in one piece with its end.
 */
function runBody(
  context: StreamContext,
  isRequest: boolean,
  chunk: Uint8Array,
  end: boolean,
): FilterStatus | Uint8Array {
  const { stream } = context;
  const side = isRequest ? context.request : context.response;
  const callback = isRequest ? 'proxy_on_request_body' : 'proxy_on_response_body';
  // A local reply comes whole in Envoy too.
  const splits =
    end && chunk.length > 0 && !side.waited && (isRequest || stream.info.responseCodeDetails === VIA_UPSTREAM);
  side.waited = false;
  side.changed = false;
  const held = isRequest ? stream.requestBody : stream.responseBody;
  // What the module has held but does not see: it asked for flow control instead of a buffer.
  let before = side.buffers ? NOTHING : held.subarray(0, held.length - chunk.length);
  side.body = side.buffers ? held : chunk;
  let result = callHook(context, callback, side.body.length, end && !splits);
  if (splits) {
    if (context.stopped) {
      // The request is whole, but Envoy does not know it yet at this place: it closes the connection behind the answer.
      if (isRequest) stream.drainConnection();
    } else {
      if (result > BODY_STOP_AND_WATERMARK) {
        side.body = side.body.subarray(0, side.body.length - chunk.length);
        side.changed = true;
      } else if (result !== BODY_STOP_AND_BUFFER) {
        before = join(before, side.body);
        side.body = NOTHING;
      }
      result = callHook(context, callback, side.body.length, true);
    }
  }
  const body = join(before, side.body);
  side.body = undefined;
  side.paused = result !== CONTINUE;
  side.bodyHeld = side.paused;
  side.buffers ||= result === BODY_STOP_AND_BUFFER;
  if (context.stopped) return FilterStatus.Stop;
  if (result === CONTINUE) return side.changed ? body : FilterStatus.Continue;
  if (side.changed) {
    if (isRequest) stream.setRequestBody(body);
    else stream.setResponseBody(body);
  } else if (result > BODY_STOP_AND_WATERMARK) {
    return FilterStatus.StopNoBuffer;
  }
  return FilterStatus.StopAndBuffer;
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  return second.length === 0 ? first : Buffer.concat([first, second]);
}

function runTrailers(context: StreamContext, isRequest: boolean, trailers: HeaderMap): FilterStatus {
  const side = isRequest ? context.request : context.response;
  side.trailers = trailers;
  const result = callHook(
    context,
    isRequest ? 'proxy_on_request_trailers' : 'proxy_on_response_trailers',
    trailers.size,
    true,
  );
  side.paused = result !== CONTINUE || context.stopped;
  if (context.stopped && isRequest) context.stream.drainConnection();
  if (side.paused) return FilterStatus.Stop;
  side.trailers = undefined;
  return FilterStatus.Continue;
}
