/** One filter on one stream: the filter's own object, what it holds back, and the handle that it sees. */
import {
  type CallRequest,
  type CallResponse,
  type DynamicMetadata,
  ExtensionError,
  type HeaderMap,
  type Json,
  type Log,
  type Stream,
  type StreamFilter,
  type StreamInfo,
} from '../abi/index.ts';
import { FieldLog } from '../observability/logger.ts';
import { Timer, type TimerTarget } from '../timers.ts';
import type { FilterEntry } from './filter-entry.ts';
import type { Side } from './side.ts';
import type { StreamFilters } from './stream-filters.ts';

const NOTHING = new Uint8Array(0);

/** What a filter holds back on one side. */
export class Held {
  /** `stop`: nothing passes and no hook runs; `buffer`: the filter's own body hooks run. */
  mode: 'stop' | 'buffer';
  /** The headers have not gone on. */
  headers = false;
  /** Body pieces that the filter's hook has seen, or that it put in their place. */
  #chunks: Uint8Array[] = [];
  size = 0;
  /** The body's end has come, and the filter has seen it. */
  ended = false;
  trailers: HeaderMap | undefined = undefined;
  /** Pieces that came during a `stop`: the filter's hook has not seen them. */
  unseen: { chunk: Uint8Array; end: boolean }[] = [];
  unseenTrailers: HeaderMap | undefined = undefined;
  /** The filter put a body of its own in place. */
  replaced = false;
  /** Reading was stopped because of what is held. */
  paused = false;

  constructor(mode: 'stop' | 'buffer') {
    this.mode = mode;
  }

  keep(chunk: Uint8Array, end: boolean): void {
    if (chunk.length > 0) this.#chunks.push(chunk);
    this.size += chunk.length;
    if (end) this.ended = true;
  }

  /** Puts `body` in the place of all that was kept. */
  replace(body: Uint8Array): void {
    this.#chunks = [body];
    this.size = body.length;
    this.replaced = true;
  }

  /** All that is kept, in one piece. */
  bytes(): Uint8Array {
    if (this.#chunks.length > 1) this.#chunks = [join(this.#chunks, this.size)];
    return this.#chunks[0] ?? NOTHING;
  }

  /** The pieces that the hook has not seen, as one. */
  takeUnseen(): { chunk: Uint8Array; end: boolean } | undefined {
    const { unseen } = this;
    if (unseen.length < 2) return unseen[0];
    const size = unseen.reduce((sum, { chunk }) => sum + chunk.length, 0);
    return {
      chunk: join(
        unseen.map(({ chunk }) => chunk),
        size,
      ),
      end: unseen.at(-1)?.end === true,
    };
  }

  /** Forgets the last `length` bytes. */
  dropLast(length: number): void {
    const rest = this.bytes().subarray(0, this.size - length);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.size = rest.length;
  }
}

function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

export class FilterInstance implements Stream, TimerTarget {
  readonly entry: FilterEntry;
  readonly filters: StreamFilters;
  /** Its place on the request side. */
  readonly index: number;
  filter: StreamFilter = {};
  /** Its `match:` does not take this request, or it failed closed: its hooks do not run. */
  skipped = false;
  /** The route switched it off. */
  disabled = false;
  /** It failed before any hook could run; its policy is applied when the request reaches it. */
  unfit: ExtensionError | undefined = undefined;
  heldRequest: Held | undefined = undefined;
  heldResponse: Held | undefined = undefined;
  /** `continueRequest()` was called from within the hook that then returns `Stop`. */
  continuesRequest = false;
  continuesResponse = false;
  #limit: Timer | undefined;
  #log: Log | undefined;
  #timers: Set<NodeJS.Timeout> | undefined;

  constructor(filters: StreamFilters, entry: FilterEntry, index: number) {
    this.filters = filters;
    this.entry = entry;
    this.index = index;
  }

