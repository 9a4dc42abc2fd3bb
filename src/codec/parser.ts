/** An incremental, strict parser of HTTP/1.1 messages: bytes in, heads, body pieces and trailers out. Source: RFC 9112. */
import type { HeaderMap } from '../abi/index.ts';
import {
  type HeadLimits,
  type MessageHead,
  ProtocolError,
  parseRequestHead,
  parseResponseHead,
  parseTrailers,
} from './head.ts';

/** What a parser tells of each message: a head, then body pieces, the last one with `end`, or else trailers. */
export interface MessageSink {
  /** `end`: the message has no body. */
  onHead(head: MessageHead, end: boolean): void;
  /** An interim response (1xx but 101) came before the final one. */
  onInterimHead(head: MessageHead): void;
  /** `chunk` is a view into a read buffer that nobody writes again. With chunked coding the end is an empty last piece. */
  onBody(chunk: Buffer, end: boolean): void;
  /** Ends the message in the place of an ending body piece. */
  onTrailers(trailers: HeaderMap): void;
}

const State = {
  Head: 0,
  FixedBody: 1,
  ChunkSize: 2,
  ChunkData: 3,
  ChunkEnd: 4,
  Trailers: 5,
  UntilClose: 6,
  /** The message is complete; what follows waits for `next()` or `takeRest()`. */
  Done: 7,
  Dead: 8,
} as const;
type State = (typeof State)[keyof typeof State];

const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');
const EMPTY = Buffer.alloc(0);
const CR = 13;
const LF = 10;
/** Bytes of one chunk-size line with its extensions; and of all extensions that are put up with in one message. */
const MAX_CHUNK_LINE = 4096;
const MAX_CHUNK_EXTENSIONS = 16_384;
/** Digits of a chunk size: 2^52 - 1 still is an exact number. */
const MAX_CHUNK_DIGITS = 13;

export class MessageParser {
  readonly #request: boolean;
  readonly #limits: HeadLimits;
  readonly #sink: MessageSink;
  #state: State = State.Head as State;
  /** Bytes of an element (head, chunk line, trailers) that is not complete yet. */
  #stash: Buffer = EMPTY;
  #stashed = 0;
  /** Bytes of the stash that were searched for the element's end already. */
  #searched = 0;
  #remaining = 0;
  #extensionBytes = 0;
  #running = false;
  /** Bytes of the running input behind the message that was completed last. */
  #behind = 0;
  /** For responses: the method that they answer; it decides whether there is a body. */
  requestMethod = 'GET';

  constructor(kind: 'request' | 'response', limits: HeadLimits, sink: MessageSink) {
    this.#request = kind === 'request';
    this.#limits = limits;
    this.#sink = sink;
  }

  /** Whether no byte of a further message has come. */
  get idle(): boolean {
    return this.#state === State.Head && this.#stashed === 0;
  }

  /** Whether bytes came behind the message that is complete; also true to say in the callback that completes it. */
  get hasRest(): boolean {
    return this.#state === State.Done && (this.#running ? this.#behind > 0 : this.#stashed > 0);
  }

