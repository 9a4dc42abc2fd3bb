/** Writes one response to a client: framing by length, chunks or close; head and first bytes in one write. Source: RFC 9112, section 6. */
import type { HeaderMap } from '../abi/index.ts';
import { type BodyFraming, reasonPhrase, serializeHead, serializeTrailers } from '../codec/serializer.ts';

/** Bodies below it are joined with their head into one string; measured to be cheaper than two writes. */
const JOIN_LIMIT = 8192;

export interface ResponseSink {
  writeText(text: string): boolean;
  writeBytes(chunk: Uint8Array): boolean;
  cork(): void;
  uncork(): void;
  flushSoon(): void;
}

/** The body is longer or shorter than the head said: the message must not end as if it were whole. */
export class FramingError extends Error {
  override readonly name = 'FramingError';
}

export class ResponseWriter {
  readonly #sink: ResponseSink;
  /** A head that waits for the first bytes of its body. */
  #head = '';
  #framing: BodyFraming = 'length';
  #remaining = 0;
  /** The response has no body, whatever comes (HEAD, 204, 304). */
  #bodiless = false;
  started = false;
  /** Instead of the usual phrase; see `Stream.setReasonPhrase`. */
  reason: string | undefined = undefined;
  ended = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** The end of the connection says where the body ends. */
  get endsWithConnection(): boolean {
    return this.#framing === 'close';
  }

  /**
   * Takes the head. Returns whether the connection can live on: a body that ends with the connection can't.
   * @param minorVersion of the client's request.
   * @throws FramingError when `content-length` is no number.
   */
  start(headers: HeaderMap, end: boolean, method: string, minorVersion: number, keepAlive: boolean): boolean {
    this.started = true;
    const status = headers.get(':status') as string;
    this.#bodiless = method === 'HEAD' || status === '204' || status === '304' || status === '101';
    let connection = '';
    let persistent = keepAlive;
    const length = headers.get('content-length');
    if (status === '204') headers.remove('content-length');
    if (status === '101') {
      connection = 'connection: upgrade\r\n';
    } else if (this.#bodiless || (method === 'CONNECT' && status.startsWith('2'))) {
      this.#remaining = 0;
    } else if (length !== undefined) {
      this.#remaining = parseLength(length);
      if (end && this.#remaining > 0) throw new FramingError('the response has a content-length and no body');
    } else if (end) {
      connection = 'content-length: 0\r\n';
    } else if (minorVersion === 1) {
      this.#framing = 'chunked';
      connection = 'transfer-encoding: chunked\r\n';
    } else {
      this.#framing = 'close';
      persistent = false;
    }
    if (status !== '101') {
      if (!persistent) connection += 'connection: close\r\n';
      else if (minorVersion === 0) connection += 'connection: keep-alive\r\n';
    }
    this.#head = serializeHead(
      `HTTP/1.1 ${status} ${this.reason ?? reasonPhrase(Number(status))}`,
      headers,
      connection,
    );
    if (end) this.#finish('');
    else if (this.#bodiless) this.flush();
    else this.#sink.flushSoon();
    return persistent;
  }

  /**
   * Takes a piece of the body. False when the client is slow.
   * @throws FramingError
   */
  body(chunk: Uint8Array, end: boolean): boolean {
    if (this.#bodiless) {
      if (end) this.#finish('');
      return true;
    }
    let suffix = '';
    if (this.#framing === 'length') {
      this.#remaining -= chunk.length;
      if (this.#remaining < 0) throw new FramingError('the response body is longer than its content-length');
    } else if (this.#framing === 'chunked' && chunk.length > 0) {
      this.#head += `${chunk.length.toString(16)}\r\n`;
      suffix = '\r\n';
    }
    if (end) {
      if (this.#remaining > 0) throw new FramingError('the response body is shorter than its content-length');
      if (this.#framing === 'chunked') suffix += '0\r\n\r\n';
      this.ended = true;
    }
    return this.#write(chunk, suffix);
  }

  /** Ends the response with trailers, which only chunked coding can carry. */
  trailers(trailers: HeaderMap): void {
    if (this.#framing !== 'chunked' && this.#remaining > 0) {
      throw new FramingError('the response body is shorter than its content-length');
    }
    this.#finish(this.#framing === 'chunked' && !this.#bodiless ? serializeTrailers(trailers) : '');
  }

  /** Writes a head that is still held. */
  flush(): void {
    if (this.#head === '') return;
    const head = this.#head;
    this.#head = '';
    this.#sink.writeText(head);
  }

  #finish(text: string): void {
    this.ended = true;
    this.#head += text;
    this.flush();
  }

  #write(chunk: Uint8Array, suffix: string): boolean {
    const head = this.#head;
    this.#head = '';
    if (chunk.length === 0) return head === '' && suffix === '' ? true : this.#sink.writeText(head + suffix);
    if (head === '' && suffix === '') return this.#sink.writeBytes(chunk);
    if (chunk.length <= JOIN_LIMIT) return this.#sink.writeText(head + latin1(chunk) + suffix);
    this.#sink.cork();
    if (head !== '') this.#sink.writeText(head);
    let open = this.#sink.writeBytes(chunk);
    if (suffix !== '') open = this.#sink.writeText(suffix);
    this.#sink.uncork();
    return open;
  }
}

function latin1(chunk: Uint8Array): string {
  const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  return buffer.toString('latin1');
}

function parseLength(text: string): number {
  if (!/^[0-9]{1,15}$/.test(text)) throw new FramingError(`content-length ${JSON.stringify(text)} is not a number`);
  return Number(text);
}
