/** Weir's own protocol for plugins, beyond what the canonical filters show. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { ConfigInput } from '../../src/main.ts';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { RawClient } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';
import { eventually, temporaryFolder } from '../support/weir-process.ts';

const program = fileURLToPath(new URL('../support/plugins/weir.ts', import.meta.url));

type Listener = NonNullable<ConfigInput['listeners']>[number];

async function start(name: string, more: object = {}, listener: Partial<Listener> = {}) {
  const file = join(temporaryFolder(), 'file');
  const upstream = await startUpstream((seen, response) => response.end(`echo ${seen.body}`));
  const entry = { use: program, name: 'plugin', runtime: 'plugin', config: { case: name, file }, ...more };
  const running = await startProxy(simpleConfig(upstream.port, { filters: [entry], ...listener }));
  const ask = (head = '', body = '') => {
    const length = body === '' ? '' : `content-length: ${body.length}\r\n`;
    const line = body === '' ? 'GET' : 'POST';
    return new RawClient(running.port)
      .write(`${line} / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n${head}${length}\r\n${body}`)
      .end();
  };
  return { ...running, upstream, ask, file };
}

test('headers that are held may be edited when the body has come', async () => {
  const { ask, upstream } = await start('late-edit');
  expect(await ask('', 'hello')).toContain('echo hello');
  expect(upstream.seen[0]?.headers).toMatchObject({ 'x-early': 'yes', 'x-length': '5' });
});

test('pieces of a body that is not held change one by one', async () => {
  const { ask } = await start('too-late-edit');
  expect(await ask('', 'hello')).toMatch(/echo hello!/);
});

test('it gets facts of the stream, settings of the route and what other filters left', async () => {
  const routes = [
    { name: 'main', match: { prefix: '/' }, cluster: 'app', filters: { plugin: { config: { level: 3 } } } },
  ];
  const { ask } = await start('info', {}, { routes } as Partial<Listener>);
  const answer = await ask('x-a: 1\r\nx-b: 2\r\nx-a: 3\r\n');
  const { info, routeConfig, metadata, all } = JSON.parse(answer.slice(answer.indexOf('{')));
  expect(info).toMatchObject({ id: 1, listener: 'web', protocol: 'HTTP/1.1', route: 'main', tlsVersion: '' });
  expect(info.clientAddress).toMatch(/^127\.0\.0\.1:\d+$/);
  expect({ routeConfig, metadata }).toEqual({ routeConfig: { level: 3 }, metadata: {} });
  expect(all.filter(([name]: string[]) => /^(x-a|x-b|:path)$/.test(name as string))).toEqual([
    [':path', '/'],
    ['x-a', '1'],
    ['x-b', '2'],
    ['x-a', '3'],
  ]);
});

test('what it leaves is for the access log', async () => {
  const file = join(temporaryFolder(), 'access');
  const { ask } = await start(
    'metadata',
    {},
    { access_log: { path: file, format: '%DYNAMIC_METADATA(plugin.test:user)%' } },
  );
  await ask();
  await eventually(() => existsSync(file) && readFileSync(file, 'utf8') !== '');
  expect(readFileSync(file, 'utf8')).toBe('{\\x22name\\x22:\\x22admin\\x22}\n');
});

test('repeated headers and values in latin-1 stay what they are', async () => {
  const { ask, upstream } = await start('repeated');
  await ask('x-repeated: one\r\nx-gone: 1\r\n');
  const headers = upstream.seen[0]?.headers;
  expect(headers).toMatchObject({ 'x-repeated': 'one, two', 'x-new': 'caf\u00e9' });
  expect(headers).not.toHaveProperty('x-gone');
});

test.each([
  ['never', /the plugin did not answer: no answer \(within 150 ms\)/],
  ['die', /the plugin did not answer: /],
  ['bad-status', /it replied with status 700/],
])('%s: the policy answers', async (name, message) => {
  const { ask, log, upstream } = await start(name, { timeout: '150ms' });
  expect(await ask()).toMatch(/^HTTP\/1\.1 500 /);
  expect(upstream.seen).toHaveLength(0);
  expect(log.messages('error').join('\n')).toMatch(message);
});

test('the first event is sent again when its process dies', async () => {
  const { ask } = await start('die-once', { timeout: '5s' });
  expect(await ask()).toContain('the second process');
});

test('it hears of the end of every stream', async () => {
  const { ask, file } = await start('complete');
  await Promise.all([ask(), ask()]);
  await eventually(() => existsSync(file) && readFileSync(file, 'utf8').split('\n').length === 3);
  expect(readFileSync(file, 'utf8')).toBe('web 200\nweb 200\n');
});

test.each([
  ['none', 'the plugin wants parts that do not exist, or none'],
  ['unheard-of', 'there is no case unheard-of'],
])('a configuration with %s is refused', async (name, message) => {
  await expect(start(name)).rejects.toThrow(message);
});
