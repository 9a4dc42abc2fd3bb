/** The published package: built, packed, installed in an empty folder, and run by a plain Node 24. Run by `.ci/run`. */
import { execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { onCleanup } from '../support/proxy.ts';
import { eventually, freePort, temporaryFolder } from '../support/weir-process.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

test('npm pack, npm install, weir run and import on Node 24', async () => {
  const folder = temporaryFolder({ 'package.json': '{ "private": true, "type": "module" }' });
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root });
  const archive = stdout.trim().split('\n').at(-1) as string;
  await run('npm', ['install', '--silent', '--no-audit', '--no-fund', join(folder, archive), 'node@24'], {
    cwd: folder,
  });
  const node = join(folder, 'node_modules/node/bin/node');
  expect((await run(node, ['--version'])).stdout).toMatch(/^v24\./);
  const port = await freePort();
  writeFileSync(
    join(folder, 'stamp.ts'),
    `import { FilterStatus, type StreamFilterFactory } from 'weir';
export const createStreamFilterFactory = (): StreamFilterFactory => ({
  create: () => ({ onResponseHeaders: (headers) => { headers.set('x-stamp', FilterStatus.Continue); } }),
});`,
  );
  writeFileSync(
    join(folder, 'plugin.ts'),
    `import { serve } from 'weir/plugin';
await serve({ filter: (config) => ({ onResponseHeaders: (headers) => headers.set('x-plugin', String(config)) }) });`,
  );
  writeFileSync(
    join(folder, 'weir.yaml'),
    `listeners:
  - name: web
    address: 127.0.0.1:${port}
    filters:
      - { use: ./stamp.ts }
      - { use: ./plugin.ts, runtime: plugin, config: own-process }
      - { source: 'function envoy_on_response(h) h:headers():add("x-lua", "yes") end', runtime: lua, name: lua }
      - { use: ./node_modules/weir/examples/quickstart/stamp.wasm, config: { header: x-wasm, value: "yes" } }
    routes: [ { match: { prefix: / }, respond: { status: 200, body: packed } } ]
`,
  );
  const weir = spawn(node, [join(folder, 'node_modules/.bin/weir'), 'run', 'weir.yaml'], {
    cwd: folder,
    stdio: 'inherit',
  });
  const ended = new Promise<number | null>((resolve) => weir.once('close', resolve));
  onCleanup(() => weir.kill('SIGKILL'));
  const answer = () => fetch(`http://127.0.0.1:${port}/`).catch(() => false as const);
  const response = await eventually(answer);
  expect(await response.text()).toBe('packed');
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'x-stamp': 'Continue',
    'x-lua': 'yes',
    'x-plugin': 'own-process',
    'x-wasm': 'yes',
  });
  weir.kill('SIGTERM');
  expect(await ended).toBe(0);
  const program = `import { Proxy } from 'weir';
const proxy = await new Proxy({ listeners: [{ name: 'a', address: '127.0.0.1:0', routes: [{ respond: { status: 204 } }] }] }).listen();
console.log((await fetch('http://127.0.0.1:' + proxy.ports.a)).status);
await proxy.close();`;
  expect((await run(node, ['--input-type=module', '-e', program], { cwd: folder })).stdout).toBe('204\n');
}, 180_000);
