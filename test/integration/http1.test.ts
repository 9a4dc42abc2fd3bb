/** HTTP/1.1 through the proxy, byte by byte: framing, keep-alive, limits, and what is refused. */
import { expect, test } from 'vitest';
import { onCleanup, simpleConfig, startProxy } from '../support/proxy.ts';
import { exchange, RawClient, startServer } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';

const CLOSE = 'host: test\r\nconnection: close\r\n';

async function setUp(listener: Parameters<typeof simpleConfig>[1] = {}, handle?: Parameters<typeof startUpstream>[0]) {
  const upstream = await startUpstream(handle);
  const running = await startProxy(simpleConfig(upstream.port, listener));
  return { upstream, ...running };
}

/** Bodies of all responses in `text`, which must have content-length. */
function bodies(text: string): string[] {
  const found: string[] = [];
  let rest = text;
  while (rest !== '') {
    const head = rest.slice(0, rest.indexOf('\r\n\r\n') + 4);
    const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
    if (head.length < 4 || Number.isNaN(length)) throw new Error(`no whole response in ${JSON.stringify(rest)}`);
    found.push(rest.slice(head.length, head.length + length));
    rest = rest.slice(head.length + length);
  }
  return found;
}

test('serves several requests on one connection, also pipelined, in order', async () => {
  const { port, upstream } = await setUp();
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: test\r\n\r\n`;
  const client = new RawClient(port).write(get('/1') + get('/2') + get('/3'));
  await client.until((text) => text.includes('GET /3'));
  client.write(`GET /4 HTTP/1.1\r\n${CLOSE}\r\n`);
  expect(bodies(await client.end())).toEqual(['GET /1 ', 'GET /2 ', 'GET /3 ', 'GET /4 ']);
  expect(upstream.seen.map(({ path }) => path)).toEqual(['/1', '/2', '/3', '/4']);
});

test('forwards bodies by length and by chunks, also byte by byte', async () => {
  const { port, upstream } = await setUp();
  await exchange(port, `POST /a HTTP/1.1\r\n${CLOSE}content-length: 5\r\n\r\nhello`);
  const client = new RawClient(port);
  client.socket.setNoDelay(true);
  for (const byte of `POST /b HTTP/1.1\r\n${CLOSE}transfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`) {
    client.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await client.end();
  expect(upstream.seen.map(({ body }) => body)).toEqual(['hello', 'abcde']);
  expect(upstream.seen[0]?.headers['content-length']).toBe('5');
  expect(upstream.seen[1]?.headers['transfer-encoding']).toBe('chunked');
});

test('a response to HEAD, 204 and 304 has no body, and the connection lives on', async () => {
  const { port } = await setUp({}, (request, response) => {
    if (request.path === '/204') response.writeHead(204).end();
    else if (request.path === '/304') response.writeHead(304, { etag: '"a"' }).end();
    else response.writeHead(200, { 'content-length': '10' }).end('0123456789');
  });
  const line = (method: string, path: string, more = '') => `${method} ${path} HTTP/1.1\r\nhost: test\r\n${more}\r\n`;
  const text = await exchange(
    port,
    line('HEAD', '/') + line('GET', '/204') + line('GET', '/304') + line('GET', '/', 'connection: close\r\n'),
  );
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 204', 'HTTP/1.1 304', 'HTTP/1.1 200']);
  expect(text.match(/0123456789/g)).toHaveLength(1);
  expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n(?:.+\r\n)*content-length: 10\r\n/);
});

test('HTTP/1.0: closes, keeps alive when asked, and ends bodies of unknown length by closing', async () => {
  const { port } = await setUp({}, (_, response) => {
    response.write('no ');
    response.end('length');
  });
  const closed = await exchange(port, 'GET / HTTP/1.0\r\n\r\n');
  expect(closed).toMatch(/connection: close\r\n/);
  expect(closed).not.toContain('transfer-encoding');
  expect(closed).toMatch(/\r\n\r\nno length$/);
  const kept = await setUp();
  const client = new RawClient(kept.port).write('GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n');
  expect(await client.until((text) => text.includes('GET /a'))).toMatch(/connection: keep-alive\r\n/);
  client.write('GET /b HTTP/1.0\r\n\r\n');
  expect(await client.end()).toContain('GET /b');
});

test('the target of an absolute request wins over its Host', async () => {
  const { port, upstream } = await setUp();
  await exchange(port, `GET http://example.test:81/a?b HTTP/1.1\r\n${CLOSE}\r\n`);
  expect(upstream.seen[0]).toMatchObject({ path: '/a?b', headers: { host: 'example.test:81' } });
});

