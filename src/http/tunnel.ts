/** Two sockets joined after an upgrade or a CONNECT: bytes go both ways, each end may half-close, a slow side slows the other. */
import type { Socket } from 'node:net';
import type { TunnelEnd } from '../clusters/upstream-connection.ts';
import { Timer, type TimerTarget, type TimerWheel } from '../timers.ts';

export interface TunnelObserver {
  onTunnelBytes(direction: 'request' | 'response', bytes: number): void;
  onTunnelClosed(): void;
}

export class Tunnel implements TimerTarget {
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #observer: TunnelObserver;
  readonly #wheel: TimerWheel;
  readonly #timer = new Timer(this);
  readonly #idleTimeout: number;
  #open = 2;

  /**
   * Takes both ends over; listeners of their sockets must be gone.
   * @param idleTimeout milliseconds without a byte until it is closed; 0: none.
   */
  constructor(
    client: TunnelEnd,
    upstream: TunnelEnd,
    observer: TunnelObserver,
    wheel: TimerWheel,
    idleTimeout: number,
  ) {
    this.#client = client.socket;
    this.#upstream = upstream.socket;
    this.#observer = observer;
    this.#wheel = wheel;
    this.#idleTimeout = idleTimeout;
    wheel.set(this.#timer, idleTimeout);
    this.#join(client, upstream, 'request');
    this.#join(upstream, client, 'response');
    for (const { socket } of [client, upstream]) {
      socket.on('error', () => this.close());
      socket.on('close', () => this.#onClose());
    }
    if (client.rest.length > 0) this.#upstream.write(client.rest);
    if (upstream.rest.length > 0) this.#client.write(upstream.rest);
    this.#client.resume();
    this.#upstream.resume();
  }

  close(): void {
    this.#client.destroy();
    this.#upstream.destroy();
  }

  onTimer(): void {
    this.close();
  }

  #join(from: TunnelEnd, { socket: to }: TunnelEnd, direction: 'request' | 'response'): void {
    from.listen((chunk) => {
      this.#observer.onTunnelBytes(direction, chunk.length);
      this.#wheel.set(this.#timer, this.#idleTimeout);
      if (!to.write(chunk)) from.socket.pause();
    });
    to.on('drain', () => from.socket.resume());
    from.socket.on('end', () => to.end());
  }

  #onClose(): void {
    if (--this.#open > 0) {
      // What the closed side had sent before still goes out.
      const other = this.#client.destroyed ? this.#upstream : this.#client;
      if (!other.writableEnded) other.end();
      if (this.#client.errored || this.#upstream.errored) other.destroy();
      return;
    }
    this.#wheel.remove(this.#timer);
    this.#observer.onTunnelClosed();
  }
}
