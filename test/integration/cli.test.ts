/** The command line: starting, refusing, reloading, draining, and the admin API. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { compileFilter } from '../../wasm/toolchains.ts';
import { RawClient } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';
import { eventually, freePort, temporaryFolder, WeirProcess } from '../support/weir-process.ts';

const AUTH = `function envoy_on_request(h)
  if h:headers():get("user") ~= "admin" then h:respond({[":status"] = "403"}, "no\\n") end
end`;

interface Setup {
  weir: WeirProcess;
  folder: string;
  url: string;
  admin: string;
  port: number;
}

/** Starts a proxy with one Lua filter; `more` is put into the configuration's top level, `filter` below its filter. */
async function start(upstreamPort: number, more = '', args: readonly string[] = []): Promise<Setup> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const folder = temporaryFolder({
    'auth.lua': AUTH,
    'weir.yaml': `workers: 2
admin: { address: 127.0.0.1:${adminPort} }
${more}
listeners:
  - name: web
    address: 127.0.0.1:${port}
    filters: [ { use: ./auth.lua, config: { api_token: hidden } } ]
    routes: [ { match: { prefix: / }, cluster: app } ]
clusters: [ { name: app, endpoints: [ 127.0.0.1:${upstreamPort} ] } ]
`,
  });
  const weir = new WeirProcess(['run', join(folder, 'weir.yaml'), ...args]);
  await weir.until('listening on');
  return { weir, folder, port, url: `http://127.0.0.1:${port}/`, admin: `http://127.0.0.1:${adminPort}` };
}

const asAdmin = { headers: { user: 'admin' } };

test('serves, reloads a script on change, keeps the old one while the new is broken, drains on SIGTERM', async () => {
  const upstream = await startUpstream();
  const { weir, folder, url, admin } = await start(upstream.port);
  expect((await fetch(url)).status).toBe(403);
  expect((await fetch(url, asAdmin)).status).toBe(200);
  writeFileSync(join(folder, 'auth.lua'), AUTH.replace('"403"', '"401"'));
  await eventually(async () => (await fetch(url)).status === 401);
  // An editor's way: a new file takes the name of the old.
  writeFileSync(join(folder, 'next.lua'), AUTH.replace('"403"', 'oops('));
  renameSync(join(folder, 'next.lua'), join(folder, 'auth.lua'));
  await weir.until('was refused');
  expect(weir.output).toMatch(/auth\.lua:2:[0-9]+: error: script load error/);
  expect((await fetch(url)).status).toBe(401);
  const stats = (await (await fetch(`${admin}/stats`)).json()) as Record<string, number>;
  expect(stats).toMatchObject({ weir_config_reloads_total: 1, weir_config_reload_failures_total: 1 });
  writeFileSync(join(folder, 'auth.lua'), AUTH.replace('"403"', '"402"'));
  await eventually(async () => (await fetch(url)).status === 402);
  weir.child.kill('SIGTERM');
  expect(await weir.exit()).toBe(0);
});

test('a reload may add and remove listeners; SIGHUP asks for one', async () => {
  const upstream = await startUpstream();
  const { weir, folder, url } = await start(upstream.port, '', ['--no-watch']);
  const port = await freePort();
  const config = `workers: 2
listeners:
  - name: other
    address: 127.0.0.1:${port}
    routes: [ { match: { prefix: / }, respond: { status: 200, body: "other" } } ]
`;
  writeFileSync(join(folder, 'weir.yaml'), config);
  weir.child.kill('SIGHUP');
  const answer = () =>
    fetch(`http://127.0.0.1:${port}/`).then(
      (response) => response.text(),
      () => undefined,
    );
  expect(await eventually(answer)).toBe('other');
  await eventually(() =>
    fetch(url).then(
      () => false,
      () => true,
    ),
  );
  weir.child.kill('SIGINT');
  expect(await weir.exit()).toBe(0);
});

test('draining lets requests in flight end and refuses new connections', async () => {
  let release = () => {};
  const upstream = await startUpstream((_, response) => {
    release = () => response.end('late');
  });
  const { weir, url, port } = await start(upstream.port);
  const pending = fetch(url, asAdmin).then((response) => response.text());
  await eventually(() => upstream.seen.length === 1);
  const idle = new RawClient(port);
  await new Promise((resolve) => idle.socket.once('connect', resolve));
  weir.child.kill('SIGTERM');
  await idle.end();
  await eventually(() =>
    fetch(url).then(
      () => false,
      () => true,
    ),
  );
  release();
  expect(await pending).toBe('late');
  expect(await weir.exit()).toBe(0);
});

