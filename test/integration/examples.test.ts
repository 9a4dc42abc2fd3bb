/** Every example runs, and answers what its check.ts says. In one file: the examples have fixed ports. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { get } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { compileFilter } from '../../wasm/toolchains.ts';
import { onCleanup } from '../support/proxy.ts';
import { eventually, temporaryFolder, WeirProcess } from '../support/weir-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const examples = join(root, 'examples');

interface Check {
  url: string;
  send?: Record<string, string>;
  status: number;
  body?: string;
  headers?: Record<string, string>;
}

async function runChecks(name: string): Promise<void> {
  const { checks } = (await import(join(examples, name, 'check.ts'))) as { checks: Check[] };
  for (const { url, send, status, body, headers } of checks) {
    const response = await fetch(url, send === undefined ? {} : { headers: send });
    expect(response.status, url).toBe(status);
    const text = await response.text();
    if (body !== undefined) expect(text).toBe(body);
    expect(Object.fromEntries(response.headers)).toMatchObject(headers ?? {});
  }
}

test('every example has a README, and a check or a program', () => {
  const folders = readdirSync(examples);
  expect(folders.length).toBeGreaterThan(2);
  for (const folder of folders) {
    expect(existsSync(join(examples, folder, 'README.md')), folder).toBe(true);
    const runs = existsSync(join(examples, folder, 'check.ts')) || existsSync(join(examples, folder, `${folder}.ts`));
    expect(runs, folder).toBe(true);
  }
});

test('the quickstart mixes a Lua, a native and a WebAssembly filter, and takes a changed script', async () => {
  const script = join(examples, 'quickstart/auth.lua');
  const weir = new WeirProcess(['quickstart']);
  await weir.until('listening on 127.0.0.1:2046');
  await runChecks('quickstart');
  const before = readFileSync(script, 'utf8');
  onCleanup(() => writeFileSync(script, before));
  writeFileSync(script, before.replace('"403"', '"418"'));
  await eventually(async () => (await fetch('http://127.0.0.1:2046/')).status === 418);
  weir.child.kill('SIGINT');
  expect(await weir.exit()).toBe(0);
});

test('the auth filters in three languages', async () => {
  await startApp();
  const weir = new WeirProcess(['run', join(examples, 'auth-filters/weir.yaml')]);
  await weir.until('(all)');
  await runChecks('auth-filters');
});

/** What `curl -k` would get. */
function takeAny(url: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    get(url, { headers, agent: false, rejectUnauthorized: false, servername: '' }, async (response) => {
      let body = '';
      for await (const chunk of response) body += chunk;
      resolve({ status: response.statusCode ?? 0, body });
    }).on('error', reject);
  });
}

/** Something that answers on the port of the examples' upstream. */
async function startApp(): Promise<void> {
  const upstream = createServer((_, response) => void response.end('ok'));
  await new Promise<void>((resolve) => upstream.listen(8080, '127.0.0.1', resolve));
  onCleanup(() => upstream.close());
}

test.each(['plugin-auth', 'module-with-plugin', 'plugin-agent'])('%s', async (name) => {
  if (name === 'plugin-auth') await startApp();
  const weir = new WeirProcess(['run', join(examples, name, 'weir.yaml')]);
  await weir.until('listening on 127.0.0.1:2046');
  await runChecks(name);
  weir.child.kill('SIGTERM');
  expect(await weir.exit()).toBe(0);
});

test.each(['simple', 'module', 'plugin'])('MOSN’s demo %s', async (name) => {
  await startApp();
  const weir = new WeirProcess(['run', join(examples, 'mosn', name, 'config.json')]);
  await weir.until('listening on 127.0.0.1:2046');
  expect(weir.output).toContain('the admin API listens on 0.0.0.0');
  await runChecks('mosn');
  weir.child.kill('SIGTERM');
  expect(await weir.exit()).toBe(0);
});

test('MOSN’s demo certificates', async () => {
  await startApp();
  const weir = new WeirProcess(['run', join(examples, 'mosn/certificates/config.json')]);
  await weir.until('listening on 127.0.0.1:2046');
  await expect(fetch('http://127.0.0.1:2046/')).rejects.toThrow();
  await expect(fetch('https://127.0.0.1:2046/')).rejects.toMatchObject({
    cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
  });
  const { checks } = (await import(join(examples, 'mosn/check.ts'))) as { checks: Check[] };
  for (const { send = {}, status, body } of checks)
    expect(await takeAny('https://127.0.0.1:2046/', send)).toEqual({ status, body });
});

test('plugin-certificates: only who takes any certificate gets in, and nothing is said of the key', async () => {
  const weir = new WeirProcess(['run', join(examples, 'plugin-certificates/weir.yaml')]);
  await weir.until('listening on 127.0.0.1:2046');
  const { checks } = (await import(join(examples, 'plugin-certificates/check.ts'))) as { checks: Check[] };
  for (const { url, status, body } of checks) {
    await expect(fetch(url)).rejects.toMatchObject({ cause: { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' } });
    expect(await takeAny(url.replace('localhost', '127.0.0.1'))).toEqual({ status, body });
  }
  expect(weir.output).not.toContain('PRIVATE');
});

test('the embedding program', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--conditions=source',
    join(examples, 'embed/embed.ts'),
  ]);
  expect(stdout).toBe('403 200 hello from upstream\n');
});

test.each([
  ['auth', 'examples/auth-filters/auth.wasm'],
  ['stamp', 'examples/quickstart/stamp.wasm'],
])(
  'the committed %s.wasm is what its source compiles to',
  async (name, file) => {
    const output = join(temporaryFolder(), `${name}.wasm`);
    await compileFilter(join(root, `wasm/filters/${name}.ts`), output);
    const built = readFileSync(output);
    expect(built.equals(readFileSync(join(root, file)))).toBe(true);
  },
  60_000,
);
