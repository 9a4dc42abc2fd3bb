/** One HTTP/1.1 connection to an endpoint: it writes requests and reads their responses, one at a time. */
import { connect, type Socket } from 'node:net';
import type { HeaderMap } from '../abi/index.ts';
import { type HeadLimits, type MessageHead, ProtocolError } from '../codec/head.ts';
import { MessageParser, type MessageSink } from '../codec/parser.ts';
import { type ErrorCode, WeirError } from '../errors.ts';
import { Timer, type TimerTarget, type TimerWheel } from '../timers.ts';
import type { Endpoint } from './endpoint.ts';

/** Who sent the request and wants its response. After `onUpstreamError`, or once the message ended, nothing more comes. */
export interface UpstreamHandler {
  /** A connection is there; for requests that had to wait for one. */
  onUpstreamReady(connection: UpstreamConnection): void;
  onUpstreamInterimHead(head: MessageHead): void;
  onUpstreamHead(head: MessageHead, end: boolean): void;
  onUpstreamBody(chunk: Buffer, end: boolean): void;
  onUpstreamTrailers(trailers: HeaderMap): void;
  onUpstreamError(error: WeirError): void;
  /** The connection takes more bytes again after `write` said that it is full. */
  onUpstreamDrain(): void;
}

/** Generous: an upstream is trusted more than a client. */
const RESPONSE_LIMITS: HeadLimits = { maxHeadSize: 256 * 1024, maxHeaders: 1000, maxTargetSize: 0 };
const SMALL_READ = 8 * 1024;
const LARGE_READ = 64 * 1024;
/** A body piece up to this size is copied out, so that the read buffer stays free. */
const COPY_LIMIT = 4 * 1024;
/** One end of a tunnel: no parser between the sockets any more. */
export interface TunnelEnd {
  socket: Socket;
  /** Bytes that came behind the head. */
  rest: Buffer;
  /** Has `onData` called for what comes from now on; the chunks are the caller's to keep. */
  listen(onData: (chunk: Buffer) => void): void;
}

export class UpstreamConnection implements MessageSink, TimerTarget {
  readonly endpoint: Endpoint;
  readonly #socket: Socket;
  readonly #parser = new MessageParser('response', RESPONSE_LIMITS, this);
  readonly #wheel: TimerWheel;
  readonly #timer = new Timer(this);
  #handler: UpstreamHandler | undefined;
  #connected = false;
  #closed = false;
  /** Whether the peer lets the connection live on after the response that is being read. */
  #keepAlive = true;
  #requestDone = false;
  #responseDone = false;
  #responseStarted = false;
  #served = 0;
  /** Free for the next read; undefined once someone else may hold a part of it. */
  #buffer: Buffer | undefined;
  #filled = false;
  #tunnelData: ((chunk: Buffer) => void) | undefined;