test('the admin API shows the state, and no secrets', async () => {
  const upstream = await startUpstream();
  const { weir, url, admin } = await start(upstream.port);
  await fetch(url, asAdmin);
  await fetch(url);
  const get = async (path: string) => (await fetch(admin + path)).text();
  expect(await get('/ready')).toBe('ready\n');
  const prometheus = await get('/stats/prometheus');
  expect(prometheus).toMatch(/^weir_requests_total\{listener="web"\} 2$/m);
  expect(prometheus).toMatch(/^weir_responses_total\{listener="web",code="4xx"\} 1$/m);
  expect(prometheus).toMatch(/^weir_filter_local_replies_total\{listener="web",filter="auth.lua"\} 1$/m);
  expect(prometheus).toMatch(/^weir_filter_hook_seconds_count\{listener="web",filter="auth.lua"\} [1-9]/m);
  expect(prometheus).toMatch(/^weir_request_duration_seconds_bucket\{listener="web",le="\+Inf"\} 2$/m);
  const dump = await get('/config_dump');
  expect(dump).toContain('"api_token": "[redacted]"');
  expect(dump).not.toContain('hidden');
  expect(JSON.parse(await get('/listeners'))).toMatchObject([{ name: 'web', workers: 2 }]);
  expect(JSON.parse(await get('/clusters'))).toMatchObject([{ name: 'app', endpoints: [{ connections: 1 }] }]);
  expect(JSON.parse(await get('/runtimes'))).toMatchObject([{ listener: 'web', filters: [{ name: 'auth.lua' }] }]);
  expect((await fetch(`${admin}/drain`)).status).toBe(405);
  expect((await fetch(`${admin}/nothing`)).status).toBe(404);
  expect((await fetch(`${admin}/reload`, { method: 'POST' })).status).toBe(200);
  expect((await fetch(`${admin}/drain`, { method: 'POST' })).status).toBe(202);
  expect(await weir.exit()).toBe(0);
});

const ROUTED = 'routes: [ { match: { prefix: / }, respond: { status: 204 } } ]';

test('what can’t run is refused with one error that points at it, and exit code 2', async () => {
  const folder = temporaryFolder({ 'bad.lua': 'function envoy_on_request(h)\n  local x == 1\nend\n' });
  const run = async (text: string, args = ['run', '-']) => {
    const weir = new WeirProcess(args, { input: text, cwd: folder });
    const code = await weir.exit();
    return `${code} ${weir.output}`;
  };
  const busy = await startUpstream();
  expect(await run(`listeners: [ { name: a, address: '127.0.0.1:${busy.port}', ${ROUTED} } ]`)).toMatch(
    /^2 -:1:34: error: can't listen on 127\.0\.0\.1:\d+: the address is in use by another program\n.*\n +\| +\^\n$/,
  );
  expect(await run(`listners: []`)).toMatch(
    /^2 -:1:1: error: unknown key `listners`\n.*\n.*\n {2}hint: did you mean `listeners`\?\n$/,
  );
  const withFilter = (use: string) =>
    `listeners:\n  - name: a\n    address: 127.0.0.1:0\n    filters: [ { use: ${use} } ]\n    ${ROUTED}\n`;
  expect(await run(withFilter('./no.lua'))).toMatch(/^2 -:4:23: error: there is no file \.\/no\.lua\n/);
  expect(await run(withFilter('./bad.lua'))).toMatch(
    /^2 .*bad\.lua:2:11: error: script load error: .*\n.*\n> 2 \| +local x == 1\n.*\n {2}hint: loaded by -:4:/,
  );
  expect(await run('', ['run', 'missing.yaml'])).toMatch(/^2 missing\.yaml: error: can't read the configuration/);
  expect(await run('', ['rnu'])).toMatch(/^2 weir: there is no command rnu: did you mean run\?\n/);
  expect(await run(withFilter('./bad.lua'), ['validate', '-'])).toMatch(/^2 .*bad\.lua:2:11: error/);
  expect(await run(`listeners: [ { name: a, address: '127.0.0.1:0', ${ROUTED} } ]`, ['validate', '-'])).toBe(
    '0 -: ok, 1 listeners, 0 clusters\n',
  );
  expect(await run('', ['--version'])).toMatch(/^0 \d+\.\d+\.\d+\n$/);
  expect(await run('', ['--help'])).toMatch(/^0 weir: .*weir run FILE/s);
  expect(JSON.parse((await run('', ['schema'])).slice(2))).toHaveProperty('properties.listeners');
});

// The whole takes 2 s of the watchdog and a worker's start; on a machine that does other things besides, that start may be late.
test('a worker stuck in a filter is replaced within 3 s; the log and a counter name it; the other worker goes on', {
  retry: 2,
}, async () => {
  const upstream = await startUpstream();
  const [port, adminPort] = [await freePort(), await freePort()];
  const folder = temporaryFolder({
    'loop.ts': `export function createStreamFilterFactory() {
      return { create: () => ({ onRequestHeaders(headers) { if (headers.get('x-loop') !== undefined) for (;;); } }) };
    }`,
    'weir.yaml': `workers: 2
admin: { address: 127.0.0.1:${adminPort} }
listeners:
  - name: web
    address: 127.0.0.1:${port}
    filters: [ { use: ./loop.ts } ]
    routes: [ { match: { prefix: / }, cluster: app } ]
clusters: [ { name: app, endpoints: [ 127.0.0.1:${upstream.port} ] } ]
`,
  });
  const weir = new WeirProcess(['run', join(folder, 'weir.yaml')]);
  await weir.until('listening on');
  // Keep-alive connections to both workers.
  const clients = Array.from({ length: 16 }, () => new RawClient(port));
  const get = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
  const ask = async (client: RawClient, times: number) => {
    client.write(get);
    await client.until((text) => (text.match(/GET \/ /g) ?? []).length >= times);
  };
  await Promise.all(clients.map((client) => ask(client, 1)));
  const stuck = new RawClient(port).write('GET / HTTP/1.1\r\nhost: a\r\nx-loop: 1\r\n\r\n');
  const stuckAt = performance.now();
  await stuck.end();
  await weir.until('serves again');
  expect(performance.now() - stuckAt).toBeLessThan(3000);
  expect(weir.output).toMatch(/worker \d ended \(stuck for [\d.]+ s\) in filter web\/loop\.ts: it is replaced/);
  const alive = clients.filter((client) => !client.closed);
  expect(alive.length).toBeGreaterThan(0);
  expect(alive.length).toBeLessThan(clients.length);
  await Promise.all(alive.map((client) => ask(client, 2)));
  const stats = (await (await fetch(`http://127.0.0.1:${adminPort}/stats`)).json()) as Record<string, number>;
  expect(stats['weir_worker_restarts_total{filter="web/loop.ts"}']).toBe(1);
  // Counters of the worker that is gone still count.
  expect(stats['weir_requests_total{listener="web"}']).toBeGreaterThanOrEqual(17);
});

test('a WebAssembly filter whose budget is larger than the watchdog’s time costs its worker, and is named', async () => {
  const port = await freePort();
  const folder = temporaryFolder();
  const source = fileURLToPath(new URL('../conformance/filters/assembly/canonical.ts', import.meta.url));
  await compileFilter(source, join(folder, 'canonical.wasm'));
  writeFileSync(
    join(folder, 'weir.yaml'),
    `workers: 1
watchdog_timeout: 500ms
listeners:
  - name: web
    address: 127.0.0.1:${port}
    filters: [ { use: ./canonical.wasm, config: { case: run-away }, match: { prefix: /loop }, limits: { instructions: 2147483647 } } ]
    ${ROUTED}
`,
  );
  const weir = new WeirProcess(['run', join(folder, 'weir.yaml')]);
  await weir.until('listening on');
  await new RawClient(port).write('GET /loop HTTP/1.1\r\nhost: a\r\n\r\n').end();
  await weir.until('serves again');
  expect(weir.output).toMatch(/stuck for [\d.]+ s\) in filter web\/canonical\.wasm/);
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(204);
});

