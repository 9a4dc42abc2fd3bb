/** One direction of a stream through its filters: headers, body pieces and trailers go from filter to filter until one holds them. */
import { ExtensionError, FilterStatus, type HeaderMap } from '../abi/index.ts';
import { type FilterInstance, Held } from './filter-instance.ts';
import type { Direction } from './owner.ts';
import { Hook, INTERRUPTED, type StreamFilters } from './stream-filters.ts';

/** Bytes that may wait behind a `Stop` before the sender is told to wait. */
const HIGH_WATERMARK = 64 * 1024;
const MAX_ROUNDS = 10;
const NOTHING = new Uint8Array(0);

export class Side {
  readonly #filters: StreamFilters;
  readonly #direction: Direction;
  readonly #isRequest: boolean;
  #headers!: HeaderMap;
  /** The headers end the message. */
  #end = false;
  /** The piece that a body hook is looking at. */
  #chunk: Uint8Array = NOTHING;
  #chunkEnds = false;
  /** The filter whose headers hook runs, and whose body hook. */
  #inHeaders: FilterInstance | undefined;
  #inBody: FilterInstance | undefined;
  #rounds = 0;
  /** Counts restarts: what a filter of an earlier run still wants is ignored. */
  #run = 0;
  #dead = false;
  started = false;

  constructor(filters: StreamFilters, direction: Direction) {
    this.#filters = filters;
    this.#direction = direction;
    this.#isRequest = direction === 'request';
  }

  /** Sends a message's head through the filters from `position` on (in this side's order). */
  start(headers: HeaderMap, end: boolean, position = 0): void {
    this.started = true;
    this.#headers = headers;
    this.#end = end;
    this.#runHeaders(position);
  }

  /** Ends this side: what is held is forgotten and no hook runs any more. */
  stop(): void {
    this.#dead = true;
    this.#forgetHeld();
  }

  /** Makes it ready for another message, e.g. a local reply in the place of a response. */
  restart(): void {
    this.#run++;
    this.#forgetHeld();
  }

