/** The upstream half of a stream: chooses a connection, writes the request, sends it again after a stale connection. */
import type { HeaderMap } from '../abi/index.ts';
import type { Cluster } from '../clusters/cluster.ts';
import type { Endpoint } from '../clusters/endpoint.ts';
import type { UpstreamConnection, UpstreamHandler } from '../clusters/upstream-connection.ts';
import type { MessageHead } from '../codec/head.ts';
import { serializeRequestHead, serializeTrailers } from '../codec/serializer.ts';
import { WeirError } from '../errors.ts';
import { FramingError } from './response-writer.ts';

/** Methods that may be sent again. Source: RFC 9110, section 9.2.2. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);
/** Methods whose requests say that they have no body. Source: RFC 9110, section 8.6. */
const EXPECTS_BODY = new Set(['POST', 'PUT', 'PATCH']);
const MAX_RETRIES = 2;

/** What the stream hears. */
export interface UpstreamObserver {
  onResponseInterim(head: MessageHead): void;
  onResponseHead(head: MessageHead, end: boolean): void;
  onResponseBody(chunk: Buffer, end: boolean): void;
  onResponseTrailers(trailers: HeaderMap): void;
  onUpstreamFailed(error: WeirError): void;
  /** The upstream takes more of the request again. */
  onUpstreamWritable(): void;
  /** The request goes out on that connection. */
  onUpstreamConnected(connection: UpstreamConnection): void;
  /** Another endpoint was taken after a failed connection. */
  onEndpointChanged(endpoint: Endpoint): void;
}

export class UpstreamRequest implements UpstreamHandler {
  readonly #observer: UpstreamObserver;
  readonly #cluster: Cluster;
  #tried: Set<Endpoint> | undefined;
  #endpoint: Endpoint;
  #connection: UpstreamConnection | undefined;
  #method = '';
  #headers!: HeaderMap;
  #head = '';
  #chunked = false;
  /** Bytes of the body that the head still promises; -1 when it promises none. */
  #remaining = -1;
  /** What was written before there was a connection. */
  #queue: (string | Uint8Array)[] | undefined;
  #bodiless = false;
  #ended = false;
  #tunnel = false;
  #retries = 0;
  #closed = false;
  #started = 0;

  constructor(cluster: Cluster, endpoint: Endpoint, observer: UpstreamObserver) {
    this.#cluster = cluster;
    this.#endpoint = endpoint;
    this.#observer = observer;
  }

  /** Sends the head. `upgrade`: the protocol may change, so the request does not end before the answer. */
  start(headers: HeaderMap, end: boolean, upgrade: boolean): void {
    this.#headers = headers;
    const method = headers.get(':method') as string;
    const length = headers.get('content-length');
    this.#method = method;
    this.#bodiless = end;
    this.#tunnel = upgrade || method === 'CONNECT';
    let connection = '';
    if (upgrade) connection = 'connection: upgrade\r\n';
    if (length !== undefined) this.#remaining = end ? 0 : Number(length);
    else if (end && EXPECTS_BODY.has(method)) connection += 'content-length: 0\r\n';
    else if (!end) {
      this.#chunked = true;
      connection += 'transfer-encoding: chunked\r\n';
    }
    this.#head = serializeRequestHead(headers, connection);
    this.#cluster.requests.add();
    this.#endpoint.active++;
    this.#acquire(false);
  }

