/** Modules that are loaded while Weir runs: what they may be, what changes when they do, what they leave behind. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ModuleLoader } from '../../runtimes/module/loader.ts';
import type { ConfigInput } from '../../src/main.ts';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { startUpstream } from '../support/upstream.ts';
import { temporaryFolder } from '../support/weir-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const filter = (value: string, head = '') => `${head}
export const createStreamFilterFactory = () => ({
  create: () => ({ onResponseHeaders(headers) { headers.set('x-from', ${value}); } }),
});`;

type Entry = NonNullable<NonNullable<ConfigInput['listeners']>[number]['filters']>[number];

/** What the filter of an entry says. */
async function ask(folder: string, entry: Entry): Promise<string | null> {
  const upstream = await startUpstream((_, response) => response.end());
  const { port } = await startProxy(simpleConfig(upstream.port, { filters: [entry] }), folder);
  return (await fetch(`http://127.0.0.1:${port}/`)).headers.get('x-from');
}

test.each(['m.ts', 'm.mts', 'm.js', 'm.mjs'])('a file %s', async (name) => {
  const typed = name.endsWith('ts') ? 'const from: string = import.meta.filename.slice(-4);' : 'const from = "plain";';
  const folder = temporaryFolder({ [name]: filter('from', typed) });
  expect(await ask(folder, { use: `./${name}` })).toBe(name.endsWith('ts') ? name.slice(-4) : 'plain');
});

test('a folder with a package.json, by main or exports, and a package by its name', async () => {
  const folder = temporaryFolder();
  const write = (path: string, text: string) => {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  write('by-main/package.json', '{ "type": "module", "main": "lib/filter.js" }');
  write('by-main/lib/filter.js', filter('"main"'));
  write('by-exports/package.json', '{ "name": "x", "exports": { ".": { "import": "./own.mjs" } } }');
  write('by-exports/own.mjs', filter('"exports"'));
  write('node_modules/@scope/filter/package.json', '{ "name": "@scope/filter", "exports": { "import": "./f.mjs" } }');
  write('node_modules/@scope/filter/f.mjs', filter('"package"'));
  write('node_modules/plain-filter/package.json', '{ "name": "plain-filter", "main": "f.mjs" }');
  write('node_modules/plain-filter/f.mjs', filter('"plain package"'));
  write('commonjs/package.json', '{ "main": "f.js" }');
  write('commonjs/f.js', filter('"commonjs"').replace('export const', 'exports.').replace('exports. ', 'exports.'));
  expect(await ask(folder, { use: './by-main' })).toBe('main');
  expect(await ask(folder, { use: './by-exports' })).toBe('exports');
  expect(await ask(folder, { use: '@scope/filter', runtime: 'module' })).toBe('package');
  expect(await ask(folder, { use: 'plain-filter', runtime: 'module' })).toBe('plain package');
  expect(await ask(folder, { use: './commonjs' })).toBe('commonjs');
  await expect(ask(folder, { use: 'no-such-package', runtime: 'module' })).rejects.toThrow(
    /Cannot find package 'no-such-package'/,
  );
  await expect(ask(folder, { use: './node_modules' })).rejects.toThrow('./node_modules is not a file');
  write('broken/package.json', '{ "main": "none.js" }');
  await expect(ask(folder, { use: './broken' })).rejects.toThrow('the entry of the package ./broken is not there');
});

test('a module for another version of the ABI is refused by name', async () => {
  const folder = temporaryFolder({ 'm.mjs': filter('"x"', 'export const abiVersion = 2;') });
  await expect(ask(folder, { use: './m.mjs' })).rejects.toThrow(
    './m.mjs was written for version 2 of the ABI; this is version 1',
  );
});

test('what it imports by relative paths is loaded anew and watched, too; what is unchanged stays', async () => {
  const folder = temporaryFolder({
    'entry.ts':
      "import { part } from './part.ts';\nimport { sep } from 'node:path';\nexport const all: string = part + sep;\nexport const lazy = () => import('./lazy.mjs');",
    'part.ts': "import './cycle.mjs';\nexport const part: string = 'one';",
    'cycle.mjs': "import './part.ts';\nimport data from './data.json' with { type: 'json' };\nexport { data };",
    'data.json': '{}',
    'lazy.mjs': 'export const late = 1;',
  });
  const loader = new ModuleLoader();
  const watched = new Set<string>();
  const load = () =>
    loader.load(join(folder, 'entry.ts'), (file) => watched.add(file)) as Promise<{
      all: string;
      lazy: () => Promise<{ late: number }>;
    }>;
  const first = await load();
  expect(first.all).toBe('one/');
  expect((await first.lazy()).late).toBe(1);
  expect([...watched].map((file) => file.slice(folder.length + 1)).sort()).toEqual([
    'cycle.mjs',
    'data.json',
    'entry.ts',
    'lazy.mjs',
    'part.ts',
  ]);
  expect(await load()).toBe(first);
  writeFileSync(join(folder, 'part.ts'), "export const part: string = 'two';");
  expect((await load()).all).toBe('two/');
  expect(first.all).toBe('one/');
  writeFileSync(join(folder, 'part.ts'), 'export const part = ;');
  await expect(load()).rejects.toMatchObject({ stack: expect.stringMatching(/part\.ts(\?.*)?:1/) });
  writeFileSync(join(folder, 'part.ts'), "export const part: string = 'three';");
  expect((await load()).all).toBe('three/');
});

test('a thousand reloads leave nothing behind', () => {
  const folder = temporaryFolder();
  const program = `
    import { writeFileSync } from 'node:fs';
    import { ModuleLoader } from '${root}runtimes/module/loader.ts';
    const loader = new ModuleLoader();
    const heap = () => { gc(); gc(); return process.memoryUsage().heapUsed; };
    let before = 0;
    for (let i = 0; i < 1100; i++) {
      if (i === 100) before = heap();
      writeFileSync('${folder}/m.ts', 'const text: string = ' + JSON.stringify('x'.repeat(20000)) + '; export const v: number = ' + i + '; export const f = () => text;');
      const { v } = await loader.load('${folder}/m.ts', () => {});
      if (v !== i) throw new Error('an old version');
    }
    console.log((heap() - before) / 1000);`;
  const options = [
    '--experimental-vm-modules',
    '--no-warnings',
    '--expose-gc',
    '--conditions=source',
    '--input-type=module',
  ];
  const perReload = Number(execFileSync(process.execPath, [...options, '-e', program], { encoding: 'utf8' }));
  // Each version is over 20 KB.
  expect(perReload).toBeLessThan(1000);
}, 60_000);
