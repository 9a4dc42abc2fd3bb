/** A script as a stream filter: turns what its coroutine waits for into the ABI's statuses. */
import {
  type BodyHookResult,
  FilterStatus,
  HeaderMap,
  type HookResult,
  type Stream,
  type StreamFilter,
} from '../../src/abi/index.ts';
import { bodyObject } from './api/handle.ts';
import type { LuaScript } from './script.ts';
import { type Direction, type ScriptBuffer, ScriptStream } from './script-stream.ts';
import { NONE } from './vm/values.ts';

/** What the filters of one entry share. */
export interface LuaFactory {
  /** The script of a stream's route. */
  scriptOf(stream: Stream): LuaScript | undefined;
  /** Hooks that any of the entry's scripts has. */
  readonly hooks: { request: boolean; response: boolean; log: boolean };
}

/**
 * A filter of a script. The classes have only the hooks that the scripts have, so that others cost nothing; and hooks are methods,
 * since closures that are put on an object one by one survive V8's young generation (measured: 5 µs of garbage collection per
 * request).
 */
export function createLuaFilter(factory: LuaFactory, stream: Stream): StreamFilter {
  const { request, response, log } = factory.hooks;
  if (log) return new LoggingFilter(factory, stream);
  if (!request) return response ? new ResponseFilter(factory, stream) : NO_HOOKS;
  return response ? new BothFilter(factory, stream) : new RequestFilter(factory, stream);
}

const NO_HOOKS: StreamFilter = {};

class RequestFilter implements StreamFilter {
  readonly #side: LuaSide;

  constructor(factory: LuaFactory, stream: Stream) {
    this.#side = new LuaSide(factory, stream, 'request');
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
  onDestroy(): void {
    this.#side.abandon();
  }
}

class ResponseFilter implements StreamFilter {
  readonly #side: LuaSide;

  constructor(factory: LuaFactory, stream: Stream) {
    this.#side = new LuaSide(factory, stream, 'response');
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
  onDestroy(): void {
    this.#side.abandon();
  }
}

class BothFilter extends RequestFilter {
  readonly #response: ResponseFilter;

  constructor(factory: LuaFactory, stream: Stream) {
    super(factory, stream);
    this.#response = new ResponseFilter(factory, stream);
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
  override onDestroy(): void {
    super.onDestroy();
    this.#response.onDestroy();
  }
}

/** With `on_log(handle)`, after the last byte: a hook that can look, and wait for nothing. */
class LoggingFilter extends BothFilter {
  readonly #factory: LuaFactory;
  readonly #stream: Stream;

  constructor(factory: LuaFactory, stream: Stream) {
    super(factory, stream);
    this.#factory = factory;
    this.#stream = stream;
  }
  onComplete(): void {
    const script = this.#factory.scriptOf(this.#stream);
    if (script?.onLog === undefined) return;
    const run = new ScriptStream(script, this.#stream, 'response', script.onLog);
    run.headers = this.#stream.responseHeaders ?? new HeaderMap();
    run.headersContinued = true;
    run.bodyPassed = true;
    run.ended = true;
    run.start();
    run.abandon();
  }
}

class LuaSide {
  readonly #factory: LuaFactory;
  readonly #stream: Stream;
  readonly #direction: Direction;
  #run: ScriptStream | undefined;

  constructor(factory: LuaFactory, stream: Stream, direction: Direction) {
    this.#factory = factory;
    this.#stream = stream;
    this.#direction = direction;
  }

  onHeaders(headers: HeaderMap, end: boolean): HookResult {
    const script = this.#factory.scriptOf(this.#stream);
    const hook = this.#direction === 'request' ? script?.onRequest : script?.onResponse;
    if (script === undefined || hook === undefined) return undefined;
    const run = new ScriptStream(script, this.#stream, this.#direction, hook);
    this.#run = run;
    run.headers = headers;
    run.ended = end;
    this.#step(run, () => run.start());
    return this.#afterHeaders(run);
  }

  abandon(): void {
    this.#run?.abandon();
  }

  onBody(chunk: Uint8Array, end: boolean): BodyHookResult {
    const run = this.#run;
    if (run === undefined || run.finished) return undefined;
    run.ended = end && run.waits !== 'chunk';
    if (run.waits === 'body') return end ? this.#deliverBody(run) : FilterStatus.StopAndBuffer;
    if (run.waits === 'chunk') return this.#deliverChunk(run, chunk, end);
    run.bodyPassed = true;
    if (end && run.waits === 'trailers') this.#step(run, () => run.resume(() => NONE));
    return this.#afterBody(run, undefined);
  }

  onTrailers(trailers: HeaderMap): HookResult {
    const run = this.#run;
    if (run === undefined || run.finished) return undefined;
    run.ended = true;
    run.trailers = trailers;
    const { waits } = run;
    if (waits === 'body') return this.#deliverBody(run) as HookResult;
    // Where trailers follow, they are the end, and no empty piece is.
    if (waits === 'chunk') this.#step(run, () => run.resume(() => undefined));
    if (run.waits === 'trailers') {
      this.#step(run, () =>
        run.resume(() => run.script.api.headers.create({ run, map: trailers, mutable: true }, run)),
      );
    }
    return this.#afterCall(run, () => undefined);
  }

  /** Runs the script; a body that it set before it failed stays set, as everything that it changed does. */
  #step(run: ScriptStream, step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#putBody(run);
      throw error;
    }
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
    run.body = { run, bytes, replaced: false, whole: true };
    this.#step(run, () => run.resume(() => (bytes.length === 0 ? NONE : bodyObject(run.script.api, run))));
    return this.#afterBody(run, undefined);
  }

  #deliverChunk(run: ScriptStream, chunk: Uint8Array, end: boolean): BodyHookResult {
    const buffer = pieceOf(run, chunk);
    run.bodyPassed = true;
    run.headersContinued = true;
    const push = (piece: ScriptBuffer) =>
      this.#step(run, () => run.resume(() => run.script.api.buffer.create(piece, run)));
    if (end && chunk.length === 0) run.ended = true;
    push(buffer);
    if (end && chunk.length > 0 && run.waits === 'chunk') {
      // The end is a piece of its own, and empty.
      run.ended = true;
      const last = pieceOf(run, NOTHING);
      push(last);
      if (last.replaced) {
        buffer.bytes = Buffer.concat([buffer.bytes, last.bytes]);
        buffer.replaced = true;
      }
    }
    run.ended = end;
    if (end && run.waits === 'trailers') this.#step(run, () => run.resume(() => NONE));
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
    return pending.then((results) => {
      this.#step(run, () => run.resume(results));
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

const NOTHING = new Uint8Array(0);

function pieceOf(run: ScriptStream, bytes: Uint8Array): ScriptBuffer {
  return { run, bytes, replaced: false, whole: false };
}