test('hop-by-hop fields stay on their hop, and forwarding fields are added', async () => {
  const { port, upstream } = await setUp({}, (_, response) => {
    response.writeHead(200, {
      connection: 'x-mine, keep-alive',
      'x-mine': '1',
      'keep-alive': 'timeout=5',
      'proxy-connection': 'a',
    });
    response.end('ok');
  });
  const answer = await exchange(
    port,
    'GET / HTTP/1.1\r\nhost: test\r\nconnection: close, x-drop\r\nx-drop: 1\r\nkeep-alive: 1\r\nproxy-connection: x\r\nte: gzip\r\n' +
      'x-forwarded-for: 9.9.9.9\r\n\r\n',
  );
  const { headers } = upstream.seen[0] as NonNullable<(typeof upstream.seen)[0]>;
  for (const name of ['x-drop', 'keep-alive', 'proxy-connection', 'te']) expect(headers).not.toHaveProperty(name);
  expect(headers).toMatchObject({ 'x-forwarded-for': '9.9.9.9, 127.0.0.1', 'x-forwarded-proto': 'http' });
  for (const name of ['x-mine', 'keep-alive:', 'proxy-connection']) expect(answer).not.toContain(name);
});

test('Expect: 100-continue is answered when the filters let the request pass, and not when they answer it', async () => {
  const filters = [{ use: 'require-header', config: { name: 'user', value: 'admin' } }];
  const { port, upstream } = await setUp({ filters });
  const head = `POST / HTTP/1.1\r\n${CLOSE}expect: 100-continue\r\ncontent-length: 2\r\n`;
  const allowed = new RawClient(port).write(`${head}user: admin\r\n\r\n`);
  expect(await allowed.until((text) => text.includes('\r\n\r\n'))).toBe('HTTP/1.1 100 Continue\r\n\r\n');
  allowed.write('ok');
  expect(await allowed.end()).toContain('HTTP/1.1 200 OK');
  expect(upstream.seen[0]).toMatchObject({ body: 'ok' });
  expect(upstream.seen[0]?.headers).not.toHaveProperty('expect');
  expect(await exchange(port, `${head}\r\n`)).toMatch(/^HTTP\/1\.1 403 /);
});

