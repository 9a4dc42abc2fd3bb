/** A stream as an isolated module sees it: what it asks is here already, what it does is sent to the stream itself. */
import {
  type CallRequest,
  type CallResponse,
  type DynamicMetadata,
  HeaderMap,
  type Json,
  type Log,
  type LogLevel,
  type Stream,
  type StreamInfo,
} from '../../../src/abi/index.ts';
import type { Command, Entries, FromThread, StreamChanges, StreamStart } from './messages.ts';

export type Send = (message: FromThread) => void;
export type Call = (stream: number | undefined, cluster: string, request: CallRequest) => Promise<CallResponse>;

const NOTHING = new Uint8Array(0);
const LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'critical'];

export class IsolatedStream implements Stream {
  info: StreamInfo;
  requestHeaders = new HeaderMap();
  responseHeaders: HeaderMap | undefined;
  requestBody: Uint8Array = NOTHING;
  responseBody: Uint8Array = NOTHING;
  readonly metadata: DynamicMetadata;
  readonly filterState = new Map<string, unknown>();
  readonly routeMetadata: Stream['routeMetadata'];
  readonly virtualHostMetadata: Stream['virtualHostMetadata'];
  readonly routeConfig: Json | undefined;
  readonly routeSettings: Stream['routeSettings'];
  readonly log: Log;
  readonly #id: number;
  readonly #send: Send;
  readonly #call: Call;
  readonly #timers = new Set<NodeJS.Timeout>();
  #values: Record<string, Record<string, Json>> = {};
  /** Revisions of the headers as the stream itself has them. */
  readonly #synced = { request: -1, response: -1 };

  constructor(id: number, start: StreamStart, info: StreamInfo, send: Send, call: Call) {
    this.#id = id;
    this.#send = send;
    this.#call = call;
    this.info = info;
    this.routeMetadata = start.routeMetadata;
    this.virtualHostMetadata = start.virtualHostMetadata;
    this.routeConfig = start.routeConfig;
    this.routeSettings = start.routeSettings;
    this.log = logTo(send, id);
    this.metadata = {
      get: (namespace) => this.#values[namespace],
      namespaces: () => Object.keys(this.#values),
      set: (namespace, key, value) => {
        this.#values[namespace] = { ...this.#values[namespace], [key]: value };
        this.#do({ name: 'setMetadata', args: [namespace, key, value] });
      },
    };
  }

  /** Takes over what has changed elsewhere. */
  update(info: StreamInfo, { requestHeaders, responseHeaders, metadata }: StreamChanges): void {
    this.info = info;
    if (metadata !== undefined) this.#values = metadata;
    if (requestHeaders !== undefined) {
      this.requestHeaders = new HeaderMap(requestHeaders);
      this.#synced.request = this.requestHeaders.revision;
    }
    if (responseHeaders !== undefined) {
      this.responseHeaders = new HeaderMap(responseHeaders);
      this.#synced.response = this.responseHeaders.revision;
    }
  }

  /** What the module has changed since the last call. */
  changes(): StreamChanges {
    const changes: StreamChanges = {};
    const { requestHeaders, responseHeaders } = this;
    if (requestHeaders.revision !== this.#synced.request && this.#synced.request >= 0) {
      this.#synced.request = requestHeaders.revision;
      changes.requestHeaders = [...requestHeaders];
    }
    if (responseHeaders !== undefined && responseHeaders.revision !== this.#synced.response) {
      this.#synced.response = responseHeaders.revision;
      changes.responseHeaders = [...responseHeaders];
    }
    return changes;
  }

  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  setRequestBody(body: Uint8Array): void {
    this.#do({ name: 'setRequestBody', args: [body] });
  }
  setResponseBody(body: Uint8Array): void {
    this.#do({ name: 'setResponseBody', args: [body] });
  }
  continueRequest(): void {
    this.#do({ name: 'continueRequest', args: [] });
  }
  continueResponse(): void {
    this.#do({ name: 'continueResponse', args: [] });
  }
  respond(
    status: number,
    headers: Iterable<readonly [string, string]> = [],
    body: Uint8Array | string = '',
    details?: string,
    grpcStatus?: number,
  ): void {
    this.#do({ name: 'respond', args: [status, [...headers] as Entries, body, details, grpcStatus] });
  }
  clearRouteCache(): void {
    this.#do({ name: 'clearRouteCache', args: [] });
  }
  overrideEndpoint(address: string, strict: boolean): void {
    this.#do({ name: 'overrideEndpoint', args: [address, strict] });
  }
  drainConnection(): void {
    this.#do({ name: 'drainConnection', args: [] });
  }
  setReasonPhrase(phrase: string): void {
    this.#do({ name: 'setReasonPhrase', args: [phrase] });
  }
  reset(): void {
    this.#do({ name: 'reset', args: [] });
  }
  call(cluster: string, request: CallRequest): Promise<CallResponse> {
    return this.#call(this.#id, cluster, request);
  }
  setTimer(ms: number, callback: () => void): () => void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, ms);
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
      clearTimeout(timer);
    };
  }

  #do(command: Command): void {
    this.#send({ type: 'command', stream: this.#id, command, changes: this.changes() });
  }
}

/** A log whose lines are written by the worker. */
export function logTo(send: Send, stream: number | undefined): Log {
  const write = (level: LogLevel) => (message: string) => send({ type: 'log', stream, level, message });
  return {
    isEnabled: () => true,
    ...(Object.fromEntries(LEVELS.map((level) => [level, write(level)])) as Record<
      LogLevel,
      (message: string) => void
    >),
  };
}
