/** Generated modules (Binaryen's fuzzer): with budgets they are valid, do what they did before, and end when their fuel does. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { addBudgets } from '../../../runtimes/shared/wasm/budget.ts';
import { randomOf } from '../../conformance/http1/corpus.ts';

const folder = mkdtempSync(join(tmpdir(), 'weir-generated-'));
afterAll(() => rmSync(folder, { recursive: true }));
const optimizer = join(createRequire(import.meta.url).resolve('binaryen/package.json'), '../bin/wasm-opt');
const COUNT = Number(process.env.WEIR_MODULES ?? 12);
const PLENTY = 2 ** 31 - 1;

/** All that this host takes: no garbage-collected objects, one plain memory. */
const FEATURES = [
  'sign-ext',
  'mutable-globals',
  'nontrapping-float-to-int',
  'bulk-memory',
  'multivalue',
  'reference-types',
  'simd',
  'tail-call',
  'extended-const',
  'relaxed-simd',
];

function generate(seed: number): Uint8Array {
  const below = randomOf(seed);
  const input = join(folder, 'seed');
  writeFileSync(
    input,
    Uint8Array.from({ length: 1000 + below(6000) }, () => below(256)),
  );
  const output = join(folder, 'module.wasm');
  // The fuzzer mixes both kinds of exception handling, which no engine takes: half of the modules have the new one, half none.
  const exceptions = seed % 2 === 0 ? ['--enable-exception-handling', '--translate-to-exnref'] : [];
  const flags = ['--mvp-features', ...FEATURES.map((name) => `--enable-${name}`), ...exceptions];
  execFileSync(process.execPath, [optimizer, '-ttf', input, ...flags, '-o', output], { stdio: 'ignore' });
  return readFileSync(output);
}

/** What the exported functions return or how they fail, and what they tell the host, in order. */
function outcomes(module: WebAssembly.Module, fuelExport?: string): string[] {
  const told: string[] = [];
  const imports: WebAssembly.Imports = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    if (kind === 'function')
      imports[from][name] = (...values: unknown[]) => void told.push(`${name} ${values.map(text)}`);
    else
      imports[from][name] = new (WebAssembly as unknown as { Tag: new (type: object) => unknown }).Tag({
        parameters: tagType(name),
      });
  }
  let instance: WebAssembly.Instance;
  try {
    instance = new WebAssembly.Instance(module, imports);
  } catch (error) {
    return [...told, `its start fails: ${error instanceof WebAssembly.RuntimeError ? error.message : error}`];
  }
  for (const [name, value] of Object.entries(instance.exports)) {
    if (typeof value !== 'function') continue;
    if (fuelExport !== undefined) (instance.exports[fuelExport] as WebAssembly.Global).value = PLENTY;
    try {
      told.push(`${name} = ${text((value as (...args: number[]) => unknown)(1, 2, 3))}`);
    } catch (error) {
      told.push(
        `${name} fails: ${error instanceof WebAssembly.RuntimeError ? error.message : (error as Error).constructor.name}`,
      );
    }
  }
  return told;
}

/** Binaryen's fuzzer imports the tags of C++ and JavaScript exceptions. */
function tagType(name: string): string[] {
  return name === 'wasmtag' ? ['i32'] : ['externref'];
}

function text(value: unknown): string {
  if (typeof value === 'function' || (typeof value === 'object' && value !== null && !Array.isArray(value)))
    return 'object';
  // A NaN's bits may differ from run to run.
  return Array.isArray(value) ? value.map(text).join() : String(value);
}

test.each(Array.from({ length: COUNT }, (_, i) => i + 1))('module %i', (seed) => {
  const original = generate(seed);
  const { bytes, fuelExport } = addBudgets(original, { memory: 64 * 1024 * 1024, start: PLENTY });
  const budgeted = new WebAssembly.Module(bytes);
  expect(outcomes(budgeted, fuelExport)).toEqual(outcomes(new WebAssembly.Module(Uint8Array.from(original))));
});
