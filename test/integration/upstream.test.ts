/** What upstreams do to a proxy: slow, gone, stale, too early, cut off. */
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { onCleanup, simpleConfig, startProxy } from '../support/proxy.ts';
import { exchange, RawClient, startServer } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';

const GET = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** A server that answers each request head by `answer(socket, number)`, the number counting over all connections. */
async function scripted(answer: (socket: Socket, number: number) => void) {
  let requests = 0;
  let connections = 0;
  const server = await startServer((socket) => {
    connections++;
    let buffered = '';
    socket.on('data', (chunk: Buffer) => {
      buffered += chunk.toString('latin1');
      if (!buffered.includes('\r\n\r\n')) return;
      buffered = '';
      answer(socket, ++requests);
    });
  });
  return { ...server, requests: () => requests, connections: () => connections };
}

test('connections to an upstream are used again', async () => {
  const upstream = await scripted((socket) => socket.write(OK));
  const { port } = await startProxy(simpleConfig(upstream.port));
  for (let i = 0; i < 5; i++) expect(await exchange(port, GET)).toContain('ok');
  expect(upstream.connections()).toBe(1);
});

test('a request that meets a stale connection is sent again when that is safe', async () => {
  // The second request on a connection meets its end, as after an idle timeout of the upstream.
  const upstream = await startServer((socket) => {
    let requests = 0;
    socket.on('data', () => {
      if (++requests === 1) socket.write(OK);
      else socket.destroy();
    });
  });
  const { port } = await startProxy(simpleConfig(upstream.port));
  expect(await exchange(port, GET)).toContain('ok');
  expect(await exchange(port, GET)).toContain('ok');
  const post = 'POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx';
  expect(await exchange(port, post)).toMatch(/^HTTP\/1\.1 502 /);
});

test('a request is not sent again when its connection was fresh', async () => {
  const upstream = await scripted((socket) => socket.destroy());
  const { port } = await startProxy(simpleConfig(upstream.port));
  expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 502 /);
  expect(upstream.requests()).toBe(1);
});

test('refused connections: another endpoint is tried, and 503 when there is none', async () => {
  const dead = await startServer(() => {});
  await new Promise((resolve) => dead.server.close(resolve));
  const upstream = await startUpstream();
  const both = { endpoints: [`127.0.0.1:${dead.port}`, `127.0.0.1:${upstream.port}`] };
  const { port } = await startProxy(simpleConfig(0, {}, both));
  for (let i = 0; i < 4; i++) expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 200 /);
  const alone = await startProxy(simpleConfig(dead.port));
  const answer = await exchange(alone.port, GET);
  expect(answer).toMatch(/^HTTP\/1\.1 503 /);
  expect(answer).toMatch(/no connection to the upstream\n$/);
});

