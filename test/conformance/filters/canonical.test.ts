/** The canonical filters in the languages that npm alone can build; test/peers has the others. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  compileFilter,
  compileJavaScriptComponent,
  compileProxyWasm,
  compileSoloIo,
} from '../../../wasm/toolchains.ts';
import { simpleConfig, startProxy } from '../../support/proxy.ts';
import { RawClient } from '../../support/raw.ts';
import { startUpstream } from '../../support/upstream.ts';
import { NO_ROUTES, PLUGIN, PROXY_WASM, testCanonical } from './suite.ts';

const folder = fileURLToPath(new URL('.', import.meta.url));
const built = mkdtempSync(join(tmpdir(), 'weir-conformance-'));
const lua = join(folder, 'lua/canonical.lua');

beforeAll(async () => {
  await compileFilter(join(folder, 'assembly/canonical.ts'), join(built, 'canonical.wasm'));
  await compileProxyWasm(join(folder, 'assembly/proxy-wasm.ts'), join(built, 'proxy-wasm.wasm'));
  compileJavaScriptComponent(join(folder, 'component/canonical.js'), 'calling-filter', join(built, 'component.wasm'));
  compileSoloIo(join(folder, 'assembly/solo-io.ts'), join(built, 'solo-io.wasm'));
}, 120_000);
afterAll(() => rmSync(built, { recursive: true }));

const inSource = /filter failed at \S*canonical\.(ts|lua):\d+: .*thrown on purpose/;

testCanonical('TypeScript', { use: join(folder, 'module/canonical.ts'), thrown: inSource, refused: /unknown case/ });
testCanonical('TypeScript in a thread of its own', {
  use: join(folder, 'module/canonical.ts'),
  choose: (name) => ({ isolate: 'worker', config: { case: name } }),
  thrown: inSource,
  refused: /unknown case/,
});
testCanonical('Lua', { use: lua, thrown: inSource, refused: /unknown case/ });
testCanonical('AssemblyScript with Weir’s library', {
  use: join(built, 'canonical.wasm'),
  thrown: inSource,
  refused: /unknown case/,
});
testCanonical('a component in JavaScript', {
  use: join(built, 'component.wasm'),
  thrown: /filter failed: trap: /,
  refused: /unknown case/,
});
testCanonical('a plugin with the SDK for Node', {
  ...PLUGIN,
  use: join(folder, 'plugin/canonical.ts'),
  choose: (name) => ({ runtime: 'plugin', config: { case: name } }),
});
testCanonical('Proxy-Wasm in AssemblyScript', { ...PROXY_WASM, use: join(built, 'proxy-wasm.wasm') });
testCanonical('Proxy-Wasm with @solo-io/proxy-runtime', {
  ...PROXY_WASM,
  use: join(built, 'solo-io.wasm'),
  // Without a configuration the SDK frees the same memory twice.
  choose: (name) => ({ root_id: name, config: 'none' }),
  lacks: {
    ...NO_ROUTES,
    'rewrite-body': 'the SDK has no function that changes a body',
    'no-such-case': 'the SDK runs an unknown root as one that does nothing',
  },
});

test('an endless Lua loop gives its request the policy within its budget, and nobody else an error', async () => {
  const upstream = await startUpstream();
  const filters = [{ use: lua, name: 'canonical', config: { case: 'run-away' }, match: { prefix: '/bad' } }];
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
  const filters = [{ use: lua, name: 'canonical', config: { case: 'run-away' }, limits: { instructions: 10_000 } }];
  const { port, log } = await startProxy(simpleConfig(upstream.port, { filters }));
  for (let i = 0; i < 6; i++) {
    const answer = await new RawClient(port).write('GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n').end();
    expect(answer).toMatch(/^HTTP\/1\.1 500 /);
  }
  expect(log.messages('error').some((message) => message.includes('out of service'))).toBe(true);
});

test('more requests wait for calls at once than a component has instances', async () => {
  const upstream = await startUpstream();
  const aux = await startUpstream((_, response) => setTimeout(() => response.writeHead(207).end(), 20));
  const filters = [{ use: join(built, 'component.wasm'), name: 'canonical', config: { case: 'pause-resume' } }];
  const config = simpleConfig(upstream.port, { filters });
  config.clusters?.push({ name: 'aux', endpoints: [`127.0.0.1:${aux.port}`] });
  const { port } = await startProxy(config);
  const answers = await Promise.all(Array.from({ length: 60 }, () => fetch(`http://127.0.0.1:${port}/`)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(upstream.seen.every(({ headers }) => headers['x-checked'] === '207')).toBe(true);
  expect(upstream.seen).toHaveLength(60);
}, 20_000);
