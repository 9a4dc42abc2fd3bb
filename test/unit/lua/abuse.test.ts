/** Scripts that want too much: every one ends with an error of its own, and the engine goes on. */
import { expect, test } from 'vitest';
import { newEngine, runProgram, scriptSource } from '../../support/lua.ts';

const BUDGET = /^(instruction|memory|time) budget exceeded/;
const OVERFLOW = /stack overflow/;
const engine = newEngine();

/** What the last line of a program says. */
function outcome(body: string, instructions = 1_000_000): string {
  return runProgram(body, { instructions }, engine).at(-1) ?? '';
}

test.each([
  ['a string that doubles', 'local s = "x" while true do s = s .. s end'],
  ['string.rep', 'print(#string.rep("x", 1e9))'],
  ['string.rep of a separator', 'print(#string.rep("", 1e9, "ab"))'],
  ['table.concat', 'local t = {} for i = 1, 1000 do t[i] = string.rep("x", 100000) end print(#table.concat(t))'],
  ['gsub', 'local s = "x" for i = 1, 40 do s = s:gsub("x", "xx") end'],
  ['a long list', 'local t = {} local i = 0 while true do i = i + 1 t[i] = i end'],
  ['a large map', 'local t = {} local i = 0 while true do i = i + 1 t["k" .. i] = i end'],
  ['nested tables', 'local t = {} while true do t = {t} end'],
  ['closures', 'local f = print while true do local g = f f = function() return g end end'],
  ['kept strings', 'local t, s = {}, "" while true do s = s .. "x" t[#t + 1] = s:byte() and s end'],
  [
    'coroutines',
    'local t = {} while true do local c = coroutine.create(function() coroutine.yield() end) coroutine.resume(c) t[#t + 1] = c end',
  ],
])('%s runs into the memory budget, whatever the instructions', (_, body) => {
  expect(outcome(body, 2e8)).toMatch(/^memory budget exceeded/);
});

test('garbage is no memory', () => {
  const churn = 'for i = 1, 300 do local s = string.rep("x", 1000000) .. i end print("done")';
  expect(outcome(churn)).toBe('done');
  const rope = 'local s = "" for i = 1, 20000 do s = s .. "line " .. i .. "\\n" end print(#s)';
  expect(outcome(rope)).toBe('208894');
});

test.each([
  ['a loop', 'while true do end'],
  ['a loop in pcall', 'while true do pcall(function() while true do end end) end'],
  ['a loop of errors', 'while true do pcall(error, "x") end'],
  ['a loop of nil accesses', 'while true do pcall(function() local x = nil; x.y = 1 end) end'],
  ['an error handler', 'while true do xpcall(error, function() while true do end end) end'],
  ['goto', '::a:: goto a'],
  ['a for without end', 'for i = 1, math.huge do end'],
  ['a for that does not move', 'for i = 1, 2, 0 do end'],
  [
    'coroutines that yield',
    'local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end',
  ],
  ['loadstring', 'while true do loadstring("return 1")() end'],
  ['new sources', 'local i = 0 while true do i = i + 1 loadstring("return " .. i)() end'],
  ['backtracking', 'print((("a"):rep(30000)):match(("a*"):rep(20) .. "b"))'],
  ['lazy backtracking', 'print((("a"):rep(100000)):find(".-.-.-.-b"))'],
  ['%b', 'for i = 1, 100 do (("("):rep(100000)):find("%b()") end'],
  ['gmatch', 'for w in ("x"):rep(1000000):gmatch("") do end'],
  [
    'sort with a comparison that lies',
    'local t = {} for i = 1, 50000 do t[i] = -i end table.sort(t, function() return true end)',
  ],
  ['insertion in front', 'local t = {} for i = 1, 200000 do table.insert(t, 1, i) end'],
  ['table.move', 'table.move({}, 1, 1e15, 2)'],
  ['os.date', 'while true do os.date(("%c"):rep(1000)) end'],
  ['a metamethod', 'local t = setmetatable({}, {__index = function() while true do end end}) print(t.x)'],
  ['endless tail calls', 'local function f() return f() end f()'],
])('%s runs into the instruction budget', (_, body) => {
  expect(outcome(body)).toMatch(BUDGET);
});

