/** Modules of other toolchains: Proxy-Wasm in Rust with the SDK, Go and C, a component in Python. The modules and those of npm are compared with Envoy's outcomes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, test } from 'vitest';
import {
  compileC,
  compileGo,
  compileProxyWasm,
  compilePythonComponent,
  compileRust,
  compileSoloIo,
} from '../../wasm/toolchains.ts';
import { PROXY_WASM, testCanonical } from '../conformance/filters/suite.ts';
import { judge, recordedCases } from '../conformance/proxy-wasm/judge.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const filters = join(root, 'test/conformance/filters');
const shipped = join(root, 'wasm/proxy-wasm');
const built = mkdtempSync(join(tmpdir(), 'weir-modules-'));
const output = (name: string) => join(built, `${name}.wasm`);

describe.runIf(process.env.WEIR_PEERS === '1')('modules', () => {
  beforeAll(async () => {
    compileC(join(filters, 'c/canonical.c'), output('canonical-c'));
    compileGo(join(filters, 'go'), output('canonical-go'));
    compileGo(join(shipped, 'auth-go'), output('auth-go'));
    await compileRust(join(filters, 'rust'), output('canonical-rust'));
    await compileRust(join(shipped, 'auth-rust'), output('auth-rust'));
    await compileRust(join(shipped, 'rewrite-body-rust'), output('rewrite-body-rust'));
    await compileProxyWasm(join(filters, 'assembly/proxy-wasm.ts'), output('canonical-assemblyscript'));
    await compileProxyWasm(join(shipped, 'auth-assemblyscript.ts'), output('auth-assemblyscript'));
    compilePythonComponent(join(filters, 'python/canonical.py'), 'calling-filter', output('canonical-python'));
    compileSoloIo(join(filters, 'assembly/solo-io.ts'), output('canonical-solo-io'));
  }, 300_000);
  afterAll(() => rmSync(built, { recursive: true }));

  testCanonical('Rust', { ...PROXY_WASM, use: output('canonical-rust') });
  testCanonical('Go', { ...PROXY_WASM, use: output('canonical-go') });
  testCanonical('a component in Python', {
    use: output('canonical-python'),
    thrown: /filter failed: trap: /,
    refused: /unknown case/,
  });
  testCanonical('C', { ...PROXY_WASM, use: output('canonical-c') });

  test.each(recordedCases('modules'))('as Envoy: $id', (one) => judge(one, built));
});
