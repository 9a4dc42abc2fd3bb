/** A request that a filter sends through a cluster: the response is collected and given as one value. */
import { type CallRequest, type CallResponse, ExtensionError, HeaderMap } from '../abi/index.ts';
import type { MessageHead } from '../codec/head.ts';
import { serializeRequestHead, serializeTrailers } from '../codec/serializer.ts';
import type { WeirError } from '../errors.ts';
import { Timer, type TimerTarget, type TimerWheel } from '../timers.ts';
import type { ClusterSet } from './cluster.ts';
import type { Endpoint } from './endpoint.ts';
import type { UpstreamConnection, UpstreamHandler } from './upstream-connection.ts';

const NOTHING = new Uint8Array(0);
const DEFAULT_TIMEOUT = 5000;
/** Bytes of a response that a filter may get. */
const MAX_RESPONSE = 16 * 1024 * 1024;

/**
 * Starts a call; `cancel` ends it without an answer, for a stream that is gone.
 * @throws ExtensionError (`contract`) when the cluster is unknown or a pseudo-header is missing.
 */
export function startCall(
  clusters: ClusterSet,
  name: string,
  request: CallRequest,
  wheel: TimerWheel,
): { response: Promise<CallResponse>; cancel: () => void } {
  const cluster = clusters.get(name);
  if (cluster === undefined) throw new ExtensionError('contract', `there is no cluster ${JSON.stringify(name)}`);
  for (const header of [':method', ':path', ':authority']) {
    if (!request.headers.has(header)) throw new ExtensionError('contract', `a call's headers must include ${header}`);
  }
  cluster.requests.add();
  const call = new Call(request, wheel);
  const endpoint = cluster.choose(request.headers);
  call.start(endpoint);
  return { response: call.response, cancel: () => call.cancel() };
}

class Call implements UpstreamHandler, TimerTarget {
  readonly response: Promise<CallResponse>;
  readonly #request: CallRequest;
  readonly #wheel: TimerWheel;
  readonly #timer = new Timer(this);
  #resolve!: (response: CallResponse) => void;
  #endpoint: Endpoint | undefined;
  #connection: UpstreamConnection | undefined;
  #headers: HeaderMap | undefined;
  #chunks: Buffer[] = [];
  #size = 0;

  constructor(request: CallRequest, wheel: TimerWheel) {
    this.#request = request;
    this.#wheel = wheel;
    this.response = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    wheel.set(this.#timer, request.timeout ?? DEFAULT_TIMEOUT);
  }

  start(endpoint: Endpoint | undefined): void {
    if (endpoint === undefined) {
      this.#answer(503, 'no healthy upstream');
      return;
    }
    this.#endpoint = endpoint;
    try {
      const connection = endpoint.pool.acquire(this, false);
      if (connection !== undefined) this.onUpstreamReady(connection);
    } catch (error) {
      this.onUpstreamError(error as WeirError);
    }
  }

  cancel(): void {
    this.#wheel.remove(this.#timer);
    this.#endpoint?.pool.cancel(this);
    this.#connection?.abort();
    this.#connection = undefined;
  }

  onTimer(): void {
    this.cancel();
    this.#answer(504, 'upstream request timeout');
  }

  onUpstreamReady(connection: UpstreamConnection): void {
    if (connection.closed) {
      this.start(this.#endpoint);
      return;
    }
    this.#connection = connection;
    const { body = NOTHING, trailers } = this.#request;
    const headers = this.#request.headers.clone();
    const method = headers.get(':method') as string;
    headers.remove('transfer-encoding');
    headers.remove('connection');
    headers.remove('content-length');
    connection.begin(this, method);
    if (trailers !== undefined && trailers.size > 0) {
      connection.write(serializeRequestHead(headers, 'transfer-encoding: chunked\r\n'));
      if (body.length > 0) {
        connection.write(`${body.length.toString(16)}\r\n`);
        connection.write(body);
        connection.write('\r\n');
      }
      connection.write(serializeTrailers(trailers));
    } else {
      if (body.length > 0) headers.set('content-length', String(body.length));
      connection.write(serializeRequestHead(headers, ''));
      if (body.length > 0) connection.write(body);
    }
    connection.endRequest();
  }

  onUpstreamInterimHead(): void {}
  onUpstreamDrain(): void {}

  onUpstreamHead(head: MessageHead, end: boolean): void {
    this.#headers = head.headers;
    if (end) this.#finish(undefined);
  }

  onUpstreamBody(chunk: Buffer, end: boolean): void {
    this.#size += chunk.length;
    if (this.#size > MAX_RESPONSE) {
      this.cancel();
      this.#answer(503, 'upstream response too large');
      return;
    }
    if (chunk.length > 0) this.#chunks.push(chunk);
    if (end) this.#finish(undefined);
  }

  onUpstreamTrailers(trailers: HeaderMap): void {
    this.#finish(trailers);
  }

  onUpstreamError(error: WeirError): void {
    this.#wheel.remove(this.#timer);
    const timedOut = error.code === 'upstream_connect_timeout';
    const reset = this.#headers !== undefined || error.code === 'upstream_reset';
    const body = reset
      ? 'upstream connect error or disconnect/reset before headers. reset reason: connection termination'
      : 'upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: delayed connect error: Connection refused';
    this.#answer(timedOut ? 504 : 503, body);
  }

  #finish(trailers: HeaderMap | undefined): void {
    this.#wheel.remove(this.#timer);
    this.#connection = undefined;
    const headers = this.#headers as HeaderMap;
    this.#resolve({ headers, body: new Uint8Array(Buffer.concat(this.#chunks)), trailers });
  }

  /** A failure of the network, as Envoy's `httpCall` gives it to a script. */
  #answer(status: number, text: string): void {
    this.#wheel.remove(this.#timer);
    const body = new TextEncoder().encode(text);
    const headers = new HeaderMap([
      [':status', String(status)],
      ['content-length', String(body.length)],
      ['content-type', 'text/plain'],
    ]);
    this.#resolve({ headers, body, trailers: undefined });
  }
}
