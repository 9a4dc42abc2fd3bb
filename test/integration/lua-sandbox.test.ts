/** What a Lua script can and can't do to its proxy. */
import { expect, test } from 'vitest';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { exchange } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';

const GET = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';

/** Runs `body` in envoy_on_request; what it returns comes back in a header. */
async function evaluate(body: string, limits = {}): Promise<string> {
  const upstream = await startUpstream();
  const source = `local function run(h) ${body} end
function envoy_on_request(h) h:respond({[":status"] = "200", ["x-result"] = tostring(run(h))}) end`;
  const { port } = await startProxy(
    simpleConfig(upstream.port, { filters: [{ source, runtime: 'lua', name: 'probe', limits }] }),
  );
  const answer = await exchange(port, GET);
  return /x-result: (.*)\r/.exec(answer)?.[1] ?? answer.slice(9, 12);
}

test.each(['io', 'debug', 'package', 'ffi', 'jit', 'dofile', 'loadfile', 'js', 'fengari', 'global', 'process'])(
  'there is no %s',
  async (name) => expect(await evaluate(`return ${name}`)).toBe('nil'),
);

test.each(['execute', 'exit', 'getenv', 'remove', 'rename', 'tmpname', 'setlocale'])(
  'there is no os.%s',
  async (name) => {
    expect(await evaluate(`return os.${name}`)).toBe('nil');
  },
);

test('bytecode can be neither made nor loaded', async () => {
  expect(await evaluate('return string.dump')).toBe('nil');
  expect(await evaluate('return (load("\\27Lua"))')).toBe('nil');
  expect(await evaluate('return load("return 1 + 1")()')).toBe('2');
});

test.each([
  ['a loop', 'while true do end'],
  ['a loop in pcall', 'while true do pcall(function() while true do end end) end'],
  ['a loop in a coroutine', 'while true do coroutine.resume(coroutine.create(function() while true do end end)) end'],
  ['a loop in coroutine.wrap', 'while true do pcall(coroutine.wrap(function() while true do end end)) end'],
  ['a loop in an error handler', 'while true do xpcall(error, function() while true do end end) end'],
  ['a loop in a metamethod', 'local t = setmetatable({}, {__index = function() while true do end end}); return t.x'],
  ['a loop in a sort', 'table.sort({3, 2, 1}, function() while true do end end)'],
  ['a loop in gsub', 'return (string.gsub("aaa", "a", function() while true do end end))'],
  ['endless recursion', 'local function f() return 1 + f() end return f()'],
])('%s ends with the policy’s answer', async (_, body) => {
  expect(await evaluate(body, { instructions: 50_000 })).toBe('500');
});

test('host objects give nothing away and live as long as Envoy’s', async () => {
  expect(await evaluate('return getmetatable(h)')).toBe('false');
  expect(await evaluate('return pcall(setmetatable, h, {})')).toBe('false');
  expect(await evaluate('return h.constructor == nil and h.__proto__ == nil and h.toString == nil')).toBe('true');
  expect(await evaluate('return h:headers().__index == nil')).toBe('true');
  expect(await evaluate('return select(2, pcall(h.headers))')).toMatch(/calling 'headers' on bad self/);
  expect(await evaluate('return select(2, pcall(h.headers, h:headers()))')).toMatch(/calling 'headers' on bad self/);
});

test('xpcall and pcall work as in Lua otherwise', async () => {
  expect(await evaluate('return select(2, xpcall(function(a, b) return a + b end, print, 1, 2))')).toBe('3');
  expect(await evaluate('return select(2, xpcall(error, function(e) return "handled " .. e end, "x"))')).toBe(
    'handled x',
  );
  expect(await evaluate('local ok, a, b = pcall(function() return 1, 2 end) return tostring(ok) .. a .. b')).toBe(
    'true12',
  );
  expect(await evaluate('return select(2, pcall(error, {1})) ~= nil')).toBe('true');
});

test('two entries share no globals, and the string library can’t be poisoned from one to the other', async () => {
  const upstream = await startUpstream();
  const poison = 'shared = 1; string.upper = function() return "poisoned" end; function envoy_on_request(h) end';
  const probe =
    'function envoy_on_request(h) h:respond({[":status"] = "200", ["x-r"] = tostring(shared) .. ("a"):upper()}) end';
  const filters = [
    { source: poison, runtime: 'lua', name: 'poison' },
    { source: probe, runtime: 'lua', name: 'probe' },
  ];
  const { port } = await startProxy(simpleConfig(upstream.port, { filters }));
  expect(await exchange(port, GET)).toContain('x-r: nilA\r\n');
});
