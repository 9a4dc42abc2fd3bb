/** One client connection: reads requests, one stream at a time, and closes it so that the client gets what was sent. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { HeaderMap } from '../abi/index.ts';
import type { TunnelEnd } from '../clusters/upstream-connection.ts';
import { type MessageHead, ProtocolError } from '../codec/head.ts';
import { MessageParser, type MessageSink } from '../codec/parser.ts';
import { reasonPhrase } from '../codec/serializer.ts';
import { Timer, type TimerTarget } from '../timers.ts';
import { ConnectionTls } from '../tls/tls-info.ts';
import type { HttpContext } from './http-context.ts';
import { HttpStream } from './http-stream.ts';
import { type ConnectionAddresses, StreamRecord } from './stream-record.ts';

/** After the last response, bytes of an unfinished request are read and dropped for so long, so that no RST destroys the response. */
const LINGER_TIME = 2000;
const LINGER_BYTES = 1024 * 1024;
const NOTHING = Buffer.alloc(0);

export class DownstreamConnection implements MessageSink, TimerTarget, ConnectionAddresses {
  readonly #socket: Socket;
  readonly #context: HttpContext;
  readonly #parser: MessageParser;
  readonly #timer = new Timer(this);
  /** For the stream; one object serves all of them in turn. */
  readonly #streamTimer = new Timer({ onTimer: () => this.#stream?.onTimer() });
  readonly #flush = () => this.#stream?.flushHead();
  #stream: HttpStream | undefined;
  #remote: string | undefined;
  #remoteHost: string | undefined;
  #local: string | undefined;
  readonly id: number;
  readonly tls: ConnectionTls | undefined;
  #pauses = 0;
  #waitsForStream = false;
  #waitsForDrain = false;
  #lingered = 0;
  #state: 'open' | 'lingering' | 'tunnel' | 'closed' = 'open';
  #ended = false;

