/** What Weir offers to people who write filters in WebAssembly: the library for AssemblyScript, build-wasm, dev, inspect. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { buildWasm } from '../../src/cli/build-wasm.ts';
import { inspectWasm } from '../../src/cli/inspect.ts';
import { compileFilter, compileProxyWasm } from '../../wasm/toolchains.ts';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { exchange } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';
import { freePort, WeirProcess } from '../support/weir-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'weir-wasm-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('the AssemblyScript library reaches metrics, shared data, routes and connections', async () => {
  const use = join(folder, 'whole.wasm');
  await compileFilter(join(root, 'test/integration/assembly/whole-abi.ts'), use);
  const upstream = await startUpstream();
  const routes = [
    { match: { prefix: '/moved' }, cluster: 'app' },
    { match: { prefix: '/' }, respond: { status: 404 } },
  ];
  const { port, proxy } = await startProxy(simpleConfig(upstream.port, { filters: [{ use, name: 'whole' }], routes }));
  for (let i = 1; i <= 2; i++) {
    const answer = await exchange(port, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 200 Very Good\r\n/);
    expect(answer).toContain(`x-count: ${i}.0\r\n`);
  }
  expect(upstream.seen[1]?.headers).toMatchObject({
    'x-visits': '2.0',
    'x-swapped': 'truefalse',
    'x-same': 'true',
    'x-deleted': 'true',
  });
  const labels = { filter: 'whole', listener: 'web' };
  expect(proxy.metrics.gauge('weir_filter_last', '', labels).value).toBe(7);
});

test('build-wasm compiles a filter that imports "weir", and says where it is wrong', async () => {
  // Not as deep as the working directory: the compiler mixes up the two when it looks for libraries.
  const nested = join(folder, 'some', 'where', 'deep');
  mkdirSync(nested, { recursive: true });
  const source = join(nested, 'auth.ts');
  const text = readFileSync(join(root, 'wasm/filters/auth.ts'), 'utf8').replace('"../assembly/weir"', '"weir"');
  writeFileSync(source, text);
  expect(await buildWasm(source)).toBe(join(nested, 'auth.wasm'));
  expect(await inspectWasm(join(nested, 'auth.wasm'))).toContain('kind: AssemblyScript module');
  writeFileSync(source, text.replace('(403', '("403"'));
  await expect(buildWasm(source)).rejects.toThrow(/TS2322[\s\S]*auth\.ts\(/);
  await expect(buildWasm(join(folder, 'none.ts'))).rejects.toThrow('there is no file');
});

test('dev compiles what is saved, and keeps what runs while that is wrong', async () => {
  const port = await freePort();
  const source = join(folder, 'stamp.ts');
  const filter = (value: string) => `import { Status, Stream } from "weir";
export function onResponseHeaders(stream: Stream, endStream: bool): Status {
  stream.responseHeaders.set("x-stamp", ${value});
  return Status.Continue;
}
`;
  writeFileSync(source, filter('"one"'));
  const config = join(folder, 'weir.yaml');
  writeFileSync(
    config,
    `workers: 1
listeners:
  - name: web
    address: 127.0.0.1:${port}
    filters: [ { use: ./stamp.wasm } ]
    routes: [ { respond: { status: 200 } } ]
`,
  );
  const weir = new WeirProcess(['dev', config]);
  await weir.until('listening on');
  const stamp = async () => (await fetch(`http://127.0.0.1:${port}/`)).headers.get('x-stamp');
  expect(await stamp()).toBe('one');
  writeFileSync(source, filter('1'));
  await weir.until('the module that runs stays');
  expect(await stamp()).toBe('one');
  writeFileSync(source, filter('"two"'));
  await expect.poll(stamp, { timeout: 10_000 }).toBe('two');
}, 30_000);

test('inspect tells the kind, the version, what is missing and who made it', async () => {
  const module = join(folder, 'module.wasm');
  await compileProxyWasm(join(root, 'wasm/proxy-wasm/auth-assemblyscript.ts'), module);
  const report = await inspectWasm(module);
  expect(report).toContain('kind: Proxy-Wasm module, ABI 0.2.1');
  expect(report).toContain('memory: 64 KiB at first');
  expect(report).toContain('  env.proxy_send_local_response');
  const other = join(folder, 'other.wasm');
  const unmarked = readFileSync(module)
    .toString('latin1')
    .replace('proxy_abi_version_0_2_1', 'proxy_abi_version_9_9_9');
  writeFileSync(other, Buffer.from(unmarked, 'latin1'));
  expect(await inspectWasm(other)).toContain("can't run as Proxy-Wasm: it exports no ABI version that is known");
  expect(await inspectWasm(join(root, 'README.md'))).toContain('not usable: this is not a WebAssembly module');
});