  /**
   * Takes bytes.
   * @throws ProtocolError when they break the protocol; the parser is dead then.
   */
  execute(data: Buffer): void {
    let buffer = data;
    if (this.#stashed > 0) {
      this.#keep(data);
      buffer = this.#stash.subarray(0, this.#stashed);
      if (this.#state === State.Done) return;
    }
    this.#running = true;
    try {
      const used = this.#consume(buffer);
      const rest = buffer.length - used;
      if (rest === 0) this.#dropStash();
      else if (this.#stashed === 0 || used > 0) {
        this.#dropStash();
        this.#keep(buffer.subarray(used));
      }
    } catch (error) {
      this.#state = State.Dead;
      throw error;
    } finally {
      this.#running = false;
    }
  }

  /**
   * Takes the end of the input.
   * @throws ProtocolError when a message is incomplete.
   */
  finish(): void {
    if (this.#state === State.UntilClose) {
      this.#state = State.Done;
      this.#sink.onBody(EMPTY, true);
    } else if (this.#state !== State.Done && this.#state !== State.Dead && !this.idle) {
      this.#state = State.Dead;
      throw new ProtocolError(400, 'the connection ended in the middle of a message');
    }
  }

  /** Goes on to the next message after a complete one; waiting bytes are parsed at once, or after the running call. */
  next(): void {
    if (this.#state !== State.Done) return;
    this.#state = State.Head;
    if (!this.#running && this.#stashed > 0) {
      const rest = this.#stash.subarray(0, this.#stashed);
      this.#dropStash();
      this.execute(rest);
    }
  }

  /** The bytes behind the complete message, for a tunnel; the parser is dead then. */
  takeRest(): Buffer {
    const rest = this.#stash.subarray(0, this.#stashed);
    this.#dropStash();
    this.#state = State.Dead;
    return rest;
  }

  /** Ignores everything from now on. */
  stop(): void {
    this.#state = State.Dead;
    this.#dropStash();
  }

  /** Parses as much of `buffer` as is complete; returns the number of bytes used. */
  #consume(buffer: Buffer): number {
    let at = 0;
    for (;;) {
      const start = at;
      switch (this.#state) {
        case State.Head:
          at = this.#readHead(buffer, at);
          break;
        case State.FixedBody:
          at = this.#readFixedBody(buffer, at);
          break;
        case State.ChunkSize:
          at = this.#readChunkSize(buffer, at);
          break;
        case State.ChunkData:
          at = this.#readChunkData(buffer, at);
          break;
        case State.ChunkEnd:
          at = this.#readChunkEnd(buffer, at);
          break;
        case State.Trailers:
          at = this.#readTrailers(buffer, at);
          break;
        case State.UntilClose:
          if (at < buffer.length) this.#sink.onBody(buffer.subarray(at), false);
          at = buffer.length;
          break;
        case State.Done:
          return at;
        default:
          return buffer.length;
      }
      if (at === start || at === buffer.length) return at;
    }
  }

  #readHead(buffer: Buffer, from: number): number {
    let start = from;
    if (this.#request) {
      // Empty lines before a request line are ignored (RFC 9112, section 2.2).
      while (buffer[start] === CR && buffer[start + 1] === LF) start += 2;
      if (start > from) return start;
    }
    const end = buffer.indexOf(HEAD_END, start + Math.max(0, this.#searched - 3));
    const size = (end < 0 ? buffer.length : end) - start;
    if (size > this.#limits.maxHeadSize) throw this.#headTooLarge(buffer, start);
    if (end < 0) {
      checkPartialHead(buffer, start + Math.max(0, this.#searched - 1));
      this.#searched = buffer.length - start;
      return from;
    }
    this.#searched = 0;
    this.#behind = buffer.length - end - 4;
    const text = buffer.toString('latin1', start, end + 2);
    if (this.#request) this.#startRequest(parseRequestHead(text, this.#limits));
    else this.#startResponse(parseResponseHead(text, this.#limits));
    return end + 4;
  }

  #headTooLarge(buffer: Buffer, start: number): ProtocolError {
    const lineEnd = buffer.indexOf(LINE_END, start);
    if (this.#request && (lineEnd < 0 || lineEnd - start > this.#limits.maxTargetSize + 40)) {
      return new ProtocolError(414, 'the request target is too long');
    }
    return new ProtocolError(431, 'the header section is too large');
  }

  #startRequest(head: MessageHead): void {
    const end = !head.chunked && head.contentLength <= 0;
    this.#startBody(head, end);
    this.#sink.onHead(head, end);
  }

  #startResponse(head: MessageHead): void {
    const { status } = head;
    if (status < 200 && status !== 101) {
      this.#sink.onInterimHead(head);
      return;
    }
    // RFC 9112, section 6.3: which responses have no body, whatever their fields say.
    const none =
      this.requestMethod === 'HEAD' ||
      status === 101 ||
      status === 204 ||
      status === 304 ||
      (this.requestMethod === 'CONNECT' && status < 300);
    const end = none || head.contentLength === 0;
    this.#startBody(head, end);
    if (!end && !head.chunked && head.contentLength < 0) {
      this.#state = State.UntilClose;
      head.keepAlive = false;
    }
    this.#sink.onHead(head, end);
  }

  #startBody(head: MessageHead, end: boolean): void {
    this.#extensionBytes = 0;
    this.#remaining = head.contentLength;
    this.#state = end ? State.Done : head.chunked ? State.ChunkSize : State.FixedBody;
  }

  #readFixedBody(buffer: Buffer, at: number): number {
    const available = buffer.length - at;
    if (available === 0) return at;
    if (available < this.#remaining) {
      this.#remaining -= available;
      this.#sink.onBody(at === 0 ? buffer : buffer.subarray(at), false);
      return buffer.length;
    }
    const end = at + this.#remaining;
    this.#remaining = 0;
    this.#behind = buffer.length - end;
    this.#state = State.Done;
    this.#sink.onBody(buffer.subarray(at, end), true);
    return end;
  }

  #readChunkSize(buffer: Buffer, at: number): number {
    const end = buffer.indexOf(LF, at);
    if ((end < 0 ? buffer.length : end) - at > MAX_CHUNK_LINE)
      throw new ProtocolError(400, 'a chunk-size line is too long');
    if (end < 0) {
      checkPartialChunkLine(buffer, at);
      return at;
    }
    let size = 0;
    let position = at;
    for (; position < end; position++) {
      const digit = hexDigit(buffer[position] as number);
      if (digit < 0) break;
      if (position - at >= MAX_CHUNK_DIGITS) throw new ProtocolError(400, 'a chunk size is too large');
      size = size * 16 + digit;
    }
    if (position === at) throw new ProtocolError(400, 'a chunk size is not a hexadecimal number');
    if (position !== end - 1 || buffer[position] !== CR) this.#checkExtensions(buffer, position, end);
    this.#remaining = size;
    this.#state = size === 0 ? State.Trailers : State.ChunkData;
    return end + 1;
  }

