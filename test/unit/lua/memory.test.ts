/** What many scripts, and many reloads, cost in memory. */
import { setImmediate as nextTask } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { newEngine, scriptSource } from '../../support/lua.ts';

const SCRIPT = `local allowed = {GET = true, HEAD = true}
local function check(h) return h:headers():get("user") == "admin" end
function envoy_on_request(h)
  if not allowed[h:headers():get(":method")] or not check(h) then h:respond({[":status"] = "403"}, "no") end
end
function envoy_on_response(h) h:headers():add("x-lua", "1") end`;

function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let i = 0; i < 4; i++) gc();
  return process.memoryUsage().heapUsed;
}

test('a thousand entries take at most 50 KiB each, with one script or with a thousand', () => {
  const engine = newEngine();
  const kept = [engine.load(scriptSource(SCRIPT))];
  for (const source of [() => SCRIPT, (i: number) => `${SCRIPT}\n-- ${i}`]) {
    const before = heapUsed();
    for (let i = 0; i < 1000; i++) kept.push(engine.load(scriptSource(source(i))));
    expect((heapUsed() - before) / 1000).toBeLessThan(50 * 1024);
  }
  expect(kept.length).toBe(2001);
});

test('loading a changed script again and again leaves nothing behind', async () => {
  const engine = newEngine();
  const reload = async (from: number, count: number) => {
    for (let i = from; i < from + count; i++) {
      engine.load(scriptSource(`${SCRIPT}\n-- ${i}`)).close();
      // A weak reference keeps its target until the end of the task that made it.
      if (i % 50 === 0) await nextTask();
    }
    await nextTask();
  };
  await reload(0, 500);
  const before = heapUsed();
  await reload(500, 10_000);
  // Less than a tenth of a script each; what is left is the last few hundred, which are kept for further entries.
  expect((heapUsed() - before) / 10_000).toBeLessThan(500);
});
