/** What filters may do to a stream: phases, holds, replies, limits, policies, order and ends. */
import { expect, test } from 'vitest';
import {
  type FilterPhase,
  type FilterRuntime,
  FilterStatus,
  HeaderMap,
  type Json,
  type Stream,
  type StreamFilter,
} from '../../src/abi/index.ts';
import { createRuntimes, Proxy } from '../../src/main.ts';
import { LogCollector, onCleanup, simpleConfig, startProxy } from '../support/proxy.ts';
import { exchange, RawClient } from '../support/raw.ts';
import { startUpstream, type Upstream } from '../support/upstream.ts';
import { eventually, temporaryFolder } from '../support/weir-process.ts';

interface TestFilter {
  create: (stream: Stream, config: Json) => StreamFilter;
  phase?: FilterPhase;
  clearsRouteCache?: boolean;
}
type Listener = NonNullable<Parameters<typeof simpleConfig>[1]>;
type Entry = NonNullable<Listener['filters']>[number];

const CLOSE = 'host: test\r\nconnection: close\r\n';
const GET = `GET / HTTP/1.1\r\n${CLOSE}\r\n`;
const POST = `POST / HTTP/1.1\r\n${CLOSE}content-length: 5\r\n\r\nhello`;

/** A proxy whose filters are objects of the test, by name. */
async function start(
  filters: Record<string, TestFilter>,
  more: { listener?: Partial<Listener>; entries?: Entry[]; upstream?: Parameters<typeof startUpstream>[0] } = {},
): Promise<{ port: number; upstream: Upstream; log: LogCollector; proxy: Proxy }> {
  const runtime: FilterRuntime = {
    name: 'test',
    sniff: () => false,
    provides: (name) => name in filters,
    load: (spec) => {
      const { create, ...rest } = filters[spec.use] as TestFilter;
      return { ...rest, create: (stream) => create(stream, spec.config) };
    },
  };
  const upstream = await startUpstream(more.upstream);
  const log = new LogCollector();
  const entries = more.entries ?? Object.keys(filters).map((use) => ({ use }));
  const config = simpleConfig(upstream.port, { filters: entries, ...more.listener });
  const proxy = await new Proxy(config, { runtimes: [runtime, ...createRuntimes()], logger: log }).listen();
  onCleanup(() => proxy.close());
  return { port: proxy.ports.web as number, upstream, log, proxy };
}

test('request hooks run in order, phase by phase; response hooks in reverse; each filter ends once', async () => {
  const calls: string[] = [];
  const traced = (name: string, phase: FilterPhase): TestFilter => ({
    phase,
    create: (stream) => ({
      onRequestHeaders: () =>
        void calls.push(`${name} request route=${stream.info.route} endpoint=${stream.info.endpoint !== ''}`),
      onResponseHeaders: () => void calls.push(`${name} response`),
      onComplete: (info) => void calls.push(`${name} complete ${info.responseCode}`),
      onDestroy: () => void calls.push(`${name} destroy`),
    }),
  });
  const { port } = await start({
    c: traced('c', 'after-choose-endpoint'),
    b: traced('b', 'after-route'),
    a: traced('a', 'before-route'),
  });
  await exchange(port, GET);
  expect(calls).toEqual([
    'a request route= endpoint=false',
    'b request route=default/0 endpoint=false',
    'c request route=default/0 endpoint=true',
    'c response',
    'b response',
    'a response',
    ...['a', 'b', 'c'].map((name) => `${name} complete 200`),
    ...['a', 'b', 'c'].map((name) => `${name} destroy`),
  ]);
});

test('the configuration may move a filter to another phase, and match requests for it', async () => {
  const seen: string[] = [];
  const filter: TestFilter = {
    create: (stream) => ({
      onRequestHeaders: (headers) => void seen.push(`${headers.get(':path')} ${stream.info.route}`),
    }),
  };
  const entries = [{ use: 'f', phase: 'before-route' as const, match: { prefix: '/yes' } }];
  const { port } = await start({ f: filter }, { entries });
  await exchange(port, `GET /yes HTTP/1.1\r\n${CLOSE}\r\n`);
  await exchange(port, `GET /no HTTP/1.1\r\n${CLOSE}\r\n`);
  expect(seen).toEqual(['/yes ']);
});