test('a worker that runs out of memory is replaced', async () => {
  const port = await freePort();
  const folder = temporaryFolder({
    'leak.ts': `const kept: unknown[] = [];
      export function createStreamFilterFactory() {
        return { create: () => ({ onRequestHeaders(headers) {
          if (headers.get('x-leak') !== undefined) for (;;) kept.push({ leak: kept.length, text: 'x'.repeat(100) + kept.length });
        } }) };
      }`,
    'weir.yaml': `workers: 1
worker_memory: 64MiB
watchdog_timeout: 20s
listeners:
  - name: web
    address: 127.0.0.1:${port}
    filters: [ { use: ./leak.ts } ]
    ${ROUTED}
`,
  });
  const weir = new WeirProcess(['run', join(folder, 'weir.yaml')]);
  await weir.until('listening on');
  await new RawClient(port).write('GET / HTTP/1.1\r\nhost: a\r\nx-leak: 1\r\n\r\n').end();
  await weir.until('serves again');
  expect(weir.output).toContain('(out of memory) in filter web/leak.ts');
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(204);
});

test('100 reloads under load: no request fails', async () => {
  const upstream = await startUpstream((_, response) => void response.end('ok'));
  const { weir, url, admin } = await start(upstream.port, '', ['--no-watch']);
  let done = false;
  let served = 0;
  const failures: string[] = [];
  const client = async () => {
    while (!done) {
      const answer = await fetch(url, asAdmin).then((response) => response.text(), String);
      served++;
      if (answer !== 'ok') failures.push(answer);
    }
  };
  const clients = Array.from({ length: 64 }, client);
  for (let i = 0; i < 100; i++) expect((await fetch(`${admin}/reload`, { method: 'POST' })).status).toBe(200);
  done = true;
  await Promise.all(clients);
  expect(failures).toEqual([]);
  expect(served).toBeGreaterThan(100);
  const stats = (await (await fetch(`${admin}/stats`)).json()) as Record<string, number>;
  expect(stats.weir_config_reloads_total).toBe(100);
  weir.child.kill('SIGTERM');
  expect(await weir.exit()).toBe(0);
}, 60_000);
