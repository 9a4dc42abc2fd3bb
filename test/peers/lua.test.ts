/** Compiled Lua against LuaJIT (what Envoy runs) and PUC Lua 5.1, over programs that were written and programs that are generated. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ProgramGenerator } from '../conformance/lua/generate.ts';
import { newEngine, runProgram } from '../support/lua.ts';
import { temporaryFolder } from '../support/weir-process.ts';

const folder = fileURLToPath(new URL('../conformance/lua/programs/', import.meta.url));
const PROGRAMS = 400;

/** What an interpreter prints; the message of an error comes last. */
function interpret(program: string, file: string, cwd: string): string {
  try {
    return execFileSync(program, [file], { cwd, encoding: 'latin1', stdio: 'pipe', timeout: 20_000 });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return stdout + stderr.replace(/^\w+: /, '').replace(/\nstack traceback[\s\S]*/, '');
  }
}

test.each(readdirSync(folder).filter((file) => file.endsWith('.lua')))('%s was recorded from LuaJIT', (file) => {
  expect(interpret('luajit', file, folder)).toBe(readFileSync(join(folder, file.replace('.lua', '.out')), 'latin1'));
});

/** Names of operands in messages come from registers in LuaJIT, from the source in Weir: they are left out. */
function comparable(text: string): string {
  return text
    .replace(/\[string ".{0,50}?\.\.\."\]/g, 'generated.lua')
    .replace(
      /(arithmetic on|concatenate|call|get length of|index) (?:global|local|upvalue|field|method) '[^']*' \((.*?)\)/g,
      '$1 $2',
    )
    .replace(/0x[0-9a-f]{6,}/g, 'ADDRESS')
    .replace(/builtin[:#] ?\w+/g, 'ADDRESS')
    .trimEnd();
}

/** Seeds whose program prints something else in the interpreter. */
function differences(interpreter: string, portable: boolean, filter: (output: string) => string): number[] {
  const cwd = temporaryFolder();
  const engine = newEngine();
  const different: number[] = [];
  for (let seed = 1; seed <= PROGRAMS; seed++) {
    const text = new ProgramGenerator(seed, portable).program(20);
    writeFileSync(join(cwd, 'generated.lua'), text, 'latin1');
    const ours = runProgram(text, { instructions: 1e7 }, engine).join('\n');
    if (ours.endsWith('budget exceeded')) continue;
    const theirs = interpret(interpreter, 'generated.lua', cwd);
    if (filter(comparable(ours)) !== filter(comparable(theirs))) different.push(seed);
  }
  return different;
}

test(`${PROGRAMS} generated programs print what LuaJIT prints, errors included`, () => {
  expect(differences('luajit', false, (output) => output)).toEqual([]);
}, 120_000);

test(`${PROGRAMS} generated programs print what PUC Lua 5.1 prints; its errors have other words`, () => {
  const withoutErrors = (output: string) =>
    output
      .split('\n')
      .filter((line) => !/^(false|generated\.lua:)/.test(line))
      .join('\n');
  expect(differences('lua5.1', true, withoutErrors)).toEqual([]);
}, 120_000);

test('programs without goto, setfenv and the other additions print what PUC Lua 5.1 prints', () => {
  for (const file of ['tables.lua', 'functions.lua']) {
    expect(interpret('lua5.1', file, folder)).toBe(readFileSync(join(folder, file.replace('.lua', '.out')), 'latin1'));
  }
});
