/** Two sockets joined after an upgrade or a CONNECT: bytes go both ways, each end may half-close, a slow side slows the other. */
import type { Socket } from 'node:net';
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
   * Takes both sockets over; listeners of theirs for data and end must be gone.
   * @param idleTimeout milliseconds without a byte until it is closed; 0: none.
   */
  constructor(client: Socket, upstream: Socket, observer: TunnelObserver, wheel: TimerWheel, idleTimeout: number) {
    this.#client = client;
    this.#upstream = upstream;
    this.#observer = observer;
    this.#wheel = wheel;
    this.#idleTimeout = idleTimeout;
    wheel.set(this.#timer, idleTimeout);
    this.#join(client, upstream, 'request');
    this.#join(upstream, client, 'response');
    for (const socket of [client, upstream]) {
      socket.on('error', () => this.close());
      socket.on('close', () => this.#onClose());
    }
    client.resume();
    upstream.resume();
  }

  close(): void {
    this.#client.destroy();
    this.#upstream.destroy();
  }

  onTimer(): void {
    this.close();
  }

  #join(from: Socket, to: Socket, direction: 'request' | 'response'): void {
    from.on('data', (chunk: Buffer) => {
      this.#observer.onTunnelBytes(direction, chunk.length);
      this.#wheel.set(this.#timer, this.#idleTimeout);
      if (!to.write(chunk)) from.pause();
    });
    to.on('drain', () => from.resume());
    from.on('end', () => to.end());
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