  /** Extensions are checked and dropped (RFC 9112, section 7.1.1). */
  #checkExtensions(buffer: Buffer, start: number, end: number): void {
    this.#extensionBytes += end - start;
    if (this.#extensionBytes > MAX_CHUNK_EXTENSIONS) throw new ProtocolError(400, 'too many chunk extensions');
    if (buffer[end - 1] !== CR) throw new ProtocolError(400, 'a chunk-size line ends in a bare LF');
    const text = buffer.toString('latin1', start, end - 1);
    if (!CHUNK_EXTENSIONS.test(text)) throw new ProtocolError(400, 'a chunk size or extension is malformed');
  }

  #readChunkData(buffer: Buffer, at: number): number {
    const available = buffer.length - at;
    if (available === 0) return at;
    const size = Math.min(available, this.#remaining);
    this.#remaining -= size;
    if (this.#remaining === 0) this.#state = State.ChunkEnd;
    this.#sink.onBody(size === buffer.length ? buffer : buffer.subarray(at, at + size), false);
    return at + size;
  }

  #readChunkEnd(buffer: Buffer, at: number): number {
    if (at < buffer.length && buffer[at] !== CR) throw new ProtocolError(400, 'bytes behind the end of a chunk');
    if (at + 1 >= buffer.length) return at;
    if (buffer[at + 1] !== LF) throw new ProtocolError(400, 'bytes behind the end of a chunk');
    this.#state = State.ChunkSize;
    return at + 2;
  }

  #readTrailers(buffer: Buffer, at: number): number {
    if (buffer[at] === CR && buffer[at + 1] === LF) {
      this.#behind = buffer.length - at - 2;
      this.#state = State.Done;
      this.#sink.onBody(EMPTY, true);
      return at + 2;
    }
    const end = buffer.indexOf(HEAD_END, at);
    if ((end < 0 ? buffer.length : end) - at > this.#limits.maxHeadSize) {
      throw new ProtocolError(431, 'the trailer section is too large');
    }
    if (end < 0) {
      checkPartialHead(buffer, at);
      return at;
    }
    const trailers = parseTrailers(buffer.toString('latin1', at, end + 2), this.#limits);
    this.#behind = buffer.length - end - 4;
    this.#state = State.Done;
    this.#sink.onTrailers(trailers);
    return end + 4;
  }

  /** Appends to the stash, which doubles when it is full: a head that comes byte by byte costs no more than twice its size. */
  #keep(data: Buffer): void {
    const size = this.#stashed + data.length;
    if (size > this.#stash.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(size, this.#stash.length * 2, 512));
      this.#stash.copy(larger, 0, 0, this.#stashed);
      this.#stash = larger;
    }
    data.copy(this.#stash, this.#stashed);
    this.#stashed = size;
  }

  /** Forgets the stash; its memory may live on in body pieces, so it is never written again. */
  #dropStash(): void {
    this.#stash = EMPTY;
    this.#stashed = 0;
  }
}

const CHUNK_EXTENSIONS =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)+$/;

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** A bare LF, a CR without LF or a NUL can't become a valid head: say so before the rest has come. */
function checkPartialHead(buffer: Buffer, from: number): void {
  for (let i = from; i < buffer.length; i++) {
    const code = buffer[i];
    if (code === LF && buffer[i - 1] !== CR) throw new ProtocolError(400, 'a line ends in a bare LF');
    if (code === CR && i + 1 < buffer.length && buffer[i + 1] !== LF) throw new ProtocolError(400, 'a bare CR');
    if (code === 0) throw new ProtocolError(400, 'a NUL in the head');
  }
}

function checkPartialChunkLine(buffer: Buffer, from: number): void {
  if (from < buffer.length && hexDigit(buffer[from] as number) < 0) {
    throw new ProtocolError(400, 'a chunk size is not a hexadecimal number');
  }
}
