/** The connections to one endpoint: idle ones are used again, the last used first; requests beyond the limit wait in a bounded queue. */
import type { Counter, Gauge } from '../abi/index.ts';
import { WeirError } from '../errors.ts';
import type { TimerWheel } from '../timers.ts';
import type { Endpoint } from './endpoint.ts';
import { UpstreamConnection, type UpstreamHandler } from './upstream-connection.ts';

export interface PoolLimits {
  maxConnections: number;
  maxPending: number;
  /** Milliseconds that an idle connection is kept. */
  idleTimeout: number;
  /** After so many a connection is closed; 0: never for that. */
  maxRequests: number;
  /** Bytes that wait to be sent before the sender is told to pause. */
  buffer: number;
}

export interface PoolMetrics {
  connections: Counter;
  active: Gauge;
}

export class ConnectionPool {
  readonly #endpoint: Endpoint;
  readonly #limits: PoolLimits;
  readonly #wheel: TimerWheel;
  readonly #metrics: PoolMetrics;
  readonly #idle: UpstreamConnection[] = [];
  readonly #all = new Set<UpstreamConnection>();
  readonly #pending: UpstreamHandler[] = [];
  #closed = false;

  constructor(endpoint: Endpoint, limits: PoolLimits, wheel: TimerWheel, metrics: PoolMetrics) {
    this.#endpoint = endpoint;
    this.#limits = limits;
    this.#wheel = wheel;
    this.#metrics = metrics;
  }

  get size(): number {
    return this.#all.size;
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  get pendingCount(): number {
    return this.#pending.length;
  }

  /**
   * A connection for one request, perhaps one that is still being made; `undefined` when the handler has to wait for
   * `onUpstreamReady`. `fresh` never gives one that was used before.
   * @throws WeirError `upstream_overflow` when too many wait already.
   */
  acquire(handler: UpstreamHandler, fresh: boolean): UpstreamConnection | undefined {
    if (!fresh) {
      const idle = this.#idle.pop();
      if (idle !== undefined) return idle;
    }
    if (this.#all.size < this.#limits.maxConnections) return this.#open();
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#pending.length >= this.#limits.maxPending) {
      throw new WeirError('upstream_overflow', `too many requests wait for a connection to ${this.#endpoint.name}`);
    }
    this.#pending.push(handler);
    return undefined;
  }

  /** Takes a waiting request out of the queue. */
  cancel(handler: UpstreamHandler): void {
    const at = this.#pending.indexOf(handler);
    if (at >= 0) this.#pending.splice(at, 1);
  }

  /** A connection has served its request and may serve another. */
  release(connection: UpstreamConnection): void {
    if (this.#limits.maxRequests > 0 && connection.served >= this.#limits.maxRequests) {
      connection.abort();
      return;
    }
    const waiting = this.#pending.shift();
    if (waiting !== undefined) {
      // The running callback first tells its own stream of the response's end.
      queueMicrotask(() => waiting.onUpstreamReady(connection));
      return;
    }
    if (this.#closed) {
      connection.abort();
      return;
    }
    this.#idle.push(connection);
    connection.idle(this.#limits.idleTimeout);
  }

  connected(): void {
    this.#metrics.connections.add();
  }

  /** A connection is gone. */
  remove(connection: UpstreamConnection): void {
    this.forget(connection);
    if (this.#pending.length > 0 && this.#all.size < this.#limits.maxConnections) {
      const waiting = this.#pending.shift() as UpstreamHandler;
      const replacement = this.#open();
      queueMicrotask(() => waiting.onUpstreamReady(replacement));
    }
  }

  /** A connection became a tunnel and is no longer the pool's. */
  forget(connection: UpstreamConnection): void {
    if (!this.#all.delete(connection)) return;
    this.#metrics.active.add(-1);
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** Closes idle connections now and the others when they are done. */
  close(): void {
    this.#closed = true;
    for (const connection of [...this.#idle]) connection.abort();
  }

  #open(): UpstreamConnection {
    const connection = new UpstreamConnection(this.#endpoint, this.#wheel, this.#limits.buffer);
    this.#all.add(connection);
    this.#metrics.active.add(1);
    return connection;
  }
}
