/** One suite for all languages: the same canonical filters, the same traffic, the same outcomes. */
import { test as base, describe, expect } from 'vitest';
import { simpleConfig, startProxy } from '../../support/proxy.ts';
import { RawClient } from '../../support/raw.ts';
import { startUpstream } from '../../support/upstream.ts';

type Entry = NonNullable<NonNullable<Parameters<typeof simpleConfig>[1]>['filters']>[number];

/** How the canonical filters of one language are run. */
export interface Canonical {
  /** The file; it need not be there before the tests run. */
  use: string;
  /** What chooses a case; by default `config: { case: NAME }`. */
  choose?: (name: string) => Partial<Entry>;
  /** Cases that it can't have, with the reason. */
  lacks?: Readonly<Record<string, string>>;
  /** The status of a filter that failed closed; default 500. */
  failure?: number;
  /** What the log says of a filter that throws. */
  thrown: RegExp;
  /** What is said of an unknown case. */
  refused: RegExp;
}

/** The ABI knows no settings of routes. */
export const NO_ROUTES = { 'route-config': 'Proxy-Wasm has no configuration by route' };
/** What all Proxy-Wasm modules have in common. */
export const PROXY_WASM = {
  lacks: NO_ROUTES,
  failure: 503,
  thrown: /filter failed: (trap: unreachable|trap: .*|proc_exit)/,
  refused: /the module refused its configuration/,
} as const;

/** What all plugins that speak Weir's protocol have in common. */
export const PLUGIN = {
  lacks: {
    'pause-resume': 'a program makes its calls itself',
    'run-away': 'a program spends its own time; its calls have deadlines',
  },
  thrown: /filter failed: the plugin did not answer: .*thrown on purpose/,
  refused: /unknown case/,
} as const;

/** Defines the tests of one language. */
export function testCanonical(language: string, canonical: Canonical): void {
  describe(language, () => defineTests(canonical));
}

function defineTests({ use, choose, lacks = {}, failure = 500, thrown, refused }: Canonical): void {
  const entry = (name: string, more: Partial<Entry> = {}): Entry => ({
    use,
    name: 'canonical',
    ...(choose?.(name) ?? { config: { case: name } }),
    ...more,
  });
  /** A test of one case, where the language has it. */
  const test = (name: string, title: string, run: () => Promise<void>) => {
    if (lacks[name] === undefined) base(title, run);
  };

  /** Starts an upstream and a proxy with the filter, sends one request over a new connection, returns the whole answer. */
  async function run(
    filter: Entry,
    request = 'GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n',
    routes?: NonNullable<Parameters<typeof simpleConfig>[1]>['routes'],
  ) {
    const upstream = await startUpstream((seen, response) => {
      response.setHeader('trailer', 'x-end');
      response.write(`echo ${seen.body}`);
      response.addTrailers({ 'x-end': 'yes' });
      response.end();
    });
    const aux = await startUpstream((_, response) => response.writeHead(207).end('aux'));
    const config = simpleConfig(upstream.port, { filters: [filter], ...(routes === undefined ? {} : { routes }) });
    config.clusters?.push({ name: 'aux', endpoints: [`127.0.0.1:${aux.port}`] });
    const proxy = await startProxy(config);
    const answer = await new RawClient(proxy.port).write(request).end();
    return { answer, upstream, aux, log: proxy.log };
  }

  test('add-header', 'adds a header on both sides', async () => {
    const { answer, upstream } = await run(entry('add-header'));
    expect(upstream.seen[0]?.headers['x-request-mark']).toBe('seen');
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toContain('x-response-mark: seen\r\n');
  });

  test('local-reply', 'answers by a local reply, which its response hook sees too', async () => {
    const { answer, upstream } = await run(entry('local-reply'));
    expect(answer).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(answer).toContain('x-reason: not admin\r\n');
    expect(answer).toContain('x-response-mark: seen\r\n');
    expect(answer).toMatch(/\r\n\r\ndenied$/);
    expect(upstream.seen).toHaveLength(0);
  });

  test('local-reply', 'lets pass what needs no local reply', async () => {
    const { answer } = await run(
      entry('local-reply'),
      'GET / HTTP/1.1\r\nhost: test\r\nuser: admin\r\nconnection: close\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('pause-resume', 'pauses a request until a call returns, then resumes it, body and all', async () => {
    const request = 'POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello';
    const { answer, upstream, aux } = await run(entry('pause-resume'), request);
    expect(aux.seen[0]?.path).toBe('/check');
    expect(upstream.seen[0]?.headers['x-checked']).toBe('207');
    expect(upstream.seen[0]?.body).toBe('hello');
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('rewrite-body', 'rewrites bodies of both sides; content-length follows', async () => {
    const request = 'POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello';
    const { answer, upstream } = await run(entry('rewrite-body'), request);
    expect(upstream.seen[0]?.body).toBe('HELLO');
    expect(upstream.seen[0]?.headers['content-length']).toBe('5');
    expect(answer).toContain('ECHO HELLO');
  });

  test('trailers', 'changes trailers of both sides', async () => {
    const request =
      'POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-mine: 1\r\n\r\n';
    const { answer, upstream } = await run(entry('trailers'), request);
    expect(upstream.seen[0]?.trailers).toMatchObject({ 'x-mine': '1', 'x-request-mark': 'seen' });
    expect(answer).toMatch(/0\r\nx-end: yes\r\nx-response-mark: seen\r\n\r\n$/);
  });

  test('route-config', 'reads the configuration of the route, and is switched off by a route', async () => {
    const routes = [
      { match: { prefix: '/hi' }, cluster: 'app', filters: { canonical: { config: { greeting: 'hi' } } } },
      { match: { prefix: '/off' }, cluster: 'app', filters: { canonical: { disabled: true } } },
      { match: { prefix: '/' }, cluster: 'app' },
    ];
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n`;
    expect((await run(entry('route-config'), get('/hi'), routes)).answer).toContain('x-greeting: hi\r\n');
    expect((await run(entry('route-config'), get('/'), routes)).answer).toContain('x-greeting: none\r\n');
    expect((await run(entry('route-config'), get('/off'), routes)).answer).not.toContain('x-greeting');
  });

  test('throw', 'fails closed when it throws, the upstream sees nothing, the log says where', async () => {
    const { answer, upstream, log } = await run(entry('throw'));
    expect(answer.slice(9, 12)).toBe(String(failure));
    expect(upstream.seen).toHaveLength(0);
    const failed = log.messages('error').find((message) => message.startsWith('filter failed'));
    expect(failed).toMatch(thrown);
  });

  test('throw', 'fails open when it is told to', async () => {
    const { answer } = await run(entry('throw', { on_error: 'fail_open' }));
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('throw', 'answers with the status that its policy names', async () => {
    const { answer } = await run(entry('throw', { error_status: 502 }));
    expect(answer).toMatch(/^HTTP\/1\.1 502 /);
  });

  test('no-such-case', 'refuses a bad configuration when it is loaded', async () => {
    await expect(run(entry('no-such-case'))).rejects.toThrow(refused);
  });
}
