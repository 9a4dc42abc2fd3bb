/** The dependency rule of the design: each folder imports only what is below it. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** From the bottom to the top; a folder may import from the ones before it. `proxy.ts` assembles a data plane. */
const LAYERS = [
  ['src/abi'],
  ['src/errors.ts', 'src/timers.ts', 'src/shared-data.ts', 'src/grpc-js.ts'],
  ['src/codec', 'src/config'],
  ['src/observability'],
  ['src/routing', 'src/clusters', 'src/plugins'],
  ['src/filters'],
  ['src/tls'],
  ['src/http'],
  ['src/listeners'],
  ['src/proxy.ts'],
  ['src/admin'],
  ['src/supervisor'],
  ['src/cli', 'src/main.ts'],
];

const layerOf = (file: string) =>
  LAYERS.findIndex((parts) => parts.some((part) => file === part || file.startsWith(`${part}/`)));
const partOf = (file: string) => LAYERS.flat().find((part) => file === part || file.startsWith(`${part}/`));

interface Import {
  from: string;
  to: string;
}

function imports(): Import[] {
  return globSync(['src/**/*.ts', 'runtimes/**/*.ts'], { cwd: root }).flatMap((from) => {
    const text = readFileSync(resolve(root, from), 'utf8');
    return [...text.matchAll(/(?:^|\n)(?:import|export)\s[^'";]*?from\s+'([^']+)'/g)].map(([, to = '']) => ({
      from,
      to: to.startsWith('.') ? relative(root, resolve(root, dirname(from), to)) : to,
    }));
  });
}

/** What is wrong with an import, or `undefined`. */
function brokenRule({ from, to }: Import): string | undefined {
  if (from.startsWith('src/abi/'))
    return to.startsWith('src/abi/')
      ? undefined
      : 'the ABI imports nothing, so that whatever extends Weir needs nothing else';
  if (from.startsWith('runtimes/') && from !== 'runtimes/index.ts') {
    const own = from.split('/').slice(0, 2).join('/');
    if (to.startsWith('src/') && !to.startsWith('src/abi/')) return 'a runtime sees Weir through the ABI only';
    // A library of several runtimes, which knows none of them.
    if (to.startsWith('runtimes/shared/')) return undefined;
    return to.startsWith('runtimes/') && !to.startsWith(`${own}/`) ? 'runtimes do not know each other' : undefined;
  }
  if (from === 'runtimes/index.ts' && to.startsWith('src/abi/')) return undefined;
  if (to.startsWith('runtimes/')) {
    const allowed = from === 'src/main.ts' || from.startsWith('src/cli/') || from === 'runtimes/index.ts';
    return allowed ? undefined : 'the core never names a runtime; main.ts and cli/ hand them in';
  }
  if (!to.startsWith('src/') || partOf(from) === partOf(to)) return undefined;
  return layerOf(to) < layerOf(from)
    ? undefined
    : 'a layer imports only from lower ones, so that each can be read without the ones above';
}

test('every file belongs to a layer', () => {
  const homeless = globSync('src/**/*.ts', { cwd: root }).filter((file) => layerOf(file) < 0);
  expect(homeless).toEqual([]);
});

test('no import breaks the dependency rule', () => {
  const all = imports();
  expect(all.length).toBeGreaterThan(100);
  const broken = all.map((one) => ({ ...one, why: brokenRule(one) })).filter(({ why }) => why !== undefined);
  expect(broken).toEqual([]);
});

test('the rule is not blind', () => {
  expect(brokenRule({ from: 'src/abi/headers.ts', to: 'node:net' })).toBeDefined();
  expect(brokenRule({ from: 'runtimes/lua/api.ts', to: 'src/errors.ts' })).toBeDefined();
  expect(brokenRule({ from: 'src/filters/side.ts', to: 'src/http/tunnel.ts' })).toBeDefined();
  expect(brokenRule({ from: 'src/http/tunnel.ts', to: 'runtimes/lua/api.ts' })).toBeDefined();
});
