/** A script as a stream filter: turns what its coroutine waits for into the ABI's statuses. */
import {
  type BodyHookResult,
  FilterStatus,
  type HeaderMap,
  type HookResult,
  type Stream,
  type StreamFilter,
} from '../../src/abi/index.ts';
import type { LuaScript } from './script.ts';
import { type Direction, type ScriptBuffer, ScriptStream } from './script-stream.ts';

/**
 * A filter of a script. The classes have only the hooks that the script has, so that others cost nothing; and hooks are methods,
 * since closures that are put on an object one by one survive V8's young generation (measured: 5 µs of garbage collection per
 * request).
 */
export function createLuaFilter(script: LuaScript, stream: Stream): StreamFilter {
  const { onRequest, onResponse } = script;
  if (onRequest === undefined)
    return onResponse === undefined ? NO_HOOKS : new ResponseFilter(script, stream, onResponse);
  return onResponse === undefined
    ? new RequestFilter(script, stream, onRequest)
    : new BothFilter(script, stream, onRequest, onResponse);
}

const NO_HOOKS: StreamFilter = {};

class RequestFilter implements StreamFilter {
  readonly #side: LuaSide;

  constructor(script: LuaScript, stream: Stream, hook: number) {
    this.#side = new LuaSide(script, stream, 'request', hook);
  }
  onRequestHeaders(headers: HeaderMap, end: boolean): HookResult {
    return this.#side.onHeaders(headers, end);
  }
  onRequestBody(chunk: Uint8Array, end: boolean): BodyHookResult {
    return this.#side.onBody(chunk, end);
  }
  onRequestTrailers(trailers: HeaderMap): HookResult {
    return this.#side.onTrailers(trailers);
  }
}

class ResponseFilter implements StreamFilter {
  readonly #side: LuaSide;

  constructor(script: LuaScript, stream: Stream, hook: number) {
    this.#side = new LuaSide(script, stream, 'response', hook);
  }
  onResponseHeaders(headers: HeaderMap, end: boolean): HookResult {
    return this.#side.onHeaders(headers, end);
  }
  onResponseBody(chunk: Uint8Array, end: boolean): BodyHookResult {
    return this.#side.onBody(chunk, end);
  }
  onResponseTrailers(trailers: HeaderMap): HookResult {
    return this.#side.onTrailers(trailers);
  }
}

class BothFilter extends RequestFilter {
  readonly #response: ResponseFilter;

  constructor(script: LuaScript, stream: Stream, onRequest: number, onResponse: number) {
    super(script, stream, onRequest);
    this.#response = new ResponseFilter(script, stream, onResponse);
  }
  onResponseHeaders(headers: HeaderMap, end: boolean): HookResult {
    return this.#response.onResponseHeaders(headers, end);
  }
  onResponseBody(chunk: Uint8Array, end: boolean): BodyHookResult {
    return this.#response.onResponseBody(chunk, end);
  }
  onResponseTrailers(trailers: HeaderMap): HookResult {
    return this.#response.onResponseTrailers(trailers);
  }
}

class LuaSide {
  readonly #script: LuaScript;
  readonly #stream: Stream;
  readonly #direction: Direction;
  readonly #hook: number;
  #run: ScriptStream | undefined;

  constructor(script: LuaScript, stream: Stream, direction: Direction, hook: number) {
    this.#script = script;
    this.#stream = stream;
    this.#direction = direction;
    this.#hook = hook;
  }