test('a stop holds headers and body until it is ended, and later filters see nothing before', async () => {
  let resume = () => {};
  const later: string[] = [];
  const { port, upstream } = await start({
    stop: {
      create: (stream) => ({
        onRequestHeaders() {
          resume = () => stream.continueRequest();
          return FilterStatus.Stop;
        },
      }),
    },
    later: {
      create: () => ({
        onRequestHeaders: () => void later.push('headers'),
        onRequestBody: (chunk, end) => void later.push(`body ${chunk.length} ${end}`),
      }),
    },
  });
  const answer = exchange(port, POST);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(later).toEqual([]);
  resume();
  expect(await answer).toContain('POST / hello');
  expect(later).toEqual(['headers', 'body 5 true']);
  expect(upstream.seen).toHaveLength(1);
});

test('the stopping filter’s own body hook sees what came during its stop', async () => {
  const pieces: string[] = [];
  const { port } = await start({
    f: {
      create: (stream) => ({
        onRequestHeaders() {
          stream.setTimer(30, () => stream.continueRequest());
          return FilterStatus.Stop;
        },
        onRequestBody: (chunk) => void pieces.push(new TextDecoder().decode(chunk)),
      }),
    },
  });
  expect(await exchange(port, POST)).toContain('POST / hello');
  expect(pieces).toEqual(['hello']);
});

test('continueRequest within the hook that returns Stop means to go on', async () => {
  const { port } = await start({
    f: {
      create: (stream) => ({
        onRequestHeaders() {
          stream.continueRequest();
          return FilterStatus.Stop;
        },
      }),
    },
  });
  expect(await exchange(port, GET)).toContain('GET / ');
});

test('a stop that nobody ends gets the policy’s answer when its time is up', async () => {
  const stop = { create: () => ({ onRequestHeaders: () => FilterStatus.Stop }) };
  const closed = await start({ stop }, { entries: [{ use: 'stop', limits: { time: '40ms' } }] });
  expect(await exchange(closed.port, GET)).toMatch(/^HTTP\/1\.1 500 /);
  expect(closed.log.messages('error').join()).toContain('held the stream for more than 40 ms');
  const open = await start({ stop }, { entries: [{ use: 'stop', limits: { time: '40ms' }, on_error: 'fail_open' }] });
  expect(await exchange(open.port, GET)).toMatch(/^HTTP\/1\.1 200 /);
});

test('a promise that is not settled in time gets the policy’s answer, and its late value is ignored', async () => {
  const slow = {
    create: (stream: Stream) => ({
      onRequestHeaders: () => new Promise<void>((resolve) => setTimeout(resolve, 150)).then(() => stream.respond(299)),
    }),
  };
  const { port } = await start({ slow }, { entries: [{ use: 'slow', limits: { time: '40ms' } }] });
  expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 500 /);
  await new Promise((resolve) => setTimeout(resolve, 150));
});

test('hooks never overlap: while a promise is pending, nothing else of the stream runs', async () => {
  let running = 0;
  let overlaps = 0;
  const slowly = async () => {
    if (running++ > 0) overlaps++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
  };
  const filter = {
    create: () => ({
      onRequestHeaders: slowly,
      onRequestBody: slowly,
      onResponseHeaders: slowly,
      onResponseBody: slowly,
    }),
  };
  const { port } = await start(
    { a: filter, b: filter },
    {
      upstream: (_, response) => {
        for (const piece of ['one', 'two']) response.write(piece);
        response.end('three');
      },
    },
  );
  const client = new RawClient(port).write(`POST / HTTP/1.1\r\n${CLOSE}transfer-encoding: chunked\r\n\r\n`);
  for (const piece of ['2\r\nab\r\n', '2\r\ncd\r\n', '0\r\n\r\n']) {
    client.write(piece);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  expect(await client.end()).toMatch(/one.*two.*three/s);
  expect(overlaps).toBe(0);
});

test('an async hook may answer, also from behind an await', async () => {
  const { port, upstream } = await start({
    f: {
      create: (stream) => ({
        async onRequestHeaders() {
          await new Promise((resolve) => setTimeout(resolve, 5));
          stream.respond(401, [['www-authenticate', 'Basic']], 'who?');
        },
      }),
    },
  });
  expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 401 .*www-authenticate: Basic\r\n.*who\?$/s);
  expect(upstream.seen).toHaveLength(0);
});