  /**
   * Sends a piece of the body. False when the upstream is slow, until `onUpstreamWritable`.
   * @throws FramingError when the body is not as long as the head said.
   */
  body(chunk: Uint8Array, end: boolean): boolean {
    if (this.#closed) return true;
    this.#ended = end;
    if (this.#remaining >= 0) {
      this.#remaining -= chunk.length;
      if (this.#remaining < 0 || (end && this.#remaining > 0)) {
        throw new FramingError('the request body is not as long as its content-length');
      }
    }
    const { length } = chunk;
    if (!this.#chunked) return this.#send(length > 0 ? [chunk] : []);
    const pieces: (string | Uint8Array)[] = length > 0 ? [`${length.toString(16)}\r\n`, chunk, '\r\n'] : [];
    if (end) pieces.push('0\r\n\r\n');
    return this.#send(pieces);
  }

  trailers(trailers: HeaderMap): void {
    if (this.#closed) return;
    this.#ended = true;
    this.#send(this.#chunked ? [serializeTrailers(trailers)] : []);
  }

  /** Gives it up, whatever its state. */
  abort(): void {
    if (this.#closed) return;
    this.#close();
    this.#endpoint.pool.cancel(this);
    this.#connection?.abort();
  }

  /** Stops reading the response; of no effect once all of it has come. */
  pauseResponse(): void {
    if (!this.#closed) this.#connection?.pause();
  }
  resumeResponse(): void {
    if (!this.#closed) this.#connection?.resume();
  }

  /** The upstream end of a tunnel. */
  detach() {
    this.#close();
    return this.#connection?.detach();
  }

  onUpstreamReady(connection: UpstreamConnection): void {
    if (this.#closed) return;
    if (connection.closed) {
      this.#acquire(true);
      return;
    }
    this.#begin(connection);
    this.#observer.onUpstreamWritable();
  }

  onUpstreamInterimHead(head: MessageHead): void {
    if (!this.#closed) this.#observer.onResponseInterim(head);
  }

  onUpstreamHead(head: MessageHead, end: boolean): void {
    if (this.#closed) return;
    this.#cluster.latency.observe((performance.now() - this.#started) / 1000);
    if (head.status === 101 && !this.#tunnel) {
      this.#connection?.abort();
      this.onUpstreamError(new WeirError('upstream_protocol_error', 'a 101 that nobody asked for'));
      return;
    }
    const switched = head.status === 101 || (this.#method === 'CONNECT' && head.status < 300);
    if (this.#tunnel && !switched) {
      this.#tunnel = false;
      if (this.#bodiless) this.#connection?.endRequest();
    }
    if (end && !switched) this.#close();
    this.#observer.onResponseHead(head, end);
  }

  onUpstreamBody(chunk: Buffer, end: boolean): void {
    if (this.#closed) return;
    if (end) this.#close();
    this.#observer.onResponseBody(chunk, end);
  }

  onUpstreamTrailers(trailers: HeaderMap): void {
    if (this.#closed) return;
    this.#close();
    this.#observer.onResponseTrailers(trailers);
  }

  onUpstreamDrain(): void {
    if (!this.#closed) this.#observer.onUpstreamWritable();
  }

  onUpstreamError(error: WeirError): void {
    if (this.#closed) return;
    const connection = this.#connection;
    this.#connection = undefined;
    if (this.#retry(error, connection)) return;
    this.#cluster.failures.add();
    this.#close();
    this.#observer.onUpstreamFailed(error);
  }

  /** Whether the request was sent again. Only what holds no body and may be repeated, or never left, is. */
  #retry(error: WeirError, connection: UpstreamConnection | undefined): boolean {
    if (!this.#bodiless || this.#tunnel || this.#retries >= MAX_RETRIES) return false;
    if (error.code === 'upstream_connect_failed' || error.code === 'upstream_connect_timeout') {
      this.#tried ??= new Set();
      this.#tried.add(this.#endpoint);
      const other = this.#cluster.choose(this.#headers, this.#tried);
      if (other === undefined) return false;
      this.#endpoint.active--;
      this.#endpoint = other;
      other.active++;
      this.#observer.onEndpointChanged(other);
    } else {
      const stale = error.code === 'upstream_reset' && connection?.isFresh === false && !connection.responseStarted;
      if (!stale || !IDEMPOTENT.has(this.#method)) return false;
    }
    this.#retries++;
    this.#cluster.retries.add();
    this.#acquire(true);
    return true;
  }

  #acquire(fresh: boolean): void {
    try {
      const connection = this.#endpoint.pool.acquire(this, fresh);
      if (connection !== undefined) this.#begin(connection);
    } catch (error) {
      this.#close();
      this.#cluster.failures.add();
      this.#observer.onUpstreamFailed(error as WeirError);
    }
  }

  #begin(connection: UpstreamConnection): void {
    this.#connection = connection;
    this.#observer.onUpstreamConnected(connection);
    this.#started = performance.now();
    connection.begin(this, this.#method);
    if (this.#bodiless) {
      connection.write(this.#head);
      if (!this.#tunnel) connection.endRequest();
      return;
    }
    // Head and first bytes go out in one piece.
    connection.cork();
    connection.write(this.#head);
    for (const piece of this.#queue ?? []) connection.write(piece);
    this.#queue = undefined;
    queueMicrotask(() => connection.uncork());
    if (this.#ended) connection.endRequest();
  }

  #send(pieces: readonly (string | Uint8Array)[]): boolean {
    const connection = this.#connection;
    if (connection === undefined) {
      this.#queue ??= [];
      this.#queue.push(...pieces);
      return false;
    }
    let open = true;
    if (pieces.length > 1) connection.cork();
    for (const piece of pieces) open = connection.write(piece);
    if (pieces.length > 1) connection.uncork();
    if (this.#ended) connection.endRequest();
    return open;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#head !== '') this.#endpoint.active--;
  }
}
