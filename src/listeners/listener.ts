/** One listening socket and its connections. It outlives snapshots: a reload gives it another one. */
import { createServer, type Server, type Socket } from 'node:net';
import { formatAddress } from '../config/values.ts';
import { messageOf, WeirError } from '../errors.ts';
import { DownstreamConnection } from '../http/downstream-connection.ts';
import { type HttpContext, HttpMetrics, type HttpSnapshot } from '../http/http-context.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { TimerWheel } from '../timers.ts';

const BACKLOG = 4096;

/** The next numbers of a data plane. */
export interface StreamIds {
  stream: number;
  connection: number;
}

export class Listener implements HttpContext {
  readonly name: string;
  readonly wheel: TimerWheel;
  readonly logger: Logger;
  readonly metrics: HttpMetrics;
  readonly #server: Server;
  /** Connections whose TLS handshake goes on. */
  readonly #handshaking = new Set<Socket>();
  readonly #connections = new Set<{ close(): void; abort(): void }>();
  readonly #ids: StreamIds;
  #snapshot: HttpSnapshot;
  #draining = false;

  constructor(snapshot: HttpSnapshot, wheel: TimerWheel, logger: Logger, metrics: Metrics, ids: StreamIds) {
    this.name = snapshot.config.name;
    this.#snapshot = snapshot;
    this.#useTls(snapshot);
    this.wheel = wheel;
    this.logger = logger;
    this.metrics = new HttpMetrics(metrics, this.name);
    this.#ids = ids;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) =>
      this.#onSocket(socket),
    );
    this.#server.maxConnections = snapshot.config.max_connections;
  }

  get snapshot(): HttpSnapshot {
    return this.#snapshot;
  }
  get draining(): boolean {
    return this.#draining;
  }
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** `host:port` as the configuration says it: what two listeners must not share. */
  get key(): string {
    return formatAddress(this.#snapshot.config.address);
  }

  /** The port that it got, where the configuration says 0. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  nextStreamId(): number {
    return this.#ids.stream++;
  }

  nextConnectionId(): number {
    return this.#ids.connection++;
  }

  /**
   * Starts listening.
   * @param shared several workers listen on the same address, and the system spreads the connections (SO_REUSEPORT).
   * @throws WeirError `listen_failed`
   */
  listen(shared: boolean): Promise<void> {
    const { host, port } = this.#snapshot.config.address;
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException) => {
        const why = error.code === 'EADDRINUSE' ? 'the address is in use by another program' : messageOf(error);
        reject(new WeirError('listen_failed', `can't listen on ${this.key}: ${why}`, error));
      };
      this.#server.once('error', onError);
      this.#server.listen({ host, port, backlog: BACKLOG, reusePort: shared }, () => {
        this.#server.off('error', onError);
        this.#server.on('error', (error) => this.logger.write('error', `listener ${this.name}: ${error.message}`));
        resolve();
      });
    });
  }

  /** New streams use `snapshot`; streams in flight end on theirs. */
  swap(snapshot: HttpSnapshot): void {
    const previous = this.#snapshot;
    this.#snapshot = snapshot;
    this.#useTls(snapshot);
    this.#server.maxConnections = snapshot.config.max_connections;
    if (previous !== snapshot) previous.retire();
  }

  /** Stops accepting; idle connections are closed, others after the response that they wait for. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#server.close();
    for (const connection of [...this.#connections]) connection.close();
  }

  /** Ends everything now. */
  close(): void {
    this.drain();
    for (const connection of [...this.#connections]) connection.abort();
    for (const socket of this.#handshaking) socket.destroy();
    this.#snapshot.retire();
  }

  connectionClosed(connection: DownstreamConnection): void {
    this.#connections.delete(connection);
  }

  #useTls({ tls }: HttpSnapshot): void {
    if (tls !== undefined) tls.onConnection = (socket) => this.#onConnection(socket);
  }

  #onSocket(socket: Socket): void {
    const { tls } = this.#snapshot;
    if (tls === undefined || this.#draining) {
      this.#onConnection(socket);
      return;
    }
    this.#handshaking.add(socket);
    socket.on('close', () => this.#handshaking.delete(socket));
    socket.on('error', () => {});
    tls.accept(socket);
  }

  #onConnection(socket: Socket): void {
    if (this.#draining) {
      socket.destroy();
      return;
    }
    this.#connections.add(new DownstreamConnection(socket, this));
  }
}