test('interim responses of the upstream pass, its 100 does not', async () => {
  const { port } = await setUp({}, (_, response) => {
    response.writeContinue();
    response.writeEarlyHints({ link: '</a.css>; rel=preload' });
    response.end('final');
  });
  const answer = await exchange(port, `GET / HTTP/1.1\r\n${CLOSE}\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK\r\n/i);
});

test.each([
  ['bad syntax', 400, 'GET\r\n\r\n'],
  ['a bare LF', 400, 'GET / HTTP/1.1\nhost: a\n\n'],
  ['blank before the colon', 400, 'GET / HTTP/1.1\r\nhost : a\r\n\r\n'],
  ['a folded field', 400, 'GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n c\r\n\r\n'],
  ['a NUL', 400, 'GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n'],
  ['two Hosts', 400, 'GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n'],
  ['no Host', 400, 'GET / HTTP/1.1\r\n\r\n'],
  [
    'length and chunks',
    400,
    'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['two lengths', 400, 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na'],
  ['a list of lengths', 400, 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\na'],
  ['a negative length', 400, 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n'],
  ['chunked not last', 400, 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n'],
  ['another coding', 501, 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['chunks in HTTP/1.0', 400, 'POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a fragment', 400, 'GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n'],
  ['an unknown expectation', 417, 'GET / HTTP/1.1\r\nhost: a\r\nexpect: miracle\r\n\r\n'],
  ['another version', 505, 'GET / HTTP/2.0\r\nhost: a\r\n\r\n'],
  ['a long target', 414, `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nhost: a\r\n\r\n`],
  ['a long target without end', 414, `GET /${'a'.repeat(70_000)}`],
  ['a large head', 431, `GET / HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(70_000)}\r\n\r\n`],
  ['many fields', 431, `GET / HTTP/1.1\r\nhost: a\r\n${'x: y\r\n'.repeat(101)}\r\n`],
])('refuses %s with %i and closes', async (_, status, request) => {
  const { port, upstream } = await setUp();
  const answer = await exchange(port, request);
  expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(answer).toContain('connection: close\r\n');
  expect(upstream.seen).toHaveLength(0);
});

test.each([
  ['a chunk size that is no number', 'zz\r\n'],
  ['a chunk size with a blank', '5 \r\nhello\r\n'],
  ['a chunk size that overflows', 'fffffffffffffffff\r\n'],
  ['bytes behind a chunk', '5\r\nhelloX\r\n'],
  ['a forbidden trailer', '0\r\ncontent-length: 5\r\n\r\n'],
])('breaks the request off at %s', async (_, body) => {
  const { port, upstream } = await setUp();
  const answer = await exchange(port, `POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n${body}`);
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(upstream.seen).toHaveLength(0);
});

test('bodies over the limit are refused with 413, by their length or as they come', async () => {
  const { port, upstream } = await setUp({ max_body_size: '10B' });
  expect(await exchange(port, 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n')).toMatch(/^HTTP\/1\.1 413 /);
  const chunked =
    'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n';
  expect(await exchange(port, chunked)).toMatch(/^HTTP\/1\.1 413 /);
  expect(upstream.seen).toHaveLength(0);
});

test('a body that a filter keeps may be as large as buffer_limit', async () => {
  const source = 'function envoy_on_request(h) h:body() end';
  const filters = [{ source, runtime: 'lua', name: 'keeper' }];
  const { port } = await setUp({ filters, buffer_limit: '1KiB' });
  const post = (size: number) =>
    exchange(port, `POST / HTTP/1.1\r\n${CLOSE}content-length: ${size}\r\n\r\n${'x'.repeat(size)}`);
  expect(await post(1024)).toMatch(/^HTTP\/1\.1 200 /);
  expect(await post(1025)).toMatch(/^HTTP\/1\.1 413 /);
});

test('a head that does not come in time gets 408; an idle connection is closed without a word', async () => {
  const { port } = await setUp({ header_timeout: '60ms', idle_timeout: '120ms' });
  expect(await exchange(port, 'GET / HT')).toMatch(/^HTTP\/1\.1 408 /);
  expect(await new RawClient(port).end()).toBe('');
});

test('a body that does not come in time gets 408', async () => {
  const { port } = await setUp({ request_timeout: '60ms' });
  const text = await exchange(port, 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe');
  expect(text).toMatch(/^HTTP\/1\.1 408 /);
});

test('a client that closes its side after the request still gets the answer', async () => {
  const { port } = await setUp();
  const client = new RawClient(port);
  client.socket.end('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  expect(await client.end()).toMatch(/^HTTP\/1\.1 200 OK/);
});

/** An upstream that switches protocols and then echoes. */
function echoAfterUpgrade(head: string) {
  return startServer((socket) => {
    let switched = false;
    socket.on('data', (chunk: Buffer) => {
      if (switched) socket.write(chunk);
      else if (chunk.includes('\r\n\r\n')) {
        switched = true;
        socket.write(head);
      }
    });
    socket.on('end', () => socket.end('bye'));
  });
}

test('an upgrade becomes a tunnel that half-closes', async () => {
  const upstream = await echoAfterUpgrade(
    'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nfirst',
  );
  const { port } = await startProxy(simpleConfig(upstream.port));
  const client = new RawClient(port).write(
    'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly',
  );
  const head = await client.until((text) => text.includes('first'));
  expect(head).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
  expect(head).toContain('upgrade: echo\r\n');
  await client.until((text) => text.endsWith('early'));
  client.write('ping');
  await client.until((text) => text.endsWith('ping'));
  client.socket.end();
  expect(await client.end()).toMatch(/firstearlypingbye$/);
});

test('an upgrade that the upstream declines is an ordinary response', async () => {
  const { port, upstream } = await setUp();
  const answer = await exchange(
    port,
    'GET / HTTP/1.1\r\nhost: a\r\nconnection: close, upgrade\r\nupgrade: echo\r\n\r\n',
  );
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK/);
  expect(upstream.seen[0]?.headers.upgrade).toBe('echo');
});

test('the body of a request that asks for an upgrade is framed like any other', async () => {
  const { port, upstream } = await setUp();
  const body = 'GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n';
  const head =
    'POST / HTTP/1.1\r\nhost: a\r\nconnection: close, upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked\r\n\r\n';
  await exchange(port, `${head}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
  expect(upstream.seen.map((request) => request.path)).toEqual(['/']);
  expect(upstream.seen[0]?.body).toBe(body);
});

test('CONNECT is for routes that match it, and becomes a tunnel', async () => {
  const upstream = await echoAfterUpgrade('HTTP/1.1 200 OK\r\n\r\n');
  const routes = [
    { match: { connect: true }, cluster: 'app' },
    { match: { prefix: '/' }, respond: { status: 204 } },
  ];
  const { port } = await startProxy(simpleConfig(upstream.port, { routes }));
  const client = new RawClient(port).write('CONNECT db.test:5432 HTTP/1.1\r\nhost: db.test\r\n\r\n');
  await client.until((text) => text.includes('\r\n\r\n'));
  client.write('SELECT');
  expect(await client.until((text) => text.endsWith('SELECT'))).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  const without = await startProxy(simpleConfig(upstream.port));
  expect(
    await exchange(without.port, 'CONNECT db.test:5432 HTTP/1.1\r\nhost: db.test\r\nconnection: close\r\n\r\n'),
  ).toMatch(/^HTTP\/1\.1 404 /);
});

test('a client that pipelines and never reads costs no memory', async () => {
  const { port, upstream } = await setUp({}, (_, response) => void response.end('x'.repeat(64 * 1024)));
  const client = new RawClient(port);
  client.socket.pause();
  onCleanup(() => client.socket.destroy());
  client.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(2000));
  let before = -1;
  // The proxy stops asking the upstream once the client's socket is full.
  while (before !== upstream.seen.length) {
    before = upstream.seen.length;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  expect(before).toBeLessThan(500);
});
