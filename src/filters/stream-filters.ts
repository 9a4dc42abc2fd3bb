/**
 * The filters of one stream: calls their hooks, one at a time, and applies their policies. Flat where a request passes: the
 * fast path is one loop per direction with no allocation but the filters themselves.
 */
import { ExtensionError, type FilterPhase, type HeaderMap, type StreamFilter } from '../abi/index.ts';
import { messageOf } from '../errors.ts';
import { describeError, errorHeader, toExtensionError } from './failure.ts';
import type { FilterChain } from './filter-chain.ts';
import { FilterInstance } from './filter-instance.ts';
import type { Direction, LocalReply, StreamOwner } from './owner.ts';
import { Side } from './side.ts';

/** The hooks, as numbers for the one place that calls them. */
export const Hook = {
  RequestHeaders: 0,
  RequestBody: 1,
  RequestTrailers: 2,
  ResponseHeaders: 3,
  ResponseBody: 4,
  ResponseTrailers: 5,
} as const;
type Hook = (typeof Hook)[keyof typeof Hook];

/** What `invoke` returns when the stream took another turn: it was answered or reset. */
export const INTERRUPTED = Symbol('interrupted');

/** A hook's promise that a stream waits for. */
interface Waiting {
  instance: FilterInstance;
  side: Side;
  /** Goes on as if the hook had returned that. */
  then: (value: unknown) => void;
}

export class StreamFilters {
  readonly owner: StreamOwner;
  readonly instances: FilterInstance[] = [];
  readonly #chain: FilterChain;
  #request: Side | undefined;
  #response: Side | undefined;
  #stage: FilterPhase = 'before-route';
  #running: FilterInstance | undefined;
  #waiting: Waiting | undefined;
  /** What has to wait until no hook runs. */
  readonly #tasks: (() => void)[] = [];
  #pendingReply: { reply: LocalReply; from: FilterInstance } | undefined;
  #pendingReset = false;
  /** The revision of the headers that the route was matched by. */
  #matched = 0;
  /** A filter wants the route to be matched again. */
  #cleared = false;
  /** Milliseconds of the hook that failed last. */
  #took = 0;
  #destroyed = false;
  #hasRequestBodyHooks = false;
  #hasResponseBodyHooks = false;
  #hasResponseHooks = false;