  /** A body piece has come; goes through the filters from `position` on. */
  data(chunk: Uint8Array, end: boolean, position = 0): void {
    const filters = this.#filters;
    const count = filters.instances.length;
    let piece = chunk;
    for (let j = position; j < count; j++) {
      const instance = this.#at(j);
      const held = this.#heldBy(instance);
      const hooked = !instance.inactive && this.#hasBodyHook(instance);
      if (held !== undefined) {
        if (held.mode === 'stop') {
          this.#holdUnseen(held, piece, end);
          return;
        }
        held.keep(piece, end);
        if (held.size > filters.owner.bufferLimit) {
          filters.overflow(this.#direction);
          return;
        }
        if (!hooked) {
          this.#buffered(instance, held);
          return;
        }
      } else if (!hooked) continue;
      this.#chunk = piece;
      this.#chunkEnds = end;
      this.#inBody = instance;
      const result = filters.invoke(instance, this.#isRequest ? Hook.RequestBody : Hook.ResponseBody, piece, end);
      this.#inBody = undefined;
      if (result === INTERRUPTED) return;
      const next = this.#afterBody(instance, j, result, piece, end, held);
      if (next === undefined) return;
      piece = next;
    }
    if (this.#isRequest) filters.owner.sendRequestBody(piece, end);
    else filters.owner.sendResponseBody(piece, end);
  }

  /** The message ended with trailers. */
  trailers(trailers: HeaderMap, position = 0): void {
    const filters = this.#filters;
    const count = filters.instances.length;
    for (let j = position; j < count; j++) {
      const instance = this.#at(j);
      const held = this.#heldBy(instance);
      if (held?.mode === 'stop') {
        held.unseenTrailers = trailers;
        return;
      }
      const { filter } = instance;
      const hook = this.#isRequest ? filter.onRequestTrailers : filter.onResponseTrailers;
      if (hook !== undefined && !instance.inactive) {
        const kind = this.#isRequest ? Hook.RequestTrailers : Hook.ResponseTrailers;
        const result = filters.invoke(instance, kind, trailers, true);
        if (result === INTERRUPTED || !this.#afterTrailers(instance, j, result, trailers)) return;
      } else if (held !== undefined) {
        held.trailers = trailers;
        this.#release(instance, j);
        return;
      }
    }
    if (this.#isRequest) filters.owner.sendRequestTrailers(trailers);
    else filters.owner.sendResponseTrailers(trailers);
  }

  /** A filter ends its hold. */
  continueFrom(instance: FilterInstance): void {
    if (!this.#dead && this.#heldBy(instance) !== undefined) this.#release(instance, this.positionOf(instance));
  }

  /** The place of a filter in this side's order. */
  positionOf(instance: FilterInstance): number {
    return this.#isRequest ? instance.index : this.#filters.instances.length - 1 - instance.index;
  }

  /** What the filter has kept, or the piece that its hook is looking at. */
  bodyOf(instance: FilterInstance): Uint8Array {
    return this.#heldBy(instance)?.bytes() ?? (this.#filters.isIn(instance) ? this.#chunk : NOTHING);
  }

  /** A hold for a filter whose running headers or body hook sets a body. */
  holdForBody(instance: FilterInstance): Held | undefined {
    if (this.#inHeaders === instance) return this.#hold(instance, 'buffer', true);
    if (this.#inBody !== instance) return undefined;
    const held = this.#hold(instance, 'buffer', false);
    held.ended = this.#chunkEnds;
    return held;
  }

  #runHeaders(position: number): void {
    const filters = this.#filters;
    const count = filters.instances.length;
    for (let j = position; ; j++) {
      if (this.#isRequest && !filters.enterStage(j)) return;
      if (j === count) break;
      const instance = this.#at(j);
      if (instance.inactive) continue;
      const { filter } = instance;
      if (this.#isRequest) {
        if (instance.unfit !== undefined && !filters.fail(instance, instance.unfit, this)) return;
        if (filter.onRequestHeaders === undefined) continue;
      } else if (filter.onResponseHeaders === undefined) continue;
      this.#inHeaders = instance;
      const kind = this.#isRequest ? Hook.RequestHeaders : Hook.ResponseHeaders;
      const result = filters.invoke(instance, kind, this.#headers, this.#end);
      if (result === INTERRUPTED) return;
      if (!this.#afterHeaders(instance, j, result)) return;
    }
    this.#inHeaders = undefined;
    if (this.#isRequest) filters.owner.sendRequestHeaders(this.#headers, this.#end);
    else filters.owner.sendResponseHeaders(this.#headers, this.#end);
  }

  /** Whether the headers go on to the next filter now. */
  #afterHeaders(instance: FilterInstance, j: number, result: unknown): boolean {
    const filters = this.#filters;
    switch (result) {
      case undefined:
      case FilterStatus.Continue:
        if (this.#isRequest) filters.rematchIfChanged(instance.entry.factory.clearsRouteCache === true);
        this.#inHeaders = undefined;
        if (this.#heldBy(instance) === undefined) return true;
        this.#release(instance, j);
        return false;
      case FilterStatus.Stop:
      case FilterStatus.StopAndBuffer: {
        const held = this.#hold(instance, result === FilterStatus.Stop ? 'stop' : 'buffer', true);
        this.#inHeaders = undefined;
        if (this.#takeContinue(instance)) {
          this.#release(instance, j);
          return false;
        }
        if (held.mode === 'stop' || held.ended) instance.startLimit();
        if (this.#isRequest && held.mode === 'buffer') filters.owner.wantRequestBody();
        return false;
      }
      case FilterStatus.RematchRoute:
      case FilterStatus.RechooseEndpoint:
        return this.#again(instance, j, result);
      default:
        if (!isPromise(result)) return this.#badResult(instance, result);
        this.#await(instance, result, (value) => {
          if (this.#afterHeaders(instance, j, value)) this.#runHeaders(j + 1);
        });
        return false;
    }
  }

  /** Another round of the same filter, after the route or the endpoint was found anew. */
  #again(instance: FilterInstance, j: number, result: FilterStatus): boolean {
    const filters = this.#filters;
    const phase = result === FilterStatus.RematchRoute ? 'after-route' : 'after-choose-endpoint';
    if (!this.#isRequest || instance.entry.phase !== phase) {
      const where = `${result} is for request headers in the phase ${phase}`;
      return filters.fail(instance, new ExtensionError('contract', where), this);
    }
    if (++this.#rounds > MAX_ROUNDS) {
      const often = `${result} was returned more than ${MAX_ROUNDS} times`;
      return filters.fail(instance, new ExtensionError('contract', often), this);
    }
    if (result === FilterStatus.RematchRoute) filters.rematch();
    else if (!filters.owner.chooseEndpoint()) return false;
    this.#runHeaders(j);
    return false;
  }

  /** What goes on to the next filter now, if anything. */
  #afterBody(
    instance: FilterInstance,
    j: number,
    result: unknown,
    chunk: Uint8Array,
    end: boolean,
    before: Held | undefined,
  ): Uint8Array | undefined {
    const held = this.#heldBy(instance);
    if (result === undefined || result === FilterStatus.Continue) {
      if (held === undefined) return chunk;
      this.#release(instance, j);
      return undefined;
    }
    if (result instanceof Uint8Array) {
      if (held === undefined) return result;
      held.replace(result);
      this.#release(instance, j);
      return undefined;
    }
    if (isPromise(result)) {
      this.#await(instance, result, (value) => {
        const next = this.#afterBody(instance, j, value, chunk, end, before);
        if (next !== undefined) this.data(next, end, j + 1);
      });
      return undefined;
    }
    if (result === FilterStatus.StopNoBuffer) {
      if (before !== undefined) before.dropLast(chunk.length);
      if (!end) return undefined;
      this.#hold(instance, 'buffer', false).ended = true;
    } else if (result === FilterStatus.StopAndBuffer || result === FilterStatus.Stop) {
      const kept = this.#hold(instance, result === FilterStatus.Stop ? 'stop' : 'buffer', false);
      if (held === undefined) kept.keep(chunk, end);
    } else {
      return this.#badResult(instance, result) ? chunk : undefined;
    }
    if (this.#takeContinue(instance)) this.#release(instance, j);
    else this.#buffered(instance, this.#heldBy(instance) as Held);
    return undefined;
  }

  #afterTrailers(instance: FilterInstance, j: number, result: unknown, trailers: HeaderMap): boolean {
    if (isPromise(result)) {
      this.#await(instance, result, (value) => {
        if (this.#afterTrailers(instance, j, value, trailers)) this.trailers(trailers, j + 1);
      });
      return false;
    }
    const goesOn = result === undefined || result === FilterStatus.Continue;
    if (goesOn && this.#heldBy(instance) === undefined) return true;
    if (!goesOn && !String(result).startsWith('Stop')) return this.#badResult(instance, result);
    this.#hold(instance, 'stop', false).trailers = trailers;
    if (goesOn || this.#takeContinue(instance)) this.#release(instance, j);
    else instance.startLimit();
    return false;
  }

  /** Lets go of all that a filter holds: headers first, then what it saw, then what it did not see yet. */
  #release(instance: FilterInstance, j: number): void {
    const filters = this.#filters;
    const held = this.#heldBy(instance) as Held;
    this.#setHeld(instance, undefined);
    instance.endLimit();
    if (held.paused) filters.owner.resumeReading(this.#direction);
    const steps: (() => void)[] = [];
    if (held.headers) {
      if (held.replaced) this.#fitContentLength(held);
      if (held.size > 0) this.#end = false;
      steps.push(() => this.#runHeaders(j + 1));
    }
    if (held.size > 0 || (held.ended && !this.#end)) {
      const ends = held.ended && held.trailers === undefined;
      steps.push(() => this.data(held.bytes(), ends, j + 1));
    }
    const { trailers, unseenTrailers } = held;
    if (trailers !== undefined) steps.push(() => this.trailers(trailers, j + 1));
    const unseen = held.takeUnseen();
    if (unseen !== undefined) steps.push(() => this.data(unseen.chunk, unseen.end, j));
    if (unseenTrailers !== undefined) steps.push(() => this.trailers(unseenTrailers, j));
    const run = this.#run;
    filters.runSteps(steps, () => !this.#dead && this.#run === run);
  }

  /** A body that a filter replaced has another length than the head says. */
  #fitContentLength(held: Held): void {
    const whole = held.ended && held.trailers === undefined;
    if (whole && held.size > 0) this.#headers.set('content-length', String(held.size));
    else if (whole && this.#headers.has('content-length')) this.#headers.set('content-length', '0');
    else this.#headers.remove('content-length');
  }

  #hold(instance: FilterInstance, mode: 'stop' | 'buffer', headers: boolean): Held {
    const known = this.#heldBy(instance);
    const held = known ?? new Held(mode);
    held.mode = mode;
    if (headers) {
      held.headers = true;
      if (this.#end) held.ended = true;
    }
    this.#setHeld(instance, held);
    return held;
  }

  #holdUnseen(held: Held, chunk: Uint8Array, end: boolean): void {
    held.unseen.push({ chunk, end });
    if (!held.paused && !end && held.unseen.reduce((sum, piece) => sum + piece.chunk.length, 0) > HIGH_WATERMARK) {
      held.paused = true;
      this.#filters.owner.pauseReading(this.#direction);
    }
  }

  /** Bytes were kept: within the limit they wait for more, and once the end is there the filter's time runs. */
  #buffered(instance: FilterInstance, held: Held): void {
    if (held.size > this.#filters.owner.bufferLimit) this.#filters.overflow(this.#direction);
    else if (held.ended || held.mode === 'stop') instance.startLimit();
  }

  #await(instance: FilterInstance, promise: PromiseLike<unknown>, then: (value: unknown) => void): void {
    const run = this.#run;
    this.#filters.wait(instance, this, promise, (value) => {
      if (!this.#dead && this.#run === run) then(value);
    });
  }

  #badResult(instance: FilterInstance, result: unknown): boolean {
    const known = Object.keys(FilterStatus).join(', ');
    const message = `a hook returned ${JSON.stringify(result) ?? String(result)}, which is none of ${known}`;
    return this.#filters.fail(instance, new ExtensionError('contract', message), this);
  }

  #takeContinue(instance: FilterInstance): boolean {
    const continues = this.#isRequest ? instance.continuesRequest : instance.continuesResponse;
    if (this.#isRequest) instance.continuesRequest = false;
    else instance.continuesResponse = false;
    return continues;
  }

  #at(j: number): FilterInstance {
    const { instances } = this.#filters;
    return instances[this.#isRequest ? j : instances.length - 1 - j] as FilterInstance;
  }

  #hasBodyHook({ filter }: FilterInstance): boolean {
    return (this.#isRequest ? filter.onRequestBody : filter.onResponseBody) !== undefined;
  }

  #heldBy(instance: FilterInstance): Held | undefined {
    return this.#isRequest ? instance.heldRequest : instance.heldResponse;
  }

  #setHeld(instance: FilterInstance, held: Held | undefined): void {
    if (this.#isRequest) instance.heldRequest = held;
    else instance.heldResponse = held;
  }

  #forgetHeld(): void {
    for (const instance of this.#filters.instances) {
      const held = this.#heldBy(instance);
      if (held === undefined) continue;
      instance.endLimit();
      if (held.paused) this.#filters.owner.resumeReading(this.#direction);
      this.#setHeld(instance, undefined);
    }
  }
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as PromiseLike<unknown>).then === 'function';
}
