/**
 * gRPC over one HTTP/2 connection to one process of a plugin: unary calls and streams, as lean as `node:http2` allows, since it
 * is on the path of requests (grpc-js costs four times as much). Source: gRPC over HTTP/2 (grpc/grpc, doc/PROTOCOL-HTTP2.md).
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import type { PluginProcess } from '../../src/abi/index.ts';

/** Codes of gRPC that this file gives out itself. */
export const GrpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  deadline: 4,
  resource: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

export class GrpcError extends Error {
  override readonly name = 'GrpcError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** What comes back of a stream: messages, and then always one end. */
export interface GrpcEvents {
  onMessage(message: Buffer): void;
  /** `undefined`: gRPC's status was OK. */
  onEnd(error: GrpcError | undefined): void;
}

const HEADERS = [
  ':method',
  'POST',
  ':scheme',
  'http',
  ':authority',
  'plugin',
  'te',
  'trailers',
  'content-type',
  'application/grpc',
] as const;
/** Source: gRPC, "Length-Prefixed-Message". */
const PREFIX = 5;
const WINDOW = 1024 * 1024;

export class GrpcConnection {
  readonly process: PluginProcess;
  /** Calls that it has not ended. */
  active = 0;
  /** It can take calls. */
  isUp = false;
  readonly #session: ClientHttp2Session;
  readonly #maxMessage: number;

  /**
   * @param onUp called once it can take calls.
   * @param onDown called once it can no longer, also when it never could.
   */
  constructor(process: PluginProcess, maxMessage: number, onUp: () => void, onDown: () => void) {
    this.process = process;
    this.#maxMessage = maxMessage;
    const { network, address } = process;
    const cut = address.lastIndexOf(':');
    const target =
      network === 'unix' ? { path: address } : { host: address.slice(0, cut), port: Number(address.slice(cut + 1)) };
    this.#session = connect('http://plugin', {
      createConnection: () => connectSocket({ ...target, noDelay: true }),
      settings: { enablePush: false, initialWindowSize: WINDOW },
    });
    // Its owner ends it; it alone keeps nothing alive.
    this.#session.unref();
    let down = false;
    const end = () => {
      if (down) return;
      down = true;
      this.isUp = false;
      onDown();
    };
    this.#session.once('remoteSettings', () => {
      this.#session.setLocalWindowSize(16 * WINDOW);
      this.isUp = !down;
      onUp();
    });
    this.#session.on('goaway', end);
    this.#session.on('error', end);
    this.#session.on('close', end);
  }

  /**
   * Opens a stream of method `path`.
   * @param timeout milliseconds that the other side is told; not enforced here.
   */
  open(path: string, timeout: number | undefined, events: GrpcEvents): GrpcCall {
    return new GrpcCall(this, this.#session, path, timeout, this.#maxMessage, events);
  }

  /** Lets calls end, then ends. */
  close(): void {
    this.isUp = false;
    this.#session.close();
  }

  /** Ends at once. */
  destroy(): void {
    this.isUp = false;
    this.#session.destroy();
  }
}

export class GrpcCall {
  readonly #connection: GrpcConnection;
  readonly #events: GrpcEvents;
  readonly #maxMessage: number;
  readonly #stream: ClientHttp2Stream | undefined;
  /** What came of messages that are not complete, and how much must be there to go on. */
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #wanted = PREFIX;
  #error: GrpcError | undefined;
  #ended = false;

  constructor(
    connection: GrpcConnection,
    session: ClientHttp2Session,
    path: string,
    timeout: number | undefined,
    maxMessage: number,
    events: GrpcEvents,
  ) {
    this.#connection = connection;
    this.#events = events;
    this.#maxMessage = maxMessage;
    connection.active++;
    const headers = [...HEADERS, ':path', path];
    if (timeout !== undefined) headers.push('grpc-timeout', `${Math.max(1, Math.ceil(timeout))}m`);
    try {
      this.#stream = session.request(headers);
    } catch (error) {
      queueMicrotask(() => this.#end(new GrpcError(GrpcCode.unavailable, (error as Error).message)));
      return;
    }
    this.#stream.on('response', (received) => this.#onHead(received));
    this.#stream.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#stream.on('trailers', (received) => this.#onStatus(received));
    this.#stream.on('error', (error) => {
      this.#error ??= new GrpcError(GrpcCode.unavailable, error.message);
    });
    this.#stream.on('close', () => {
      if (!this.#ended) this.#end(this.#error ?? new GrpcError(GrpcCode.unavailable, 'the connection ended'));
    });
  }

  get process(): PluginProcess {
    return this.#connection.process;
  }

  /** @param end no message follows. */
  send(message: Uint8Array, end: boolean): void {
    if (this.#ended || this.#stream === undefined || this.#stream.writableEnded) return;
    const frame = Buffer.allocUnsafe(PREFIX + message.length);
    frame[0] = 0;
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, PREFIX);
    if (end) this.#stream.end(frame);
    else this.#stream.write(frame);
  }

  /** No message follows. */
  end(): void {
    if (!this.#ended) this.#stream?.end();
  }

  /** Ends both sides; the events get the given error. */
  cancel(error: GrpcError): void {
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    this.#end(error);
  }

  /** Bytes that wait to be sent. */
  get backlog(): number {
    return this.#stream?.writableLength ?? 0;
  }

  #onHead(headers: Record<string, unknown>): void {
    if (headers[':status'] !== 200) {
      this.cancel(new GrpcError(GrpcCode.unavailable, `it answered with HTTP status ${headers[':status']}`));
    } else if (headers['grpc-status'] !== undefined) {
      this.#onStatus(headers);
    } else if (!String(headers['content-type']).startsWith('application/grpc')) {
      this.cancel(new GrpcError(GrpcCode.unknown, `its answer is no gRPC but ${headers['content-type']}`));
    }
  }

  #onStatus(trailers: Record<string, unknown>): void {
    const code = Number(trailers['grpc-status'] ?? GrpcCode.unknown);
    this.#error = code === 0 ? undefined : new GrpcError(code, decode(String(trailers['grpc-message'] ?? '')));
    if (this.#error === undefined && this.#size > 0) {
      this.#error = new GrpcError(GrpcCode.internal, 'it ended within a message');
    }
    this.#end(this.#error);
  }

  #onData(chunk: Buffer): void {
    this.#size += chunk.length;
    this.#chunks.push(chunk);
    if (this.#size < this.#wanted) return;
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    this.#chunks.length = 0;
    this.#wanted = PREFIX;
    while (!this.#ended && bytes.length >= PREFIX) {
      const length = bytes.readUInt32BE(1);
      if (length > this.#maxMessage) {
        const why = `it sent a message of ${length} bytes, over max_message_size (${this.#maxMessage})`;
        this.cancel(new GrpcError(GrpcCode.resource, why));
        return;
      }
      if (bytes[0] !== 0) {
        this.cancel(new GrpcError(GrpcCode.unimplemented, 'it sent a compressed message'));
        return;
      }
      if (bytes.length < PREFIX + length) {
        this.#wanted = PREFIX + length;
        break;
      }
      this.#events.onMessage(bytes.subarray(PREFIX, PREFIX + length));
      bytes = bytes.subarray(PREFIX + length);
    }
    this.#size = bytes.length;
    if (bytes.length > 0) this.#chunks.push(bytes);
  }

  #end(error: GrpcError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#connection.active--;
    this.#events.onEnd(error);
  }
}

/** Source: gRPC, `grpc-message` is percent-encoded. */
function decode(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