test.each([
  ['a function', 'local function f() return 1 + f() end f()'],
  [
    'a function with many variables',
    `local function f(${names('p', 40)}) local ${names('v', 150)} = 1 return 1 + f(${names('p', 40)}) end f()`,
  ],
  ['a method', 'local o = {} function o:f() return 1 + self:f() end o:f()'],
  ['__index', 'local t = setmetatable({}, {__index = function(t, k) return t[k .. "x"] end}) print(t.a)'],
  ['__call', 'local t t = setmetatable({}, {__call = function(self) return 1 + self() end}) t()'],
  ['__tostring', 'local t t = setmetatable({}, {__tostring = function(s) return tostring(s) end}) tostring(t)'],
  [
    '__eq',
    'local m = {} m.__eq = function() return setmetatable({}, m) == setmetatable({}, m) end print(setmetatable({}, m) == setmetatable({}, m))',
  ],
  ['__concat', 'local m = {} m.__concat = function(a, b) return a .. b end print(setmetatable({}, m) .. "x")'],
  ['sort', 'local function f() table.sort({1, 2, 3}, function(a, b) f() return a < b end) end f()'],
  ['gsub', 'local function f() return (("x"):gsub("x", f)) end f()'],
  ['coroutines', 'local function f() return coroutine.wrap(f)() end f()'],
  [
    'pcall that passes the error on',
    'local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end f()',
  ],
])('recursion by %s is an error of Lua', (_, body) => {
  expect(outcome(body)).toMatch(OVERFLOW);
  expect(outcome(`print(pcall(function() ${body} end))`)).toMatch(/^false\t/);
});

test.each([
  ['parentheses', '("("):rep(100000) .. "1" .. (")"):rep(100000)'],
  ['tables', '"return " .. ("{"):rep(100000) .. ("}"):rep(100000)'],
  ['functions', '("return function() "):rep(5000) .. (" end"):rep(5000)'],
  ['blocks', '("if x then "):rep(20000) .. ("end "):rep(20000)'],
  ['concatenations', '"return " .. ("a .. "):rep(50000) .. "a"'],
])('nesting of %s does not break the compiler', (_, source) => {
  expect(outcome(`print((loadstring(${source})))`, 1e9)).toMatch(/^nil$|^function/);
});

test('loops of metatables end', () => {
  expect(
    outcome('local a, b = {}, {} setmetatable(a, {__index = b}) setmetatable(b, {__index = a}) print(a.x)'),
  ).toMatch(/loop in gettable/);
  expect(
    outcome('local a, b = {}, {} setmetatable(a, {__newindex = b}) setmetatable(b, {__newindex = a}) a.x = 1'),
  ).toMatch(/loop in settable/);
});

test('globals that grow over many runs end in an error that says so', () => {
  const state = engine.load(scriptSource('kept = {} function grow() kept[#kept + 1] = ("x"):rep(100000) .. #kept end'));
  const hook = state.hook('grow');
  const run = () => hook?.begin().start(undefined as never);
  expect(() => {
    for (let i = 0; i < 1000; i++) run();
  }).toThrow(/globals hold more than/);
});

test('globals that are replaced again and again are no growth, and upvalues count', () => {
  const run = (source: string, times: number) => {
    const hook = engine.load(scriptSource(source)).hook('run');
    for (let i = 0; i < times; i++) hook?.begin().start(undefined as never);
  };
  run('function run() kept = ("x"):rep(100000) .. "y" end', 2000);
  expect(() => run('local kept = {} function run() kept[#kept + 1] = ("x"):rep(100000) .. #kept end', 1000)).toThrow(
    /globals hold more than/,
  );
});

function names(prefix: string, count: number): string {
  return Array.from({ length: count }, (_, i) => prefix + i).join(', ');
}

test('a script that fails while it is loaded leaves no timer behind', async () => {
  const lines: string[] = [];
  const failing = scriptSource('weir.timer(1, function() print("late") end) error("at load")', lines);
  expect(() => engine.load(failing)).toThrow(/at load/);
  const other = engine.load(scriptSource('weir.timer(20, function() print("on time") end)', lines));
  await expect.poll(() => lines).toContain('on time');
  expect(lines).toEqual(['on time']);
  other.close();
});