  constructor(socket: Socket, context: HttpContext) {
    this.#socket = socket;
    this.#context = context;
    this.id = context.nextConnectionId();
    this.tls = socket instanceof TLSSocket ? new ConnectionTls(socket) : undefined;
    const { config } = context.snapshot;
    const limits = {
      maxHeadSize: config.max_head_size,
      maxHeaders: config.max_headers,
      maxTargetSize: config.max_target_size,
    };
    this.#parser = new MessageParser('request', limits, this);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('drain', () => this.#onDrain());
    socket.on('end', () => this.#onEnd());
    socket.on('error', () => {});
    socket.on('close', () => this.#onClose());
    context.metrics.connections.add();
    context.metrics.activeConnections.add(1);
    context.wheel.set(this.#timer, config.idle_timeout);
  }

  get remote(): string {
    this.#remote ??= joinAddress(this.#socket.remoteAddress, this.#socket.remotePort);
    return this.#remote;
  }
  get local(): string {
    this.#local ??= joinAddress(this.#socket.localAddress, this.#socket.localPort);
    return this.#local;
  }
  /** The client's address without port. */
  get remoteHost(): string {
    this.#remoteHost ??= this.#socket.remoteAddress ?? '';
    return this.#remoteHost;
  }

  /** Closes it: at once when no stream is on it, or else behind the stream, whose response says so. */
  close(): void {
    if (this.#stream === undefined && this.#state === 'open') this.#socket.destroySoon();
  }

  /**
   * Breaks the connection off, so that no client takes what it got for complete.
   * @param byReset an ordinary end would look like the end of the body.
   */
  abort(byReset = false): void {
    if (this.#state === 'closed') return;
    // A client that speaks TLS sees by the missing `close_notify` that something is missing.
    if (byReset && this.tls === undefined) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** Writes text as latin-1. False: the client is slow, wait for `onDownstreamDrain`. */
  writeText(text: string): boolean {
    return this.#socket.write(text, 'latin1');
  }

  writeBytes(chunk: Uint8Array): boolean {
    return this.#socket.write(chunk);
  }

  cork(): void {
    this.#socket.cork();
  }
  uncork(): void {
    this.#socket.uncork();
  }

  /** Has the stream's held head written after the running event, if no body came along with it. */
  flushSoon(): void {
    queueMicrotask(this.#flush);
  }

  pauseReading(): void {
    if (++this.#pauses === 1) this.#socket.pause();
  }

  resumeReading(): void {
    if (this.#pauses > 0 && --this.#pauses === 0) this.#socket.resume();
  }

  /** Arms the stream's timer. */
  setStreamTimer(ms: number): void {
    this.#context.wheel.set(this.#streamTimer, ms);
  }

  /** The stream has ended. */
  streamDone(keepAlive: boolean, requestDone: boolean): void {
    this.#stream = undefined;
    this.#context.wheel.clear(this.#streamTimer);
    if (this.#state !== 'open') return;
    if (!requestDone) {
      this.#linger();
      return;
    }
    if (!keepAlive || this.#context.draining) {
      this.#finish();
      return;
    }
    if (this.#socket.writableNeedDrain) {
      // A client that asks and does not read gets no further answer.
      this.#waitsForDrain = true;
      if (this.#pauses === 0) this.pauseReading();
      this.#context.wheel.set(this.#timer, this.#context.snapshot.config.stream_idle_timeout);
      return;
    }
    this.#nextRequest();
  }

  /** Gives the socket and the bytes behind the request to a tunnel. */
  detach(): TunnelEnd {
    this.#state = 'tunnel';
    this.#context.wheel.clear(this.#timer);
    const rest = this.#parser.takeRest();
    for (const event of ['data', 'drain', 'end']) this.#socket.removeAllListeners(event);
    this.#socket.pause();
    return { socket: this.#socket, rest, listen: (onData) => this.#socket.on('data', onData) };
  }

  onTimer(): void {
    if (this.#state === 'lingering') this.#socket.destroy();
    else if (this.#stream !== undefined) this.#stream.onRequestTimeout();
    else if (this.#waitsForDrain) this.#socket.destroy();
    else if (this.#parser.idle) this.#finish();
    else this.#reject(new ProtocolError(408, 'the head of the request did not come in time'));
  }

  onInterimHead(): void {}

  onHead(head: MessageHead, end: boolean): void {
    const { wheel, snapshot, metrics } = this.#context;
    if (end) wheel.clear(this.#timer);
    else wheel.set(this.#timer, snapshot.config.request_timeout);
    metrics.requests.add();
    metrics.activeStreams.add(1);
    if (this.tls !== undefined && head.method !== 'CONNECT') head.headers.set(':scheme', 'https');
    const protocol = head.minorVersion === 1 ? 'HTTP/1.1' : 'HTTP/1.0';
    const record = new StreamRecord(this.#context.nextStreamId(), this.#context.name, protocol, this);
    const stream = new HttpStream(this, this.#context, record, head, end);
    this.#stream = stream;
    stream.start();
  }

  onBody(chunk: Buffer, end: boolean): void {
    if (end) this.#context.wheel.clear(this.#timer);
    this.#stream?.onRequestBody(chunk, end);
  }

  onTrailers(trailers: HeaderMap): void {
    this.#context.wheel.clear(this.#timer);
    this.#stream?.onRequestTrailers(trailers);
  }

  #nextRequest(): void {
    this.#waitsForStream = false;
    if (this.#pauses > 0) {
      this.#pauses = 0;
      this.#socket.resume();
    }
    this.#context.wheel.set(this.#timer, this.#context.snapshot.config.idle_timeout);
    this.#guarded(NOTHING);
    if (this.#ended && this.#stream === undefined) this.#finish();
  }

  #onDrain(): void {
    if (this.#stream !== undefined) this.#stream.onDownstreamDrain();
    else if (this.#waitsForDrain) {
      this.#waitsForDrain = false;
      this.#nextRequest();
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#state === 'lingering') {
      this.#lingered += chunk.length;
      if (this.#lingered > LINGER_BYTES) this.#socket.destroy();
      return;
    }
    const wasIdle = this.#stream === undefined && this.#parser.idle;
    this.#guarded(chunk);
    if (this.#state !== 'open') return;
    if (this.#stream === undefined) {
      if (wasIdle && !this.#parser.idle)
        this.#context.wheel.set(this.#timer, this.#context.snapshot.config.header_timeout);
    } else if (this.#parser.hasRest && !this.#waitsForStream) {
      // The next request waits in the socket until this one is answered.
      this.#waitsForStream = true;
      this.pauseReading();
    }
  }

  /** Parses bytes, or goes on to the next request when there are none. */
  #guarded(chunk: Buffer): void {
    try {
      if (chunk.length > 0) this.#parser.execute(chunk);
      else this.#parser.next();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#reject(error);
    }
  }

  /** A malformed request: the client gets the reason, and the connection ends. */
  #reject(error: ProtocolError): void {
    this.#context.metrics.protocolErrors.add();
    this.#parser.stop();
    if (this.#stream !== undefined) {
      this.#stream.onBadRequest(error);
      return;
    }
    const { status } = error;
    const body = `${error.message}\n`;
    this.#context.metrics.responses[Math.floor(status / 100)]?.add();
    this.#context.logger.write('debug', `refused a request: ${error.message}`, { client: this.remote, status });
    this.writeText(
      `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n` +
        `date: ${new Date().toUTCString()}\r\nconnection: close\r\n\r\n${body}`,
    );
    this.#linger();
  }

  #onEnd(): void {
    this.#ended = true;
    if (this.#state === 'lingering') {
      this.#socket.destroy();
      return;
    }
    try {
      this.#parser.finish();
      // A client may close its side once its request is out, and still reads the answer.
      if (this.#stream === undefined) this.#finish();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (this.#stream === undefined) this.#socket.destroy();
      else this.abort();
    }
  }

  /** Ends it in order: what was written goes out first. */
  #finish(): void {
    if (this.#state !== 'open') return;
    if (this.#ended) {
      this.#state = 'lingering';
      this.#socket.end(() => this.#socket.destroy());
    } else {
      this.#linger();
    }
  }

  #linger(): void {
    if (this.#state !== 'open') return;
    this.#state = 'lingering';
    this.#parser.stop();
    this.#pauses = 0;
    this.#socket.resume();
    this.#socket.end();
    this.#context.wheel.set(this.#timer, LINGER_TIME);
  }

  #onClose(): void {
    this.#state = 'closed';
    this.#parser.stop();
    const { wheel, metrics } = this.#context;
    wheel.remove(this.#timer);
    metrics.activeConnections.add(-1);
    this.#stream?.onDownstreamClosed();
    wheel.remove(this.#streamTimer);
    this.#context.connectionClosed(this);
  }
}

function joinAddress(host: string | undefined, port: number | undefined): string {
  if (host === undefined) return '';
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
