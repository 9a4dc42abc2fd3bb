/** One suite for all runtimes: the same canonical filters, the same traffic, the same outcomes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileFilter } from '../../../wasm/build.ts';
import { simpleConfig, startProxy } from '../../support/proxy.ts';
import { RawClient } from '../../support/raw.ts';
import { startUpstream } from '../../support/upstream.ts';

const folder = fileURLToPath(new URL('.', import.meta.url));
const built = mkdtempSync(join(tmpdir(), 'weir-conformance-'));

const RUNTIMES = {
  module: join(folder, 'module/canonical.ts'),
  lua: join(folder, 'lua/canonical.lua'),
  assemblyscript: join(built, 'canonical.wasm'),
} as const;

beforeAll(() => compileFilter(join(folder, 'assembly/canonical.ts'), RUNTIMES.assemblyscript), 60_000);
afterAll(() => rmSync(built, { recursive: true }));

type Entry = NonNullable<NonNullable<Parameters<typeof simpleConfig>[1]>['filters']>[number];

describe.each(Object.entries(RUNTIMES))('%s', (_, use) => {
  const entry = (name: string, more: Partial<Entry> = {}): Entry => ({
    use,
    name: 'canonical',
    config: { case: name },
    ...more,
  });

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

  test('adds a header on both sides', async () => {
    const { answer, upstream } = await run(entry('add-header'));
    expect(upstream.seen[0]?.headers['x-request-mark']).toBe('seen');
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toContain('x-response-mark: seen\r\n');
  });

  test('answers by a local reply, which its response hook sees too', async () => {
    const { answer, upstream } = await run(entry('local-reply'));
    expect(answer).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(answer).toContain('x-reason: not admin\r\n');
    expect(answer).toContain('x-response-mark: seen\r\n');
    expect(answer).toMatch(/\r\n\r\ndenied$/);
    expect(upstream.seen).toHaveLength(0);
  });

  test('lets pass what needs no local reply', async () => {
    const { answer } = await run(
      entry('local-reply'),
      'GET / HTTP/1.1\r\nhost: test\r\nuser: admin\r\nconnection: close\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('pauses a request until a call returns, then resumes it, body and all', async () => {
    const request = 'POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello';
    const { answer, upstream, aux } = await run(entry('pause-resume'), request);
    expect(aux.seen[0]?.path).toBe('/check');
    expect(upstream.seen[0]?.headers['x-checked']).toBe('207');
    expect(upstream.seen[0]?.body).toBe('hello');
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('rewrites bodies of both sides; content-length follows', async () => {
    const request = 'POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello';
    const { answer, upstream } = await run(entry('rewrite-body'), request);
    expect(upstream.seen[0]?.body).toBe('HELLO');
    expect(upstream.seen[0]?.headers['content-length']).toBe('5');
    expect(answer).toContain('ECHO HELLO');
  });

  test('changes trailers of both sides', async () => {
    const request =
      'POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-mine: 1\r\n\r\n';
    const { answer, upstream } = await run(entry('trailers'), request);
    expect(upstream.seen[0]?.trailers).toMatchObject({ 'x-mine': '1', 'x-request-mark': 'seen' });
    expect(answer).toMatch(/0\r\nx-end: yes\r\nx-response-mark: seen\r\n\r\n$/);
  });

  test('reads the configuration of the route, and is switched off by a route', async () => {
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

  test('fails closed when it throws: 500, the upstream sees nothing, the log says where', async () => {
    const { answer, upstream, log } = await run(entry('throw'));
    expect(answer).toMatch(/^HTTP\/1\.1 500 Internal Server Error\r\n/);
    expect(upstream.seen).toHaveLength(0);
    const failed = log.messages('error').find((message) => message.startsWith('filter failed'));
    expect(failed).toMatch(/filter failed at \S*canonical\.(ts|lua):\d+: .*thrown on purpose/);
  });

  test('fails open when it is told to', async () => {
    const { answer } = await run(entry('throw', { on_error: 'fail_open' }));
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('answers with the status that its policy names', async () => {
    const { answer } = await run(entry('throw', { error_status: 503 }));
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
  });

  test('refuses a bad configuration when it is loaded', async () => {
    await expect(run(entry('no-such-case'))).rejects.toThrow(/unknown case/);
  });
});

test('an endless Lua loop gives its request the policy within its budget, and nobody else an error', async () => {
  const upstream = await startUpstream();
  const filters = [{ use: RUNTIMES.lua, name: 'canonical', config: { case: 'run-away' }, match: { prefix: '/bad' } }];
  const { port, log } = await startProxy(simpleConfig(upstream.port, { filters }));
  const get = (path: string) =>
    new RawClient(port).write(`GET ${path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n`).end();
  const started = performance.now();
  const answers = await Promise.all([get('/good'), get('/bad'), get('/good')]);
  expect(performance.now() - started).toBeLessThan(5000);
  expect(answers.map((answer) => answer.slice(9, 12))).toEqual(['200', '500', '200']);
  expect(log.messages('error').some((message) => message.includes('instruction budget exceeded'))).toBe(true);
});

test('a filter that breaks its budget again and again is taken out of service', async () => {
  const upstream = await startUpstream();
  const filters = [
    { use: RUNTIMES.lua, name: 'canonical', config: { case: 'run-away' }, limits: { instructions: 10_000 } },
  ];
  const { port, log } = await startProxy(simpleConfig(upstream.port, { filters }));
  for (let i = 0; i < 6; i++) {
    const answer = await new RawClient(port).write('GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n').end();
    expect(answer).toMatch(/^HTTP\/1\.1 500 /);
  }
  expect(log.messages('error').some((message) => message.includes('out of service'))).toBe(true);
});
