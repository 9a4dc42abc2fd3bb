/** `npm start`: what a newcomer does first. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { onCleanup } from '../support/proxy.ts';
import { eventually, WeirProcess } from '../support/weir-process.ts';

const script = fileURLToPath(new URL('../../examples/quickstart/auth.lua', import.meta.url));

test('the quickstart mixes a Lua, a native and a WebAssembly filter, and takes a changed script', async () => {
  const weir = new WeirProcess(['quickstart']);
  await weir.until('listening on 127.0.0.1:2046');
  const url = 'http://127.0.0.1:2046/';
  const denied = await fetch(url);
  expect(denied.status).toBe(403);
  expect(await denied.text()).toBe('forbidden by auth.lua\n');
  const allowed = await fetch(url, { headers: { user: 'admin' } });
  expect(allowed.status).toBe(200);
  expect(Object.fromEntries(allowed.headers)).toMatchObject({
    'x-checked-by': 'auth.lua',
    'x-served-by': 'weir',
    'x-stamp': 'quickstart',
  });
  const before = readFileSync(script, 'utf8');
  onCleanup(() => writeFileSync(script, before));
  writeFileSync(script, before.replace('"403"', '"418"'));
  await eventually(async () => (await fetch(url)).status === 418);
  weir.child.kill('SIGINT');
  expect(await weir.exit()).toBe(0);
});
