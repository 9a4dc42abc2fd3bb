/** Raw TCP for tests: exact bytes out, exact bytes in. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { onCleanup } from './proxy.ts';

/** A client connection that collects what it gets. */
export class RawClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #closed = false;
  error: NodeJS.ErrnoException | undefined;
  readonly #waiters = new Set<() => void>();

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    this.socket.on('error', (error) => {
      this.error = error;
    });
    for (const event of ['end', 'close'] as const) {
      this.socket.on(event, () => {
        this.#closed = true;
        this.#wake();
      });
    }
    onCleanup(() => this.socket.destroy());
  }

  get text(): string {
    return this.#received.toString('latin1');
  }
  get closed(): boolean {
    return this.#closed;
  }

  write(data: string | Uint8Array): this {
    if (typeof data === 'string') this.socket.write(data, 'latin1');
    else this.socket.write(data);
    return this;
  }

  /** Waits until the received text satisfies `condition`; rejects when the connection ends first. */
  async until(condition: (text: string) => boolean): Promise<string> {
    while (!condition(this.text)) {
      if (this.#closed) throw new Error(`the connection ended after ${JSON.stringify(this.text.slice(0, 500))}`);
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
    return this.text;
  }

  /** Waits for the peer's end; returns all that came. */
  async end(): Promise<string> {
    while (!this.#closed) await new Promise<void>((resolve) => this.#waiters.add(resolve));
    return this.text;
  }

  #wake(): void {
    const waiting = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiting) wake();
  }
}

/** Sends `request` and returns all that comes until the peer closes. */
export function exchange(port: number, request: string): Promise<string> {
  return new RawClient(port).write(request).end();
}

/** A TCP server on a free port; it and its connections end with the test. */
export async function startServer(onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}
