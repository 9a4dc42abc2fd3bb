/** The budgets that are put into modules: nothing runs for ever, nothing grows without end, and what a module computes stays the same. */
import binaryen from 'binaryen';
import { expect, test } from 'vitest';
import { addBudgets } from '../../../runtimes/shared/wasm/budget.ts';

const MEMORY = 4 * 1024 * 1024;
const PLENTY = 2 ** 31 - 1;

function assemble(text: string): Uint8Array {
  const module = binaryen.parseText(text);
  try {
    module.setFeatures(binaryen.Features.All);
    if (!module.validate()) throw new Error('the test’s module is not valid');
    return module.emitBinary();
  } finally {
    module.dispose();
  }
}

interface Running {
  exports: Record<string, (...args: unknown[]) => unknown>;
  fuel: { value: number };
}

function start(text: string, imports: WebAssembly.Imports = {}, fuel = PLENTY): Running {
  const { bytes, fuelExport } = addBudgets(assemble(text), { memory: MEMORY, start: fuel });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  return {
    exports: instance.exports as Running['exports'],
    fuel: instance.exports[fuelExport] as WebAssembly.Global,
  };
}

/** Bodies of functions that never end by themselves. */
const ENDLESS: Readonly<Record<string, string>> = {
  'a loop': '(func (export "f") (loop $l (br $l)))',
  'a loop with a condition': '(func (export "f") (loop $l (br_if $l (i32.const 1))))',
  'a loop by br_table': '(func (export "f") (loop $l (br_table $l $l (i32.const 0))))',
  'a loop in a branch': '(func (export "f") (if (i32.const 1) (then (loop $l (br $l))) (else (nop))))',
  'a loop in the else of a large branch': `(func (export "f") (local i32)
     (if (i32.const 0) (then ${'(local.set 0 (i32.add (local.get 0) (i32.const 1)))'.repeat(100)}) (else (loop $l (br $l)))))`,
  'an outer loop': '(func (export "f") (loop $o (loop $i (br_if $i (i32.const 0))) (br $o)))',
  'a loop with a result': '(func (export "f") (result i32) (loop $l (result i32) (br $l)))',
  'a loop with parameters': '(func (export "f") (i32.const 1) (loop $l (param i32) (br_if $l (i32.const 1)) drop))',
  recursion: '(func $f (export "f") (call $f))',
  'recursion of two': '(func $a (export "f") (call $b)) (func $b (call $a))',
  'recursion by a table':
    '(table 1 funcref) (elem (i32.const 0) $f) (func $f (export "f") (call_indirect (i32.const 0)))',
  'a tail call': '(func $f (export "f") (return_call $f))',
  'a tail call by a table':
    '(table 1 funcref) (elem (i32.const 0) $f) (func $f (export "f") (return_call_indirect (i32.const 0)))',
  'a typed reference':
    '(type $t (func)) (elem declare func $f) (func $f (export "f") (return_call_ref $t (ref.func $f)))',
  'a loop by br_on_null': '(func (export "f") (loop $l (drop (br_on_null $l (ref.null func)))))',
  'a loop that catches':
    '(tag $e) (func (export "f") (loop $l (block $c (try_table (catch_all $c) (throw $e))) (br $l)))',
  'a doubling tree of calls': `${Array.from({ length: 60 }, (_, i) => `(func $f${i} (call $f${i + 1}) (call $f${i + 1}))`).join('')}(func $f60)(func (export "f") (call $f0))`,
  'filling memory in a loop':
    '(memory 16) (func (export "f") (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 1000000)) (br $l)))',
  'copying memory in a loop':
    '(memory 16) (func (export "f") (loop $l (memory.copy (i32.const 0) (i32.const 8) (i32.const 1000000)) (br $l)))',
  'filling a table in a loop':
    '(table 100000 funcref) (func (export "f") (loop $l (table.fill (i32.const 0) (ref.null func) (i32.const 100000)) (br $l)))',
  'growing memory in a loop': '(memory 1) (func (export "f") (loop $l (drop (memory.grow (i32.const 0))) (br $l)))',
};

test.each(Object.entries(ENDLESS))('ends: %s', (_, text) => {
  const { exports, fuel } = start(`(module ${text})`);
  fuel.value = 1_000_000;
  const started = performance.now();
  expect(() => exports.f?.()).toThrow(/unreachable|call stack/);
  // Millions of instructions, not billions; most are there in a millisecond.
  expect(performance.now() - started).toBeLessThan(2000);
});

test('ends: the start function', () => {
  expect(() => start('(module (func $s (loop $l (br $l))) (start $s))', {}, 1_000_000)).toThrow(/unreachable/);
});

test('a long body without a loop pays for its length', () => {
  const step = '(local.set 0 (i32.add (local.get 0) (i32.const 1)))';
  const { exports, fuel } = start(`(module (func (export "f") (local i32) ${step.repeat(10_000)}))`);
  fuel.value = 100_000;
  exports.f?.();
  expect(100_000 - fuel.value).toBeGreaterThanOrEqual(40_000);
  expect(100_000 - fuel.value).toBeLessThan(40_200);
});