test('an empty cluster gives 503, an unknown path 404, both with a body', async () => {
  const { port } = await startProxy(
    simpleConfig(0, { routes: [{ match: { prefix: '/a' }, cluster: 'app' }] }, { endpoints: [] }),
  );
  const get = (path: string) => exchange(port, `GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
  expect(await get('/a')).toMatch(/^HTTP\/1\.1 503 .*no healthy upstream\n$/s);
  expect(await get('/b')).toMatch(/^HTTP\/1\.1 404 .*no route matches this request\n$/s);
});

test('an upstream that does not answer within the route’s timeout gives 504', async () => {
  const upstream = await scripted(() => {});
  const routes = [{ match: { prefix: '/' }, cluster: 'app', timeout: '60ms' }];
  const { port } = await startProxy(simpleConfig(upstream.port, { routes }));
  expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 504 /);
});

test('a connect that takes too long gives 504', async () => {
  // A thread that listens and never accepts: once its short queue is full, the system answers no further SYN.
  const source = `const { workerData, parentPort } = require('node:worker_threads');
    const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      setImmediate(() => Atomics.wait(workerData, 0, 0));
    });`;
  const worker = new Worker(source, { eval: true, workerData: new Int32Array(new SharedArrayBuffer(4)) });
  onCleanup(() => worker.terminate());
  const port = await new Promise<number>((resolve) => worker.once('message', resolve));
  for (let i = 0; i < 8; i++) new RawClient(port);
  const proxy = await startProxy(simpleConfig(port, {}, { connect_timeout: '60ms' }));
  expect(await exchange(proxy.port, GET)).toMatch(/^HTTP\/1\.1 504 .*no connection to the upstream in time\n$/s);
});

test.each([
  ['content-length', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npartial'],
  ['chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\npartial\r\n'],
])('a response cut off in its body (%s) is never complete for the client', async (_, head) => {
  const upstream = await scripted((socket) => {
    socket.write(head);
    setTimeout(() => socket.destroy(), 50);
  });
  const { port } = await startProxy(simpleConfig(upstream.port));
  const client = new RawClient(port).write(GET);
  const text = await client.end();
  expect(text).toContain('partial');
  expect(text).not.toMatch(/0\r\n\r\n$/);
});

test('a cut-off response to HTTP/1.0 ends in a reset, for nothing else could tell', async () => {
  const upstream = await scripted((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\npartial\r\n');
    setTimeout(() => socket.destroy(), 50);
  });
  const { port } = await startProxy(simpleConfig(upstream.port));
  const client = new RawClient(port).write('GET / HTTP/1.0\r\n\r\n');
  await client.end();
  expect(client.error?.code).toBe('ECONNRESET');
});

test('a malformed response gives 502 and its connection is not used again', async () => {
  const upstream = await scripted((socket) =>
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'),
  );
  const { port } = await startProxy(simpleConfig(upstream.port));
  expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 502 .*malformed response\n$/s);
  expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 502 /);
  expect(upstream.connections()).toBe(2);
});

test('bytes behind a response, and a 101 that nobody asked for, do not reach the client', async () => {
  const smuggled = await scripted((socket) => socket.write(`${OK}HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil`));
  const first = await startProxy(simpleConfig(smuggled.port));
  expect(await exchange(first.port, GET)).toMatch(/ok$/);
  expect(await exchange(first.port, GET)).toMatch(/ok$/);
  expect(smuggled.connections()).toBe(2);
  const switched = await scripted((socket) =>
    socket.write('HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nevil'),
  );
  const second = await startProxy(simpleConfig(switched.port));
  expect(await exchange(second.port, GET)).toMatch(/^HTTP\/1\.1 502 /);
});

test('a response that comes before the end of the request reaches the client', async () => {
  const upstream = await scripted((socket) => socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig'));
  const { port } = await startProxy(simpleConfig(upstream.port));
  const client = new RawClient(port).write('POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nstart');
  expect(await client.end()).toMatch(/^HTTP\/1\.1 413 .*big$/s);
});

test('requests beyond the connections of an endpoint wait, those beyond the queue get 503', async () => {
  const waiting: Socket[] = [];
  const upstream = await scripted((socket, number) => {
    if (number === 1) waiting.push(socket);
    else socket.write(OK);
  });
  const { port } = await startProxy(simpleConfig(upstream.port, {}, { max_connections: 1, max_pending: 1 }));
  const first = exchange(port, GET);
  while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const second = exchange(port, GET);
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 503 .*too many requests wait/s);
  waiting[0]?.write(OK);
  expect(await first).toContain('ok');
  expect(await second).toContain('ok');
  expect(upstream.connections()).toBe(1);
});

test('a slow upstream slows the client down, and nothing piles up in between', async () => {
  let taken = 0;
  const upstream = await startServer((socket) => {
    socket.once('data', (chunk: Buffer) => {
      taken += chunk.length;
      socket.pause();
    });
  });
  const { port } = await startProxy(simpleConfig(upstream.port));
  const client = new RawClient(port);
  const size = 64 * 1024 * 1024;
  client.write(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${size}\r\n\r\n`);
  const piece = Buffer.alloc(1024 * 1024);
  let sent = 0;
  // Write until the sockets on the way are full and stay full.
  for (let idle = 0; idle < 10 && sent < size; ) {
    if (client.socket.writableLength === 0) {
      client.write(piece);
      sent += piece.length;
      idle = 0;
    } else idle++;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(taken).toBeGreaterThan(0);
  expect(sent).toBeLessThan(size / 2);
});

test('a slow client slows the upstream down', async () => {
  let sent = 0;
  const size = 64 * 1024 * 1024;
  const piece = Buffer.alloc(256 * 1024);
  const upstream = await startServer((socket) => {
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
      const more = () => {
        while (sent < size && socket.write(piece)) sent += piece.length;
      };
      socket.on('drain', more);
      more();
    });
  });
  const { port } = await startProxy(simpleConfig(upstream.port));
  const client = new RawClient(port).write(GET);
  await client.until((text) => text.includes('\r\n\r\n'));
  client.socket.pause();
  let before = -1;
  while (before !== sent) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  expect(sent).toBeLessThan(size / 2);
});

test('memory does not grow with the size of a body', async () => {
  const size = 512 * 1024 * 1024;
  const piece = Buffer.alloc(256 * 1024);
  const upstream = await startServer((socket) => {
    socket.once('data', () => {
      let sent = 0;
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
      const more = () => {
        while (sent < size) {
          sent += piece.length;
          if (!socket.write(piece)) return;
        }
      };
      socket.on('drain', more);
      more();
    });
  });
  const { port } = await startProxy(simpleConfig(upstream.port));
  const client = connect(port, '127.0.0.1');
  onCleanup(() => client.destroy());
  client.write(GET);
  let received = 0;
  let most = 0;
  const before = process.memoryUsage().arrayBuffers;
  for await (const chunk of client) {
    received += (chunk as Buffer).length;
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(received).toBeGreaterThan(size);
  expect(most).toBeLessThan(128 * 1024 * 1024);
});

test('a client that goes away takes its upstream request along', async () => {
  let closed = false;
  const upstream = await startServer((socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart'));
    socket.on('end', () => {
      closed = true;
    });
  });
  const { port } = await startProxy(simpleConfig(upstream.port));
  const client = new RawClient(port).write(GET);
  await client.until((text) => text.includes('part'));
  client.socket.resetAndDestroy();
  while (!closed) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(closed).toBe(true);
});

test('bodies of many sizes pass unchanged in both directions', async () => {
  const upstream = await startUpstream((request, response) => {
    response.end(request.body, 'latin1');
  });
  const { port } = await startProxy(simpleConfig(upstream.port));
  for (const size of [0, 1, 8191, 8192, 8193, 65_535, 65_537, 1_000_003]) {
    const body = Buffer.alloc(size, 'abcdefghij').toString('latin1');
    const answer = await exchange(
      port,
      `POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: ${size}\r\n\r\n${body}`,
    );
    expect(answer.slice(answer.indexOf('\r\n\r\n') + 4) === body, `${size} bytes`).toBe(true);
  }
});
