/** Lua programs in the compiled engine against what LuaJIT 2.1 printed for them (the `.out` files; test/peers makes them anew). */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { runProgram } from '../../support/lua.ts';

const folder = new URL('./programs/', import.meta.url);
const programs = readdirSync(folder).filter((file) => file.endsWith('.lua'));

test.each(programs)('%s prints what LuaJIT prints', (file) => {
  const source = readFileSync(new URL(file, folder), 'latin1');
  const expected = readFileSync(new URL(file.replace('.lua', '.out'), folder), 'latin1');
  const printed = runProgram(source, { instructions: 1e9 })
    .join('\n')
    // LuaJIT ran a file, Weir the text.
    .replace(/\[string ".{0,50}\.\.\."\]/g, file);
  expect(`${printed}\n`).toBe(expected);
});