  onHeaders(headers: HeaderMap, end: boolean): HookResult {
    const run = new ScriptStream(this.#script, this.#stream, this.#direction);
    this.#run = run;
    run.headers = headers;
    run.ended = end;
    run.start(this.#hook);
    return this.#afterHeaders(run);
  }

  onBody(chunk: Uint8Array, end: boolean): BodyHookResult {
    const run = this.#run;
    if (run === undefined || run.finished) return undefined;
    run.ended = end && run.waits !== 'chunk';
    if (run.waits === 'body') return end ? this.#deliverBody(run) : FilterStatus.StopAndBuffer;
    if (run.waits === 'chunk') return this.#deliverChunk(run, chunk, end);
    run.bodyPassed = true;
    if (end && run.waits === 'trailers') run.resume(() => 0);
    return this.#afterBody(run, undefined);
  }

  onTrailers(trailers: HeaderMap): HookResult {
    const run = this.#run;
    if (run === undefined || run.finished) return undefined;
    run.ended = true;
    const { waits } = run;
    if (waits === 'body') return this.#deliverBody(run) as HookResult;
    if (waits === 'chunk') {
      run.resume((L) => {
        this.#script.kinds.buffer.push(L, { bytes: new Uint8Array(0), replaced: false }, run);
        return 1;
      });
    }
    if (run.waits === 'trailers') {
      run.resume((L) => {
        this.#script.kinds.headers.push(L, { map: trailers, stream: run, mutable: true }, run);
        return 1;
      });
    }
    return this.#afterCall(run, () => undefined);
  }

  #afterHeaders(run: ScriptStream): HookResult {
    switch (run.waits) {
      case 'body':
        return FilterStatus.StopAndBuffer;
      case 'call':
        return this.#afterCall(run, () => this.#afterHeaders(run)) as HookResult;
      case 'chunk':
      case 'trailers':
        run.headersContinued = true;
        return undefined;
      default:
        this.#putBody(run);
        return undefined;
    }
  }

  #deliverBody(run: ScriptStream): BodyHookResult {
    const bytes = this.#direction === 'request' ? this.#stream.requestBody : this.#stream.responseBody;
    run.body = { bytes, replaced: false };
    const { body } = run;
    run.resume((L) => {
      if (bytes.length === 0) return 0;
      this.#script.kinds.buffer.push(L, body, run);
      return 1;
    });
    return this.#afterBody(run, undefined);
  }

  #deliverChunk(run: ScriptStream, chunk: Uint8Array, end: boolean): BodyHookResult {
    const buffer: ScriptBuffer = { bytes: chunk, replaced: false };
    run.bodyPassed = true;
    run.headersContinued = true;
    const push = (piece: ScriptBuffer) =>
      run.resume((L) => {
        this.#script.kinds.buffer.push(L, piece, run);
        return 1;
      });
    if (end && chunk.length === 0) run.ended = true;
    push(buffer);
    if (end && chunk.length > 0 && run.waits === 'chunk') {
      // The end is a piece of its own, and empty.
      run.ended = true;
      const last: ScriptBuffer = { bytes: new Uint8Array(0), replaced: false };
      push(last);
      if (last.replaced) {
        buffer.bytes = Buffer.concat([buffer.bytes, last.bytes]);
        buffer.replaced = true;
      }
    }
    run.ended = end;
    if (end && run.waits === 'trailers') run.resume(() => 0);
    return this.#afterBody(run, buffer.replaced ? buffer.bytes : undefined);
  }

  #afterBody(run: ScriptStream, replacement: Uint8Array | undefined): BodyHookResult {
    if (run.waits === 'call') return this.#afterCall(run, () => this.#afterBody(run, replacement)) as BodyHookResult;
    if (run.waits === 'body') return FilterStatus.StopAndBuffer;
    this.#putBody(run);
    return replacement;
  }

  /** Waits for the script's call, goes on with the script, and then with `then`. */
  #afterCall<T>(run: ScriptStream, then: () => T): T | Promise<T> {
    const { pending } = run;
    if (run.waits !== 'call' || pending === undefined) return then();
    return pending.then((push) => {
      run.resume(push);
      return this.#afterCall(run, then) as T;
    });
  }

  /** The script set a body: it takes the place of what is held. */
  #putBody(run: ScriptStream): void {
    const { body } = run;
    if (body === undefined || !body.replaced || run.responded) return;
    body.replaced = false;
    if (this.#direction === 'request') this.#stream.setRequestBody(body.bytes);
    else this.#stream.setResponseBody(body.bytes);
  }
}
