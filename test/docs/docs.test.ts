/** Nothing is documented that no test reads: YAML loads, TypeScript compiles, tables agree with the code. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { OPTIONS, ROUTE_OPTIONS } from '../../runtimes/lua/options.ts';
import { OPTIONS as PLUGIN_OPTIONS } from '../../runtimes/plugin/options.ts';
import { OPTIONS as WASM_OPTIONS } from '../../runtimes/proxy-wasm/options.ts';
import { FilterStatus } from '../../src/abi/index.ts';
import { loadConfigText } from '../../src/config/load.ts';
import { ERROR_KINDS, type ErrorKind } from '../../src/errors.ts';
import { onCleanup } from '../support/proxy.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

function blocks(path: string, language: string): string[] {
  return [...read(path).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, text = '']) => text);
}

test.each(['README.md', 'runtimes/lua/README.md', 'runtimes/proxy-wasm/README.md', 'runtimes/plugin/README.md'])(
  'the YAML of %s loads',
  (path) => {
    const found = blocks(path, 'yaml');
    expect(found.length).toBeGreaterThan(0);
    for (const text of found) loadConfigText('-', text);
  },
);

test('every setting of a Lua entry is in its README', () => {
  const text = read('runtimes/lua/README.md');
  for (const option of [...OPTIONS, ...ROUTE_OPTIONS]) expect(text).toContain(`\`${option}\``);
});

test('every setting of a Proxy-Wasm entry is in its README', () => {
  const text = read('runtimes/proxy-wasm/README.md');
  for (const option of WASM_OPTIONS) expect(text).toContain(`\`${option}\``);
});

test('every setting of a plugin entry is in its README', () => {
  const text = read('runtimes/plugin/README.md');
  for (const option of PLUGIN_OPTIONS) expect(text).toContain(`\`${option}\``);
});

test.each(['README.md', 'runtimes/plugin/README.md'])('the TypeScript of %s compiles', (path) => {
  const folder = mkdtempSync(join(root, 'test/docs/tmp-'));
  onCleanup(() => rmSync(folder, { recursive: true }));
  const found = blocks(path, 'ts');
  expect(found.length).toBeGreaterThan(0);
  for (const [i, text] of found.entries()) writeFileSync(join(folder, `block-${i}.ts`), text);
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: '../../../tsconfig.json', include: ['*.ts', '../../../runtimes/**/*.d.ts'] }),
  );
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], { encoding: 'utf8' });
});

test('the README’s AssemblyScript is the filter that ships', () => {
  const [block = ''] = blocks('README.md', 'assemblyscript');
  expect(read('wasm/filters/auth.ts')).toContain(block);
});

test('the table of error codes agrees with the code, in both directions', () => {
  const rows = [...read('src/README.md').matchAll(/^\| `(\w+)`\s*\|[ ]*(\d*)[ ]*\|[ ]*(\w*)[ ]*\|/gm)];
  const documented = Object.fromEntries(rows.map(([, code, status, flag]) => [code, `${status} ${flag}`]));
  const actual = Object.entries<ErrorKind>(ERROR_KINDS).map(([code, kind]) => [
    code,
    `${kind.status ?? ''} ${kind.flag ?? ''}`,
  ]);
  expect(documented).toEqual(Object.fromEntries(actual));
});

test('every status and every hook of the ABI is in its README, and no other', () => {
  const text = read('src/abi/README.md');
  for (const status of Object.values(FilterStatus)) expect(text).toContain(`\`${status}\``);
  const hooks = [...read('src/abi/filter.ts').matchAll(/^ {2}(on[A-Z]\w+)\?\(/gm)].map(([, name]) => name);
  const documented = [...text.matchAll(/^\| `(on[A-Z]\w+)\(/gm)].map(([, name]) => name);
  expect(hooks.length).toBe(8);
  expect(documented).toEqual(hooks);
});

test('the guest library has the host’s functions, and the other way round', () => {
  const guest = [...read('wasm/assembly/weir.ts').matchAll(/@external\("weir", "(\w+)"\)/g)]
    .map(([, name]) => name)
    .sort();
  const [, table = ''] = read('runtimes/assemblyscript/guest.ts').split('#hostFunctions(): Record<string, unknown> {');
  const host = [...table.matchAll(/^ {6}(\w+): \(/gm)].map(([, name]) => name).sort();
  expect(guest.length).toBeGreaterThan(15);
  expect(host).toEqual(guest);
});