  get inactive(): boolean {
    return this.skipped || this.disabled;
  }
  get info(): StreamInfo {
    return this.filters.owner.info;
  }
  get requestHeaders(): HeaderMap {
    return this.filters.owner.requestHeaders;
  }
  get responseHeaders(): HeaderMap | undefined {
    return this.filters.owner.responseHeaders;
  }
  get requestBody(): Uint8Array {
    return this.filters.request.bodyOf(this);
  }
  get responseBody(): Uint8Array {
    return this.filters.response.bodyOf(this);
  }
  get metadata(): DynamicMetadata {
    return this.filters.owner.metadata;
  }
  get filterState(): Map<string, unknown> {
    return this.filters.owner.filterState;
  }
  get routeMetadata(): Readonly<Record<string, Json>> {
    return this.filters.owner.routeMetadata;
  }
  get virtualHostMetadata(): Readonly<Record<string, Json>> {
    return this.filters.owner.virtualHostMetadata;
  }
  get routeSettings(): Readonly<Record<string, Json>> | undefined {
    return this.filters.owner.route?.settingsOf(this.entry.name)?.given;
  }
  get routeConfig(): Json | undefined {
    return this.filters.owner.route?.settingsOf(this.entry.name)?.config;
  }
  get log(): Log {
    this.#log ??= new FieldLog(this.entry.logger, { filter: this.entry.name, stream: this.info.id });
    return this.#log;
  }

  setRequestBody(body: Uint8Array): void {
    this.#setBody(this.heldRequest, this.filters.request, body);
  }

  setResponseBody(body: Uint8Array): void {
    this.#setBody(this.heldResponse, this.filters.response, body);
  }

  continueRequest(): void {
    if (this.filters.isIn(this)) this.continuesRequest = true;
    else this.filters.enqueue(() => this.filters.request.continueFrom(this));
  }

  continueResponse(): void {
    if (this.filters.isIn(this)) this.continuesResponse = true;
    else this.filters.enqueue(() => this.filters.response.continueFrom(this));
  }

  respond(
    status: number,
    headers: Iterable<readonly [string, string]> = [],
    body: Uint8Array | string = '',
    details = `filter_${this.entry.name}`,
    grpcStatus?: number,
  ): void {
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      throw new ExtensionError('contract', `respond: the status must be between 200 and 599, not ${status}`);
    }
    if (this.filters.owner.responseStarted) {
      throw new ExtensionError('contract', 'respond: the response has started already');
    }
    this.entry.replies.add();
    this.filters.reply({ status, headers: [...headers], body, details, grpcStatus }, this);
  }

  clearRouteCache(): void {
    this.filters.clearRouteCache();
  }

  overrideEndpoint(address: string, strict: boolean): void {
    this.filters.owner.overrideEndpoint(address, strict);
  }

  drainConnection(): void {
    this.filters.owner.drainConnection();
  }

  setReasonPhrase(phrase: string): void {
    if (/[^\t\x20-\x7e\x80-\xff]/.test(phrase)) {
      throw new ExtensionError('contract', 'the reason phrase holds a character that can’t be sent');
    }
    this.filters.owner.setReasonPhrase(phrase);
  }

  reset(): void {
    this.filters.reset();
  }

  call(cluster: string, request: CallRequest): Promise<CallResponse> {
    return this.filters.owner.call(cluster, request);
  }

  setTimer(ms: number, callback: () => void): () => void {
    this.#timers ??= new Set();
    const timers = this.#timers;
    const timer = setTimeout(() => {
      timers.delete(timer);
      this.filters.enqueue(() => this.filters.guard(this, callback));
    }, ms);
    timers.add(timer);
    return () => {
      clearTimeout(timer);
      timers.delete(timer);
    };
  }

  /** Starts the time limit of a stop or a promise. */
  startLimit(): void {
    this.#limit ??= new Timer(this);
    this.filters.owner.wheel.set(this.#limit, this.entry.timeLimit);
  }

  endLimit(): void {
    if (this.#limit !== undefined) this.filters.owner.wheel.remove(this.#limit);
  }

  onTimer(): void {
    this.filters.overdue(this);
  }

  destroy(): void {
    this.endLimit();
    for (const timer of this.#timers ?? []) clearTimeout(timer);
    this.filter.onDestroy?.();
  }

  #setBody(held: Held | undefined, side: Side, body: Uint8Array): void {
    const target = held ?? side.holdForBody(this);
    if (target === undefined) {
      throw new ExtensionError('contract', 'the body can only be set while headers or a body are held');
    }
    target.replace(body);
  }
}
