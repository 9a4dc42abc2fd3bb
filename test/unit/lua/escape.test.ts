/** Scripts that try to reach JavaScript, each other, or what is over: they find nothing. */
import { expect, test } from 'vitest';
import { newEngine, runProgram, scriptSource } from '../../support/lua.ts';

/** The names by which JavaScript's objects lead to everything. */
const NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'valueOf',
  'hasOwnProperty',
  '__defineGetter__',
  'call',
  'apply',
  'bind',
];

test.each(NAMES)('%s is a name like any other', (name) => {
  const program = `local t = {}
print(t.${name}, ("x").${name}, rawget(t, "${name}"), _G.${name}, string.${name}, math.${name})
print(pcall(function() return (1).${name} end))
print(pcall(function() return print.${name} end))
t.${name} = "mine" print(t.${name}, #t, next(t))
${name} = 5 print(${name}, _G["${name}"])
local u = {${name} = 1, ["${name}"] = 2} print(u.${name})
print(pcall(function() local o = {} o:${name}() end))
print(({${name} = function() return "called" end}):${name}())
print(tostring(setmetatable({}, {__index = {${name} = "inherited"}}).${name}))`;
  const lines = runProgram(program);
  expect(lines[0]).toBe('nil\tnil\tnil\tnil\tnil\tnil');
  expect(lines[1]).toMatch(/^false\t.*attempt to index a number value/);
  expect(lines[2]).toMatch(/^false\t.*attempt to index global 'print' \(a function value\)/);
  expect(lines.slice(3, 6)).toEqual([`mine\t0\t${name}\tmine`, '5\t5', '2']);
  expect(lines[6]).toMatch(new RegExp(`^false\t.*attempt to call method '${name}' \\(a nil value\\)`));
  expect(lines.slice(7)).toEqual(['called', 'inherited']);
});

test.each([
  'io',
  'debug',
  'package',
  'ffi',
  'jit',
  'dofile',
  'loadfile',
  'process',
  'globalThis',
  'S',
  'R',
  'E',
  'F',
  'va',
  't0',
  'Function',
  'eval',
])('there is no %s', (name) => expect(runProgram(`print(${name})`)).toEqual(['nil']));

test('names and texts of a script do not become JavaScript', () => {
  const program = `local a, S, R, E, C, F, va, t0, index, undefined, eval, arguments, await, yield, class = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
print(a + S + R + E + C + F + va + t0 + index + undefined + eval + arguments + await + yield + class)
print("*/ globalThis.x = 1 /*", '\`\${process.exit(1)}\`', "\\\\\\"+process.exit(1)+\\"", [[</script>]], "\\226\\128\\168;x()")
local t = {["*/"] = 1, ["\\n"] = 2, ["\\0"] = 3} print(t["*/"] + t["\\n"] + t["\\0"])
local function constructor(__proto__) return __proto__ end print(constructor("p"))
-- */ process.exit(1) /*
print(pcall(function() local x = nil; x["*/\\nprocess.exit(1)/*"] = 1 end))`;
  const lines = runProgram(program);
  expect(lines[0]).toBe('120');
  expect(lines[2]).toBe('6');
  expect(lines[3]).toBe('p');
  expect(lines[4]).toMatch(/attempt to index local 'x'/);
  expect((globalThis as { x?: unknown }).x).toBeUndefined();
});

test('two scripts share neither globals nor the libraries, and strings keep their methods', () => {
  const engine = newEngine();
  const lines: string[] = [];
  engine.load(
    scriptSource(`shared = 1 string.upper = function() return "poisoned" end table.insert = nil
getmetatable("").__index = function() return function() return "poisoned" end end
math.floor = nil _G.print = nil tostring = function() return "poisoned" end EnvoyTimestampResolution.MILLISECOND = 9`),
  );
  engine.load(
    scriptSource(
      'print(shared, ("a"):upper(), table.insert ~= nil, math.floor(1.5), tostring(1), EnvoyTimestampResolution.MILLISECOND)',
      lines,
    ),
  );
  expect(lines).toEqual(['nil\tA\ttrue\t1\t1\t0']);
});

test('metatables of the script’s own objects do what they do in Lua, and break nothing', () => {
  expect(
    runProgram(`print(pcall(setmetatable, "x", {}), pcall(setmetatable, print, {}))
local p = newproxy(true) getmetatable(p).__index = function(_, k) return k end print(p.anything, type(p))
print(pcall(function() newproxy().x = 1 end))
local t = setmetatable({}, {__metatable = false}) print(getmetatable(t), (pcall(setmetatable, t, nil)))
local e = setmetatable({}, {__tostring = function() error("in tostring") end}) print(pcall(tostring, e))
print(select(2, pcall(error, setmetatable({}, {__index = error}))) ~= nil)
print(pcall(next, {}, {}), pcall(rawset, _G, "x", 1))`),
  ).toEqual([
    "false\tfalse\tbad argument #1 to '?' (table expected, got function)",
    'anything\tuserdata',
    expect.stringMatching(/^false\t.*attempt to index a userdata value/),
    'false\tfalse',
    expect.stringMatching(/^false\t.*in tostring/),
    'true',
    expect.stringMatching(/^false\ttrue\ttable/),
  ]);
});

test('a coroutine that outlives its hook finds dead objects only', () => {
  const engine = newEngine();
  const lines: string[] = [];
  const state = engine.load(
    scriptSource(
      'local co function run() if not co then co = coroutine.create(function() coroutine.yield() print("late") end) end print(coroutine.resume(co)) end',
      lines,
    ),
  );
  const hook = state.hook('run');
  for (let i = 0; i < 3; i++) hook?.begin().start(undefined as never);
  expect(lines).toEqual(['true', 'late', 'true', 'false\tcannot resume dead coroutine']);
});
