/** `weir check` and `weir lua-types`: what they say of scripts, and that they know the API as it is. */
import { expect, test } from 'vitest';
import { createKinds } from '../../../runtimes/lua/api/index.ts';
import { parseLua } from '../../../runtimes/lua/compiler/parse.ts';
import { check, luaTypes } from '../../../runtimes/lua/tools/index.ts';
import { classNameOf, kindNames, librarySignatures, signaturesOf } from '../../../runtimes/lua/tools/signatures.ts';
import { Vm } from '../../../runtimes/lua/vm/vm.ts';
import { createWeirLibrary } from '../../../runtimes/lua/weir-library.ts';
import { nearest } from '../../../src/config/diagnostics.ts';

const kinds = createKinds(new Vm());

test('every kind of object is described', () => {
  expect([...kindNames].sort()).toEqual(Object.keys(kinds).sort());
});

test.each(Object.entries(kinds))('%s has the methods that are described, and no others', (name, kind) => {
  const described = signaturesOf(name).map((signature) => signature.name);
  expect(described.sort()).toEqual([...kind.declared.keys()].sort());
});

test('the library has the members that are described, and no others', () => {
  const { functions, tables } = createWeirLibrary({ spec: { config: null }, options: {} } as never);
  const nested = [...tables].flatMap(([table, members]) => [...members.keys()].map((name) => `${table}.${name}`));
  const described = librarySignatures().map(({ name }) => name);
  expect(described.sort()).toEqual([...functions.keys(), ...nested, 'timer'].sort());
});

test('the annotations are Lua, with a class for every kind', () => {
  const text = luaTypes();
  expect(() => parseLua(text)).not.toThrow();
  for (const kind of kindNames) expect(text).toContain(`---@class ${classNameOf(kind)}\n`);
  expect(text).toContain('---@return fun(): envoy.Buffer?\nfunction StreamHandle:bodyChunks() end');
  expect(text).toContain('---@param fn fun()\nfunction weir.timer(milliseconds, fn) end');
});

const findings = (source: string) =>
  check(source, nearest).map(
    ({ line, message, hint }) => `${line}: ${message}${hint === undefined ? '' : ` (${hint})`}`,
  );

test.each([
  ['a syntax error', 'function envoy_on_request(h)\n  this is not lua\nend', ["2: '=' expected near 'is'"]],
  [
    'a misspelt hook',
    'function envoy_on_reqest(h) end',
    ['1: nothing calls `envoy_on_reqest` (did you mean `envoy_on_request`?)'],
  ],
  ['no hook', 'function handle(h) end', ['1: the script has none of envoy_on_request, envoy_on_response, on_log']],
  [
    'an unknown global',
    'function envoy_on_request(h)\n  tostrin(h)\nend',
    ['2: there is no global `tostrin` (did you mean `tostring`?)'],
  ],
  [
    'an unknown method',
    'function envoy_on_request(h)\n  h:heders()\nend',
    ['2: envoy.StreamHandle has no method `heders` (did you mean `headers`?)'],
  ],
  [
    'a method of a result',
    'function envoy_on_request(h)\n  local hs = h:headers()\n  hs:ad("a", "b")\nend',
    ['3: envoy.Headers has no method `ad` (did you mean `add`?)'],
  ],
  [
    'a method of a chunk',
    'function envoy_on_request(h) for c in h:bodyChunks() do c:size() end end',
    ['1: envoy.Buffer has no method `size`'],
  ],
  [
    'the library',
    'function envoy_on_request(h) weir.jsn.encode({}) end',
    ['1: `weir` has no `jsn` (did you mean `json`?)'],
  ],
])('%s is found', (_, source, expected) => expect(findings(source)).toEqual(expected));

test.each([
  'local m = require("m") counter = 0 function envoy_on_request(h) counter = counter + 1 m.run(h, counter) end',
  'function envoy_on_request(h) local t = {heders = 1} print(t.heders, h.headers, _G.x, weir.config) end',
  'local function helper(x) return x:anything() end function on_log(h) helper(h) h:logInfo("x") end',
  'function envoy_on_response(h) h = {} h:anything() end',
])('nothing is said of %s', (source) => expect(findings(source)).toEqual([]));