test('body hooks: replace, take, keep and give back', async () => {
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const bytes = (value: string) => new TextEncoder().encode(value);
  const { port, upstream } = await start({
    // Removes the length, since it changes each piece as it goes by.
    replace: {
      create: () => ({
        onRequestHeaders: (headers) => void headers.remove('content-length'),
        onRequestBody: (chunk) => bytes(text(chunk).replaceAll('l', 'LL')),
      }),
    },
    take: {
      create: () => {
        let taken = '';
        return {
          onRequestBody(chunk, end) {
            taken += text(chunk);
            return end ? bytes(`<${taken}>`) : FilterStatus.StopNoBuffer;
          },
        };
      },
    },
    keep: {
      create: (stream) => ({
        onResponseHeaders: () => FilterStatus.StopAndBuffer,
        onResponseBody(_, end) {
          if (!end) return FilterStatus.StopAndBuffer;
          stream.responseHeaders?.set('x-length', String(stream.responseBody.length));
          return FilterStatus.Continue;
        },
      }),
    },
  });
  const answer = await exchange(port, POST);
  expect(upstream.seen[0]?.body).toBe('<heLLLLo>');
  expect(answer).toContain('x-length: 16\r\n');
  expect(answer).toContain('POST / <heLLLLo>');
});

test('a filter may give a body to a message that had none', async () => {
  const { port, upstream } = await start({
    f: {
      create: (stream) => ({
        onRequestHeaders: () => stream.setRequestBody(new TextEncoder().encode('made up')),
      }),
    },
  });
  await exchange(port, GET);
  expect(upstream.seen[0]).toMatchObject({ body: 'made up', headers: { 'content-length': '7' } });
});

test('a body that does not fit its length breaks the stream off instead of lying', async () => {
  const { port, log } = await start({
    f: { create: () => ({ onResponseBody: () => new TextEncoder().encode('much longer than it was before') }) },
  });
  await exchange(port, GET);
  expect(log.messages('error').join()).toContain('longer than its content-length');
});

test('a filter that turns GET into HEAD can’t make the client wait for a body', async () => {
  const { port } = await start(
    { f: { create: () => ({ onRequestHeaders: (headers) => headers.set(':method', 'HEAD') }) } },
    {
      upstream: (_, response) => void response.setHeader('content-length', '100').end(),
    },
  );
  expect(await exchange(port, GET)).toBe('');
});

test('a local reply of the response side takes the place of the response for the filters behind it', async () => {
  const calls: string[] = [];
  const note = (name: string): TestFilter => ({
    create: () => ({ onResponseHeaders: (headers) => void calls.push(`${name} ${headers.get(':status')}`) }),
  });
  const { port } = await start({
    outer: note('outer'),
    replace: { create: (stream) => ({ onResponseHeaders: () => stream.respond(503, [], 'replaced') }) },
    inner: note('inner'),
  });
  expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 503 .*replaced$/s);
  expect(calls).toEqual(['inner 200', 'outer 503']);
});

test('a failing response hook fails closed: the upstream’s response does not reach the client', async () => {
  const { port } = await start({
    f: {
      create: () => ({
        onResponseHeaders() {
          throw new Error('no');
        },
      }),
    },
  });
  const answer = await exchange(port, GET);
  expect(answer).toMatch(/^HTTP\/1\.1 500 /);
  expect(answer).not.toContain('GET /');
});

