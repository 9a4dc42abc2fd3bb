/** Load balancers that are modules. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startProxy } from '../support/proxy.ts';
import { startUpstream } from '../support/upstream.ts';
import { eventually, freePort, temporaryFolder, WeirProcess } from '../support/weir-process.ts';

const BY_SHARD = `export const createLoadBalancer = ({ header }) => ({
  choose: (endpoints, headers) => endpoints.find(({ metadata }) => metadata.shard === headers.get(header)) ?? endpoints[0],
});`;

async function shards() {
  const one = await startUpstream((_, response) => response.end('one'));
  const two = await startUpstream((_, response) => response.end('two'));
  return [
    { address: `127.0.0.1:${one.port}`, metadata: { shard: '1' } },
    { address: `127.0.0.1:${two.port}`, metadata: { shard: '2' } },
  ];
}

const config = (endpoints: object[], load_balancing: object, port = 0) => ({
  drain_timeout: '200ms',
  listeners: [{ name: 'web', address: `127.0.0.1:${port}`, routes: [{ match: { prefix: '/' }, cluster: 'app' }] }],
  clusters: [{ name: 'app', endpoints, load_balancing }],
});

async function start(module: string, endpoints: object[], more: object = {}) {
  const folder = temporaryFolder({ 'lb.mjs': module });
  const running = await startProxy(
    config(endpoints, { use: './lb.mjs', config: { header: 'x-shard' }, ...more }) as object,
    folder,
  );
  const ask = async (shard: string) => {
    const response = await fetch(`http://127.0.0.1:${running.port}/`, { headers: { 'x-shard': shard } });
    return response.ok ? response.text() : `${response.status}`;
  };
  return { ...running, ask };
}

test('chooses by headers and metadata', async () => {
  const { ask } = await start(BY_SHARD, await shards());
  expect([await ask('1'), await ask('2'), await ask('2'), await ask('9')]).toEqual(['one', 'two', 'two', 'one']);
});

test('an endpoint that can not be reached is not among the choices any more', async () => {
  const [one] = await shards();
  const endpoints = [{ address: `127.0.0.1:${await freePort()}`, metadata: { shard: '7' } }, one as object];
  const { ask } = await start(BY_SHARD, endpoints);
  expect(await ask('7')).toBe('one');
});

test.each([
  ["throw new Error('no idea')", 'no idea'],
  ["return { name: 'elsewhere' }", 'it chose none of the endpoints that it was given'],
])('%s: 503, and the log says it', async (body, message) => {
  const { ask, log } = await start(
    `export const createLoadBalancer = () => ({ choose() { ${body} } });`,
    await shards(),
  );
  expect(await ask('1')).toBe('503');
  expect(log.messages('error')).toContain(`the load balancer of cluster app failed: ${message}`);
});

test('a plugin says what share of the requests each endpoint gets', async () => {
  const [one, two] = await shards();
  const endpoints = [one, { ...two, metadata: { chosen: true } }] as object[];
  const use = fileURLToPath(new URL('../conformance/filters/plugin/canonical.ts', import.meta.url));
  const { ask } = await start('', endpoints, { use, runtime: 'plugin', config: { case: 'add-header' } });
  await eventually(async () => {
    const answers = new Set(await Promise.all(Array.from({ length: 20 }, () => ask('1'))));
    return answers.size === 1 && answers.has('two');
  });
});

test('what can not be loaded is refused at its place', async () => {
  await expect(start('export const x = 1;', await shards())).rejects.toThrow(
    /clusters\.0\.load_balancing.*createLoadBalancer/s,
  );
  await expect(start('', await shards(), { use: './none.mjs' })).rejects.toThrow('there is no file ./none.mjs');
});

test('a changed one is in force for the connections that are there', async () => {
  const port = await freePort();
  const endpoints = await shards();
  const folder = temporaryFolder({ 'lb.mjs': BY_SHARD });
  writeFileSync(
    join(folder, 'weir.json'),
    JSON.stringify({ ...config(endpoints, { use: './lb.mjs', config: { header: 'x-shard' } }, port), workers: 2 }),
  );
  const weir = new WeirProcess(['run', join(folder, 'weir.json')]);
  await weir.until('listening on');
  const ask = async () => (await fetch(`http://127.0.0.1:${port}/`, { headers: { 'x-shard': '1' } })).text();
  expect(await ask()).toBe('one');
  writeFileSync(
    join(folder, 'lb.mjs'),
    'export const createLoadBalancer = () => ({ choose: (endpoints) => endpoints[1] });',
  );
  await eventually(async () => (await ask()) === 'two');
});