  /** @param buffer bytes that wait to be sent before the sender is told to pause. */
  constructor(endpoint: Endpoint, wheel: TimerWheel, buffer: number) {
    this.endpoint = endpoint;
    this.#wheel = wheel;
    const { host, port } = endpoint.address;
    const socket = connect({
      host,
      port,
      // Node takes what any stream takes.
      ...({ writableHighWaterMark: buffer } as object),
      noDelay: true,
      keepAlive: true,
      allowHalfOpen: true,
      // One read buffer is used again and again, and given away only with the body pieces that point into it.
      onread: { buffer: () => this.#readBuffer(), callback: (size, buffer) => this.#onRead(size, buffer) },
    });
    this.#socket = socket;
    socket.on('connect', () => this.#onConnect());
    socket.on('drain', () => this.#handler?.onUpstreamDrain());
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error) => this.#onError(error));
    socket.on('close', () => this.#fail('upstream_reset', 'the upstream closed the connection'));
    wheel.set(this.#timer, endpoint.connectTimeout);
  }

  /** Whether the running request was the first on this connection: only a later one may have met a stale connection. */
  get isFresh(): boolean {
    return this.#served <= 1;
  }

  /** Whether bytes of the running response have come. */
  get responseStarted(): boolean {
    return this.#responseStarted;
  }

  /** `ip:port` of this end. */
  get localAddress(): string {
    const { localAddress = '', localPort = 0 } = this.#socket;
    return localAddress.includes(':') ? `[${localAddress}]:${localPort}` : `${localAddress}:${localPort}`;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Starts a request; `write` and `endRequest` follow. */
  begin(handler: UpstreamHandler, method: string): void {
    this.#handler = handler;
    this.#requestDone = false;
    this.#responseDone = false;
    this.#responseStarted = false;
    this.#served++;
    this.#parser.requestMethod = method;
    if (this.#connected) this.#wheel.clear(this.#timer);
  }

  /** Writes bytes, or text as latin-1; false when the connection is full until `onUpstreamDrain`. */
  write(data: string | Uint8Array): boolean {
    return typeof data === 'string' ? this.#socket.write(data, 'latin1') : this.#socket.write(data);
  }

  /** Holds what is written back until `uncork`, so that it goes out in one piece. */
  cork(): void {
    this.#socket.cork();
  }
  uncork(): void {
    this.#socket.uncork();
  }

  /** The request is complete. */
  endRequest(): void {
    this.#requestDone = true;
    this.#releaseWhenDone();
  }

  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    if (!this.#closed) this.#socket.resume();
  }

  /** Gives the request up: the connection is closed, and the handler hears no more. */
  abort(): void {
    this.#handler = undefined;
    this.#close();
  }

  /** Makes a tunnel of it, after a 101 or a 2xx for CONNECT; call it once the parser's callbacks have returned. */
  detach(): TunnelEnd {
    const rest = this.#parser.takeRest();
    this.#handler = undefined;
    this.#closed = true;
    this.#wheel.remove(this.#timer);
    this.endpoint.pool.forget(this);
    for (const event of ['drain', 'end', 'error', 'close', 'connect']) this.#socket.removeAllListeners(event);
    this.#socket.pause();
    const listen = (onData: (chunk: Buffer) => void) => {
      this.#tunnelData = onData;
    };
    return { socket: this.#socket, rest, listen };
  }

  /** Requests that it has been given. */
  get served(): number {
    return this.#served;
  }

  /** Waits in the pool; after `idleTimeout` milliseconds it is closed. */
  idle(idleTimeout: number): void {
    this.#wheel.set(this.#timer, idleTimeout);
  }

  onTimer(): void {
    if (this.#connected) this.#close();
    else this.#fail('upstream_connect_timeout', `no connection to ${this.endpoint.name} within the time for it`);
  }

  onInterimHead(head: MessageHead): void {
    this.#handler?.onUpstreamInterimHead(head);
  }

  onHead(head: MessageHead, end: boolean): void {
    this.#keepAlive = head.keepAlive && head.upgrade === undefined;
    this.#responseDone = end;
    const handler = this.#handler;
    const switched = head.status === 101 || (this.#parser.requestMethod === 'CONNECT' && head.status < 300);
    if (end && !switched) this.#releaseWhenDone();
    handler?.onUpstreamHead(head, end);
  }

  onBody(chunk: Buffer, end: boolean): void {
    this.#responseDone = end;
    const handler = this.#handler;
    if (end) this.#releaseWhenDone();
    let piece = chunk;
    if (chunk.length > COPY_LIMIT) this.#buffer = undefined;
    else if (chunk.length > 0) piece = Buffer.from(chunk);
    handler?.onUpstreamBody(piece, end);
  }

  onTrailers(trailers: HeaderMap): void {
    this.#responseDone = true;
    const handler = this.#handler;
    this.#releaseWhenDone();
    handler?.onUpstreamTrailers(trailers);
  }

  #onConnect(): void {
    this.#connected = true;
    this.#wheel.clear(this.#timer);
    this.endpoint.pool.connected();
  }

  /** Small while small things come, so that idle connections cost little; large once a read has filled it. */
  #readBuffer(): Buffer {
    const size = this.#filled ? LARGE_READ : SMALL_READ;
    if (this.#buffer === undefined || this.#buffer.length !== size) this.#buffer = Buffer.allocUnsafeSlow(size);
    return this.#buffer;
  }

  #onRead(size: number, buffer: Uint8Array): boolean {
    this.#filled = size === buffer.length;
    const chunk = (buffer as Buffer).subarray(0, size);
    if (this.#tunnelData === undefined) this.#onData(chunk);
    else {
      this.#buffer = undefined;
      this.#tunnelData(chunk);
    }
    return true;
  }

  #onData(chunk: Buffer): void {
    if (this.#handler === undefined) {
      // Bytes that no request asked for.
      this.#close();
      return;
    }
    this.#responseStarted = true;
    try {
      this.#parser.execute(chunk);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail('upstream_protocol_error', `malformed response from ${this.endpoint.name}: ${error.message}`);
    }
  }

  #onEnd(): void {
    try {
      this.#parser.finish();
      this.#fail('upstream_reset', `${this.endpoint.name} closed the connection before it answered`);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail('upstream_reset', `${this.endpoint.name} closed the connection in the middle of its response`);
    }
  }

  #onError(error: Error): void {
    if (this.#connected) this.#fail('upstream_reset', `connection to ${this.endpoint.name}: ${error.message}`, error);
    else this.#fail('upstream_connect_failed', `no connection to ${this.endpoint.name}: ${error.message}`, error);
  }

  #fail(code: ErrorCode, message: string, cause?: Error): void {
    const handler = this.#handler;
    this.#handler = undefined;
    this.#close();
    handler?.onUpstreamError(new WeirError(code, message, cause));
  }

  /** Back to the pool once both messages are complete. A response that came early leaves a request half sent: no reuse. */
  #releaseWhenDone(): void {
    if (!this.#responseDone || this.#handler === undefined) return;
    if (!this.#requestDone) {
      this.#keepAlive = false;
      return;
    }
    this.#handler = undefined;
    if (!this.#keepAlive || this.#parser.hasRest || this.#closed) {
      this.#close();
      return;
    }
    this.#parser.next();
    if (this.#socket.isPaused()) this.#socket.resume();
    this.endpoint.pool.release(this);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#parser.stop();
    this.#wheel.remove(this.#timer);
    this.#socket.destroy();
    this.endpoint.pool.remove(this);
  }
}