test('a factory whose create() throws gets its policy', async () => {
  const create = () => {
    throw new Error('no filter');
  };
  const closed = await start({ f: { create } });
  expect(await exchange(closed.port, GET)).toMatch(/^HTTP\/1\.1 500 /);
  expect(closed.upstream.seen).toHaveLength(0);
  const open = await start({ f: { create } }, { entries: [{ use: 'f', on_error: 'fail_open' }] });
  expect(await exchange(open.port, GET)).toMatch(/^HTTP\/1\.1 200 /);
});

test('reset ends the stream with no answer', async () => {
  const { port } = await start({ f: { create: (stream) => ({ onRequestHeaders: () => stream.reset() }) } });
  expect(await exchange(port, GET)).toBe('');
});

test('RematchRoute and RechooseEndpoint take another round, and no more than ten', async () => {
  let rounds = 0;
  const { port, upstream } = await start(
    {
      again: {
        create: () => ({
          onRequestHeaders(headers) {
            if (headers.get(':path') === '/two') return FilterStatus.Continue;
            headers.set(':path', '/two');
            return FilterStatus.RematchRoute;
          },
        }),
      },
      endpoint: {
        phase: 'after-choose-endpoint',
        create: () => ({
          onRequestHeaders: () => (++rounds < 3 ? FilterStatus.RechooseEndpoint : FilterStatus.Continue),
        }),
      },
    },
    {
      listener: {
        routes: [
          { match: { prefix: '/one' }, respond: { status: 404 } },
          { match: { prefix: '/two' }, cluster: 'app' },
        ],
      },
    },
  );
  expect(await exchange(port, `GET /one HTTP/1.1\r\n${CLOSE}\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
  expect(upstream.seen[0]?.path).toBe('/two');
  expect(rounds).toBe(3);
  const endless = await start({ f: { create: () => ({ onRequestHeaders: () => FilterStatus.RematchRoute }) } });
  expect(await exchange(endless.port, GET)).toMatch(/^HTTP\/1\.1 500 /);
  expect(endless.log.messages('error').join()).toContain('more than 10 times');
});

test('a filter that clears the route cache has the route matched again after it changed the path', async () => {
  const create = () => ({ onRequestHeaders: (headers: HeaderMap) => headers.set(':path', '/b') });
  const routes = [
    { match: { prefix: '/b' }, respond: { status: 200, body: 'b' } },
    { match: { prefix: '/' }, respond: { status: 200, body: 'a' } },
  ];
  const kept = await start({ f: { create } }, { listener: { routes } });
  expect(await exchange(kept.port, GET)).toMatch(/\r\n\r\na$/);
  const cleared = await start({ f: { create, clearsRouteCache: true } }, { listener: { routes } });
  expect(await exchange(cleared.port, GET)).toMatch(/\r\n\r\nb$/);
});

test('what a hook returns must be a status, and bad headers are refused', async () => {
  const { port, log } = await start({ f: { create: () => ({ onRequestHeaders: () => 'Cont' as never }) } });
  expect(await exchange(port, GET)).toMatch(/^HTTP\/1\.1 500 /);
  expect(log.messages('error').join()).toContain('a hook returned "Cont", which is none of Continue, Stop');
  const evil = await start({ f: { create: () => ({ onRequestHeaders: (headers) => headers.set('x', 'a\r\nb: c') }) } });
  expect(await exchange(evil.port, GET)).toMatch(/^HTTP\/1\.1 500 /);
  expect(evil.upstream.seen).toHaveLength(0);
});

test('filters leave metadata and state for each other, call clusters, and find out what became of the stream', async () => {
  let call = '';
  const { port, upstream } = await start({
    first: {
      create: (stream) => ({
        async onRequestHeaders() {
          stream.metadata.set('auth', 'user', 'ann');
          stream.filterState.set('object', { n: 1 });
          const headers = new HeaderMap([
            [':method', 'POST'],
            [':path', '/call'],
            [':authority', 'app'],
          ]);
          const response = await stream.call('app', { headers, body: new TextEncoder().encode('ping') });
          call = new TextDecoder().decode(response.body);
        },
      }),
    },
    second: {
      create: (stream) => ({
        onResponseHeaders(headers) {
          headers.set('x-user', String(stream.metadata.get('auth')?.user));
          headers.set('x-state', JSON.stringify(stream.filterState.get('object')));
        },
      }),
    },
  });
  const answer = await exchange(port, GET);
  expect(call).toBe('POST /call ping');
  expect(answer).toContain('x-user: ann\r\n');
  expect(answer).toContain('x-state: {"n":1}\r\n');
  expect(upstream.seen).toHaveLength(2);
});

test('a call to an unknown cluster is the filter’s fault; a dead one is an answer', async () => {
  const headers = () =>
    new HeaderMap([
      [':method', 'GET'],
      [':path', '/'],
      [':authority', 'a'],
    ]);
  const call = (cluster: string): TestFilter => ({
    create: (stream) => ({
      async onRequestHeaders() {
        const response = await stream.call(cluster, { headers: headers() });
        stream.respond(200, [['x-status', response.headers.get(':status') ?? '']]);
      },
    }),
  });
  const unknown = await start({ f: call('nowhere') });
  expect(await exchange(unknown.port, GET)).toMatch(/^HTTP\/1\.1 500 /);
  const dead = await start({ f: call('app') });
  await new Promise((resolve) => dead.upstream.server.close(resolve));
  expect(await exchange(dead.port, GET)).toContain('x-status: 503\r\n');
});

test('onDestroy runs when the client goes away, also while a filter holds the stream', async () => {
  let destroyed = 0;
  const { port } = await start({
    f: { create: () => ({ onRequestHeaders: () => FilterStatus.Stop, onDestroy: () => void destroyed++ }) },
  });
  const client = new RawClient(port).write(GET);
  await new Promise((resolve) => setTimeout(resolve, 30));
  client.socket.resetAndDestroy();
  await eventually(() => destroyed === 1);
});

test('a third party’s runtime is named by the path of its module', async () => {
  const folder = temporaryFolder({
    'words.ts': `export default {
      name: 'words',
      sniff: () => false,
      load: (spec) => ({ create: () => ({ onResponseHeaders: (headers) => headers.set('x-words', spec.source) }) }),
    };`,
    'empty.ts': 'export default {};',
  });
  const upstream = await startUpstream();
  const words = (runtime: string) =>
    simpleConfig(upstream.port, { filters: [{ source: 'as it is', runtime, name: 'w' }] });
  const { port } = await startProxy(words('./words.ts'), folder);
  expect(await exchange(port, GET)).toContain('x-words: as it is\r\n');
  await expect(startProxy(words('./empty.ts'), folder)).rejects.toThrow(/has no FilterRuntime as its default export/);
});

test('a reload takes new streams to the new filters; streams in flight end on theirs, whose factories then close', async () => {
  let release = () => {};
  const { port, proxy, upstream } = await start(
    { f: { create: () => ({ onResponseHeaders: (headers) => headers.set('x-version', '1') }) } },
    {
      upstream: (request, response) => {
        if (request.path === '/slow') release = () => response.end('slow');
        else response.end('fast');
      },
    },
  );
  const slow = exchange(port, `GET /slow HTTP/1.1\r\n${CLOSE}\r\n`);
  await eventually(() => upstream.seen.length === 1);
  const filters = [{ use: 'headers', config: { response: { set: { 'x-version': '2' } } } }];
  const next = simpleConfig(upstream.port, { filters, address: '127.0.0.1:0' });
  await proxy.reload(next);
  expect(await exchange(port, GET)).toContain('x-version: 2\r\n');
  release();
  expect(await slow).toContain('x-version: 1\r\n');
});