test('a branch that is not taken costs little, however large it is', () => {
  const step = '(local.set 1 (i32.add (local.get 1) (i32.const 1)))';
  const { exports, fuel } = start(
    `(module (func (export "f") (param i32) (local i32) (if (local.get 0) (then ${step.repeat(5000)})) ${step.repeat(30)}))`,
  );
  const costOf = (argument: number) => {
    fuel.value = 1_000_000;
    exports.f?.(argument);
    return 1_000_000 - fuel.value;
  };
  expect(costOf(0)).toBeLessThan(500);
  expect(costOf(1)).toBeGreaterThanOrEqual(20_000);
});

test('each case of a switch pays for itself', () => {
  const step = '(local.set 1 (i32.add (local.get 1) (i32.const 1)))';
  const cases = 200;
  const open = Array.from({ length: cases }, (_, i) => `(block $c${cases - 1 - i}`).join(' ');
  const labels = Array.from({ length: cases }, (_, i) => `$c${i}`).join(' ');
  const bodies = Array.from({ length: cases }, () => `) ${step.repeat(5)} (br $out)`).join(' ');
  const { exports, fuel } = start(
    `(module (func (export "f") (param i32) (local i32) (block $out ${open} (br_table ${labels} (local.get 0)) ${bodies})))`,
  );
  fuel.value = 1_000_000;
  exports.f?.(7);
  expect(1_000_000 - fuel.value).toBeLessThan(200);
});

test('fuel that is used up stays used up, and can be given again', () => {
  const { exports, fuel } = start(
    '(module (func (export "f") (param i32) (local i32) (loop $l (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (local.get 0))))))',
  );
  fuel.value = 1000;
  expect(() => exports.f?.(1000)).toThrow(/unreachable/);
  expect(fuel.value).toBeLessThan(0);
  expect(() => exports.f?.(1)).toThrow(/unreachable/);
  fuel.value = 100_000;
  exports.f?.(1000);
});

test('a module can’t reach its fuel by a number that it does not have', () => {
  const module = assemble('(module (global (mut i32) (i32.const 1)) (func (export "f") (global.set 0 (i32.const 7))))');
  // The number of the global behind its only one: not valid, so refused before anything is added.
  const at = module.findIndex((byte, i) => byte === 0x24 && module[i + 1] === 0);
  module[at + 1] = 1;
  expect(() => addBudgets(module, { memory: MEMORY, start: PLENTY })).toThrow(/not a valid WebAssembly module/);
});

test('a module that exports the name of the fuel keeps its own', () => {
  const { exports, fuel } = start(
    '(module (global (export "weir_fuel") (mut i32) (i32.const 42)) (func (export "f")))',
  );
  expect((exports.weir_fuel as unknown as WebAssembly.Global).value).toBe(42);
  expect(fuel.value).toBe(PLENTY);
});

test('memory grows to its limit and no further', () => {
  const { exports } = start(
    '(module (memory (export "memory") 1) (func (export "f") (param i32) (result i32) (memory.grow (local.get 0))))',
  );
  expect(exports.f?.(63)).toBe(1);
  expect(exports.f?.(1)).toBe(-1);
});

test.each([
  ['more memory than it may have', '(memory 65)', /needs 4259840 bytes of memory from the start/],
  ['an imported memory', '(import "env" "m" (memory 1))', /imports the memory env.m/],
  ['an imported table', '(import "env" "t" (table 1 funcref))', /imports the table env.t/],
  ['a memory with 64-bit addresses', '(memory i64 1)', /only one plain memory/],
  ['a shared memory', '(memory 1 1 shared)', /only one plain memory/],
  ['two memories', '(memory 1) (memory 1)', /only one plain memory/],
  ['garbage-collected objects', '(type $s (struct (field i32))) (func (drop (struct.new_default $s)))', /0xfb/],
])('refuses %s', (_, text, message) => {
  expect(() => addBudgets(assemble(`(module ${text})`), { memory: MEMORY, start: PLENTY })).toThrow(message);
});

test('refuses what is no module', () => {
  expect(() => addBudgets(Buffer.from('hello'), { memory: MEMORY, start: PLENTY })).toThrow(/does not begin with/);
  const component = Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0);
  expect(() => addBudgets(component, { memory: MEMORY, start: PLENTY })).toThrow(/component/);
});

test('places of the running code are places of the original', () => {
  const text = `(module (func (export "f") (nop) (nop) (loop (nop)) unreachable))`;
  const original = assemble(text);
  const { bytes, originalOffset } = addBudgets(original, { memory: MEMORY, start: PLENTY });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), {});
  try {
    (exports.f as () => void)();
  } catch (error) {
    const offset = Number.parseInt(/:0x([0-9a-f]+)/.exec((error as Error).stack ?? '')?.[1] ?? '', 16);
    expect(original[originalOffset(offset)]).toBe(0);
    return;
  }
  throw new Error('it did not trap');
});