  constructor(chain: FilterChain, owner: StreamOwner) {
    this.#chain = chain;
    this.owner = owner;
    const { entries } = chain;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as (typeof entries)[number];
      const instance = new FilterInstance(this, entry, i);
      this.instances.push(instance);
      if (entry.matches !== undefined && !entry.matches(owner.requestHeaders)) {
        instance.skipped = true;
        continue;
      }
      if (entry.isBroken(owner.wheel.now)) {
        instance.unfit = new ExtensionError('budget', 'the filter is out of service: it broke its budget too often');
        continue;
      }
      chain.mark[0] = entry.id;
      try {
        const filter: StreamFilter = entry.factory.create(instance);
        instance.filter = filter;
        if (filter.onRequestBody !== undefined) this.#hasRequestBodyHooks = true;
        if (filter.onResponseBody !== undefined) this.#hasResponseBodyHooks = true;
        this.#hasResponseHooks ||= filter.onResponseHeaders !== undefined || filter.onResponseTrailers !== undefined;
      } catch (error) {
        instance.unfit = toExtensionError(error);
      }
      chain.mark[0] = 0;
    }
  }

  get request(): Side {
    this.#request ??= new Side(this, 'request');
    return this.#request;
  }
  get response(): Side {
    this.#response ??= new Side(this, 'response');
    return this.#response;
  }

  /** The request's head has come. */
  requestHeaders(headers: HeaderMap, end: boolean): void {
    if (this.instances.length === 0) {
      if (this.enterStage(0)) this.owner.sendRequestHeaders(headers, end);
      return;
    }
    this.request.start(headers, end);
    if (this.#tasks.length > 0) this.#drain();
  }

  requestBody(chunk: Uint8Array, end: boolean): void {
    if (this.#isBusy) {
      this.#later('request', () => this.request.data(chunk, end));
    } else if (this.#hasRequestBodyHooks || this.#holds('request')) {
      this.request.data(chunk, end);
      this.#drain();
    } else {
      this.owner.sendRequestBody(chunk, end);
    }
  }

  requestTrailers(trailers: HeaderMap): void {
    this.enqueue(() => this.request.trailers(trailers));
  }

  responseHeaders(headers: HeaderMap, end: boolean): void {
    if (this.#isBusy) {
      this.#later('response', () => this.responseHeaders(headers, end));
      return;
    }
    if (this.#passesResponses) {
      this.owner.sendResponseHeaders(headers, end);
      return;
    }
    this.response.start(headers, end);
    if (this.#tasks.length > 0) this.#drain();
  }

  responseBody(chunk: Uint8Array, end: boolean): void {
    if (this.#isBusy) {
      this.#later('response', () => this.response.data(chunk, end));
    } else if (this.#hasResponseBodyHooks || this.#holds('response')) {
      this.response.data(chunk, end);
      this.#drain();
    } else {
      this.owner.sendResponseBody(chunk, end);
    }
  }

  responseTrailers(trailers: HeaderMap): void {
    if (this.#passesResponses && !this.#isBusy) this.owner.sendResponseTrailers(trailers);
    else this.enqueue(() => this.response.trailers(trailers));
  }

  /** After the last byte. */
  complete(): void {
    for (const instance of this.instances) {
      if (instance.filter.onComplete === undefined) continue;
      this.#quietly(instance, () => instance.filter.onComplete?.(this.owner.info));
    }
  }

  /** The end, in any case. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#tasks.length = 0;
    this.#waiting = undefined;
    this.#request?.stop();
    this.#response?.stop();
    for (const instance of this.instances) this.#quietly(instance, () => instance.destroy());
  }

  /** Runs `task` when no hook of this stream runs or is waited for. */
  enqueue(task: () => void): void {
    if (this.#destroyed) return;
    this.#tasks.push(task);
    if (!this.#isBusy) this.#drain();
  }

  /** Runs steps in order; what a hook's promise holds up goes on before anything that came later. */
  runSteps(steps: (() => void)[], alive: () => boolean): void {
    while (steps.length > 0) {
      if (this.#destroyed || !alive()) return;
      if (this.#isBusy) {
        this.#tasks.unshift(() => this.runSteps(steps, alive));
        return;
      }
      (steps.shift() as () => void)();
    }
  }

  /** Whether a hook of this filter runs, or is waited for. */
  isIn(instance: FilterInstance): boolean {
    return this.#running === instance || this.#waiting?.instance === instance;
  }

  /**
   * Calls one hook. Returns what it returned, `undefined` after a failure that its policy lets pass, or INTERRUPTED.
   * The value is headers, trailers or a body piece, as the hook wants it.
   */
  invoke(instance: FilterInstance, hook: Hook, value: HeaderMap | Uint8Array, end: boolean): unknown {
    const { filter, entry } = instance;
    const { mark } = this.#chain;
    const started = performance.now();
    this.#running = instance;
    mark[0] = entry.id;
    let result: unknown;
    let failure: unknown;
    try {
      switch (hook) {
        case Hook.RequestHeaders:
          result = filter.onRequestHeaders?.(value as HeaderMap, end);
          break;
        case Hook.ResponseHeaders:
          result = filter.onResponseHeaders?.(value as HeaderMap, end);
          break;
        case Hook.RequestBody:
          result = filter.onRequestBody?.(value as Uint8Array, end);
          break;
        case Hook.ResponseBody:
          result = filter.onResponseBody?.(value as Uint8Array, end);
          break;
        case Hook.RequestTrailers:
          result = filter.onRequestTrailers?.(value as HeaderMap);
          break;
        case Hook.ResponseTrailers:
          result = filter.onResponseTrailers?.(value as HeaderMap);
          break;
      }
    } catch (error) {
      failure = error ?? new Error('the hook threw nothing');
    }
    mark[0] = 0;
    this.#running = undefined;
    const took = performance.now() - started;
    entry.duration.observe(took / 1000);
    if (failure !== undefined) {
      this.#pendingReply = undefined;
      this.#took = took;
      const side = hook <= Hook.RequestTrailers ? this.request : this.response;
      // As for every answer within a request's body: what is left of it is not read.
      if (hook === Hook.RequestBody && !entry.failOpen) this.owner.drainConnection();
      return this.fail(instance, toExtensionError(failure), side) ? undefined : INTERRUPTED;
    }
    return this.#interrupted() ? INTERRUPTED : result;
  }

  /** Runs a timer's callback as a part of its filter. */
  guard(instance: FilterInstance, callback: () => void): void {
    this.#running = instance;
    let failure: unknown;
    try {
      callback();
    } catch (error) {
      failure = error;
    }
    this.#running = undefined;
    if (failure !== undefined) {
      this.fail(instance, toExtensionError(failure), this.response.started ? this.response : this.request);
      return;
    }
    if (this.#interrupted()) return;
    if (instance.continuesRequest) {
      instance.continuesRequest = false;
      this.request.continueFrom(instance);
    }
    if (instance.continuesResponse) {
      instance.continuesResponse = false;
      this.response.continueFrom(instance);
    }
  }

  /** Waits for a hook's promise; nothing else of this stream runs until it is settled or its time is up. */
  wait(instance: FilterInstance, side: Side, promise: PromiseLike<unknown>, then: (value: unknown) => void): void {
    const waiting: Waiting = { instance, side, then };
    this.#waiting = waiting;
    instance.startLimit();
    promise.then(
      (value) => this.#settle(waiting, () => then(value)),
      (error) =>
        this.#settle(waiting, () => {
          if (this.fail(instance, toExtensionError(error), side)) then(undefined);
        }),
    );
  }

  /** A filter's time for a stop or a promise is up. */
  overdue(instance: FilterInstance): void {
    const waiting = this.#waiting?.instance === instance ? this.#waiting : undefined;
    const side = waiting?.side ?? (instance.heldResponse !== undefined ? this.response : this.request);
    const error = new ExtensionError(
      'budget',
      `the filter held the stream for more than ${instance.entry.timeLimit} ms`,
    );
    if (waiting !== undefined) this.#waiting = undefined;
    if (this.fail(instance, error, side)) {
      if (waiting !== undefined) waiting.then(undefined);
      else side.continueFrom(instance);
    }
    this.#drain();
  }

  /** A filter failed. True when its policy lets the stream go on; otherwise the stream is answered or reset by now. */
  fail(instance: FilterInstance, error: ExtensionError, side: Side): boolean {
    const { entry } = instance;
    instance.unfit = undefined;
    entry.errors.add();
    if (error.code === 'budget') entry.trip(this.owner.wheel.now, this.#took);
    entry.logger.write('error', `filter failed${describeError(error, '\n')}`, {
      filter: entry.name,
      runtime: entry.runtime,
      stream: this.owner.info.id,
      policy: entry.failOpen ? 'fail_open' : 'fail_closed',
    });
    if (entry.failOpen) return true;
    instance.skipped = true;
    if (this.owner.responseStarted) {
      this.owner.reset('extension_failed');
      return false;
    }
    const reply: LocalReply = {
      status: entry.errorStatus,
      headers: this.owner.debugErrors ? [['x-weir-error', errorHeader(entry.name, error)]] : [],
      body: entry.errorBody,
      details: `filter_failed_${entry.name}`,
      code: 'extension_failed',
    };
    this.startReply(reply, side === this.response ? instance : undefined);
    return false;
  }

  /** A filter kept more than the limit. */
  overflow(direction: Direction): void {
    if (direction === 'request') {
      this.owner.drainConnection();
      this.startReply({
        status: 413,
        headers: [],
        body: 'Payload Too Large',
        details: 'request_payload_too_large',
        code: 'body_too_large',
      });
    } else if (this.owner.responseStarted) {
      this.owner.reset('response_too_large');
    } else {
      this.startReply({
        status: 500,
        headers: [],
        body: 'Internal Server Error',
        details: 'response_payload_too_large',
        code: 'response_too_large',
      });
    }
  }

  /** A filter answers. */
  reply(reply: LocalReply, from: FilterInstance): void {
    if (this.#running !== undefined) {
      this.#pendingReply = { reply, from };
      return;
    }
    // The filter has spoken, though its promise may not be settled yet.
    if (this.#waiting?.instance === from) {
      from.endLimit();
      this.#waiting = undefined;
    }
    const start = () => this.startReply(reply, this.response.started ? from : undefined);
    // What came while the filter was waited for has waited behind it, and is answered, too.
    if (this.#isBusy) this.enqueue(start);
    else start();
  }

  /** A filter ends the stream without an answer. */
  reset(): void {
    if (this.#running !== undefined) this.#pendingReset = true;
    else this.owner.reset('extension_failed');
  }

  /**
   * Answers with a local reply, which runs the response filters: all of them, or those behind `from`. Where filters have
   * begun with another response already, it goes straight to the client (as in Envoy).
   */
  startReply(reply: LocalReply, from?: FilterInstance): void {
    if (this.#destroyed || this.owner.responseStarted) return;
    const position =
      from !== undefined ? this.response.positionOf(from) + 1 : this.response.started ? this.instances.length : 0;
    this.#waiting?.instance.endLimit();
    this.#waiting = undefined;
    this.#tasks.length = 0;
    this.request.stop();
    this.response.restart();
    const { headers, body } = this.owner.beginLocalReply(reply);
    const steps = [() => this.response.start(headers, body.length === 0, position)];
    if (body.length > 0) steps.push(() => this.response.data(body, true, position));
    this.runSteps(steps, () => true);
  }

  /** Steps of the request side between the phases; false when the stream was answered instead. */
  enterStage(position: number): boolean {
    const { afterRoute, afterChooseEndpoint } = this.#chain;
    if (this.#stage === 'before-route' && position >= afterRoute) {
      this.#stage = 'after-route';
      this.rematch();
    }
    if (this.#stage === 'after-route' && position >= afterChooseEndpoint) {
      this.#stage = 'after-choose-endpoint';
      return this.owner.chooseEndpoint();
    }
    return true;
  }

  /** Finds the route, and which filters it disables. */
  rematch(): void {
    this.#cleared = false;
    this.owner.matchRoute();
    const { route } = this.owner;
    for (const instance of this.instances) {
      instance.disabled = route?.settingsOf(instance.entry.name)?.disabled === true;
    }
    this.#matched = this.owner.requestHeaders.revision;
  }

  /** Forgets what the route was matched by, so that it is matched again after the running hook. */
  clearRouteCache(): void {
    this.#cleared = true;
  }

  /** Finds the route anew when a filter asked for it or, with `byHeaders`, changed a header (as in Envoy). */
  rematchIfChanged(byHeaders: boolean): void {
    if (this.#stage !== 'after-route') return;
    if (this.#cleared || (byHeaders && this.owner.requestHeaders.revision !== this.#matched)) this.rematch();
  }

  /** No filter has a part in responses, and none has held or given one. */
  get #passesResponses(): boolean {
    return !this.#hasResponseHooks && !this.#hasResponseBodyHooks && this.#response === undefined;
  }

  get #isBusy(): boolean {
    return this.#running !== undefined || this.#waiting !== undefined;
  }

  #interrupted(): boolean {
    if (this.#pendingReset) {
      this.#pendingReset = false;
      this.owner.reset('extension_failed');
      return true;
    }
    const pending = this.#pendingReply;
    if (pending === undefined) return this.#destroyed;
    this.#pendingReply = undefined;
    this.startReply(pending.reply, this.response.started ? pending.from : undefined);
    return true;
  }

  #settle(waiting: Waiting, task: () => void): void {
    if (this.#waiting !== waiting) return;
    this.#waiting = undefined;
    waiting.instance.endLimit();
    if (this.#destroyed) return;
    task();
    this.#drain();
  }

  /** Queues something that came from a socket, which has to wait meanwhile. */
  #later(direction: Direction, task: () => void): void {
    this.owner.pauseReading(direction);
    this.#tasks.push(() => {
      this.owner.resumeReading(direction);
      task();
    });
  }

  #drain(): void {
    while (this.#tasks.length > 0 && !this.#isBusy && !this.#destroyed) (this.#tasks.shift() as () => void)();
  }

  #holds(direction: Direction): boolean {
    for (const instance of this.instances) {
      if ((direction === 'request' ? instance.heldRequest : instance.heldResponse) !== undefined) return true;
    }
    return false;
  }

  /** For hooks that can't change anything any more: a failure is counted and logged. */
  #quietly(instance: FilterInstance, hook: () => void): void {
    this.#chain.mark[0] = instance.entry.id;
    try {
      hook();
    } catch (error) {
      instance.entry.errors.add();
      instance.entry.logger.write('error', `filter failed at the end of a stream: ${messageOf(error)}`, {
        filter: instance.entry.name,
        stream: this.owner.info.id,
      });
    }
    this.#chain.mark[0] = 0;
  }
}
