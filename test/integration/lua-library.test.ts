/** What scripts can do beyond Envoy: the table `weir`, `respond` on the response side, `require`, `on_log`, timers. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { type LogCollector, simpleConfig, startProxy } from '../support/proxy.ts';
import { exchange } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';
import { temporaryFolder } from '../support/weir-process.ts';

const GET = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';
const ENGINES = ['5.1', '5.3'];

interface Result {
  text: string;
  log: LogCollector;
  port: number;
}

async function serve(source: string, entry: Record<string, unknown> = {}, directory?: string): Promise<Result> {
  const upstream = await startUpstream();
  const filters = [{ source, runtime: 'lua', name: 'script', ...entry }];
  const { port, log } = await startProxy(simpleConfig(upstream.port, { filters: filters as never }), directory);
  return { text: await exchange(port, GET), log, port };
}

/** Runs `body` in envoy_on_request; what it returns comes back in a header. */
async function evaluate(body: string, engine: string, entry: Record<string, unknown> = {}): Promise<string> {
  const source = `local function run(h) ${body} end
function envoy_on_request(h) local r = run(h) h:respond({[":status"] = "200", ["x-result"] = tostring(r)}) end`;
  const { text } = await serve(source, { lua: engine, ...entry });
  return /x-result: (.*)\r/.exec(text)?.[1] ?? text.slice(9, 12);
}

test.each(ENGINES)('json, base64, digests (Lua %s)', async (engine) => {
  const run = (body: string) => evaluate(body, engine);
  expect(await run('return weir.json.encode({a = {1, 2, "x"}, b = true})')).toBe('{"a":[1,2,"x"],"b":true}');
  expect(await run('local v = weir.json.decode(\'{"a":[1,{"b":"é"}]}\') return v.a[2].b .. #v.a[2].b')).toBe('Ã©2');
  expect(await run('local v, e = weir.json.decode("{") return tostring(v) .. " " .. e')).toMatch(/^nil .*JSON/);
  expect(await run('return select(2, pcall(weir.json.encode, {f = print}))')).toMatch(/unexpected type 'function'/);
  expect(await run('local t = {} t.t = t return select(2, pcall(weir.json.encode, t))')).toMatch(/nested too deeply/);
  expect(await run('return weir.base64.encode("\\251\\255") .. " " .. weir.base64.encode("\\251\\255", "url")')).toBe(
    '+/8= -_8',
  );
  expect(await run('return weir.base64.decode("aGk=") .. tostring(weir.base64.decode("a"))')).toBe('hinil');
  expect(await run('return weir.sha256("abc")')).toMatch(/^ba7816bf8f01cfea/);
  expect(await run('return weir.hmac("sha256", "key", "The quick brown fox jumps over the lazy dog")')).toMatch(
    /^f7bc83f430538424b13298e6aa6fb143ef4d59a1/,
  );
  expect(await run('return tostring(weir.equal("a", "a")) .. tostring(weir.equal("a", "b"))')).toBe('truefalse');
  expect(await run('return select(2, pcall(weir.sha256))')).toMatch(/bad argument #1 to '.*' \(string expected/);
});

test.each(ENGINES)('jwt_verify waits, and gives the claims or the reason (Lua %s)', async (engine) => {
  const secret = new TextEncoder().encode('a secret of at least 32 characters');
  const signed = new SignJWT({ role: 'admin' }).setProtectedHeader({ alg: 'HS256' }).setIssuer('weir');
  const token = await signed.setExpirationTime('1h').sign(secret);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const es256 = await new SignJWT({ role: 'es' }).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const expired = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setExpirationTime(1000).sign(secret);
  const confused = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(pem));
  const verify = (value: string, key: string, options = 'nil') =>
    evaluate(`local c, why = weir.jwt_verify("${value}", ${key}, ${options}) return c and c.role or why`, engine);
  expect(await verify(token, '"a secret of at least 32 characters"', '{issuer = "weir"}')).toBe('admin');
  expect(await verify(token, '"another secret of 32 characters!!!"')).toMatch(/signature/);
  expect(await verify(token, '"a secret of at least 32 characters"', '{issuer = "x"}')).toMatch(/"iss"/);
  expect(await verify(expired, '"a secret of at least 32 characters"')).toMatch(/"exp"/);
  expect(await verify(es256, JSON.stringify(pem))).toBe('es');
  expect(await verify(confused, JSON.stringify(pem))).toMatch(/algorithm "HS256" is not allowed/);
  expect(await verify('rubbish', '"a secret of at least 32 characters"')).toMatch(/Invalid/);
});

test('the response side may answer in the place of the upstream', async () => {
  const { text } = await serve(
    'function envoy_on_response(h) h:respond({[":status"] = "418", ["x-by"] = "lua"}, "replaced") end',
  );
  expect(text).toMatch(/^HTTP\/1\.1 418/);
  expect(text).toMatch(/x-by: lua[\s\S]*replaced$/);
});

test.each(ENGINES)(
  'require finds modules below the listed folders, and each is loaded once (Lua %s)',
  async (engine) => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'lib/util'), { recursive: true });
    writeFileSync(
      join(folder, 'lib/util/init.lua'),
      'local M = {n = 0} function M.next() M.n = M.n + 1 return M.n end return M',
    );
    writeFileSync(join(folder, 'lib/broken.lua'), 'return return');
    const source = `local util = require("util") util.next()
local ok, why = pcall(require, "broken")
local none, missing = pcall(require, "../secret")
function envoy_on_request(h)
  h:respond({[":status"] = "200", ["x-n"] = require("util").next(), ["x-why"] = why, ["x-missing"] = missing})
end`;
    const { text } = await serve(source, { modules: ['lib'], lua: engine }, folder);
    expect(text).toMatch(/x-n: 2\r/);
    expect(text).toMatch(/x-why: .*error loading module 'broken'.*broken\.lua:1:/);
    expect(text).toMatch(/x-missing: .*module '\.\.\/secret' not found/);
  },
);

test('on_log runs after the last byte and sees both sides', async () => {
  const { log } = await serve(`function on_log(h)
  h:logInfo(h:requestHeaders():get(":path") .. " " .. h:headers():get(":status") .. " " .. h:streamInfo():routeName())
  local ok, why = pcall(function() h:headers():add("x", "y") end)
  h:logInfo(why)
end`);
  await expect.poll(() => log.messages('info').filter((line) => line.startsWith('script log'))).toHaveLength(2);
  const lines = log.messages('info').filter((line) => line.startsWith('script log'));
  expect(lines[0]).toBe('script log: / 200 default/0');
  expect(lines[1]).toMatch(/header map can no longer be modified/);
});

test('timers run under the budget, may set themselves again, and their errors are logged', async () => {
  const { log } = await serve(`local n = 0
local function tick() n = n + 1 print("tick " .. n) if n < 3 then weir.timer(1, tick) else error("enough") end end
weir.timer(1, tick)
function envoy_on_request(h) end`);
  await expect.poll(() => log.messages('error').join()).toMatch(/script log: .*enough/);
  expect(log.messages('info').filter((line) => line.includes('tick'))).toHaveLength(3);
});

test('counters, and the time that is left', async () => {
  expect(await evaluate('weir.counter("seen") weir.counter("seen", 4) return h:time_left() > 4000', '5.1')).toBe(
    'true',
  );
  expect(await evaluate('return select(2, pcall(weir.counter, "Bad Name"))', '5.1')).toMatch(/no metric name/);
});

test('a script that may only wait for a call can’t wait without end', async () => {
  const { text, log } = await serve(
    'function envoy_on_request(h) while true do h:httpCall("app", {[":method"] = "GET", [":path"] = "/", [":authority"] = "a"}, nil, 1000) end end',
    { limits: { time: '300ms' } },
  );
  expect(text).toMatch(/^HTTP\/1\.1 500/);
  expect(log.messages('error').join()).toMatch(/time budget exceeded|held the stream for more than/);
});

test('settings that make no sense are refused with the place', async () => {
  const refuse = (entry: Record<string, unknown>) => serve('function envoy_on_request(h) end', entry);
  await expect(refuse({ lua: '5.4' })).rejects.toThrow(/there is no Lua "5\.4"/);
  await expect(refuse({ modules: 'lib' })).rejects.toThrow(/must be a list of strings/);
  await expect(refuse({ default_source_code: { inline_string: 'x = 1' } })).rejects.toThrow(/not two/);
  await expect(refuse({ source_codes: { a: { inline_sting: 'x' } } })).rejects.toThrow(/unknown key `inline_sting`/);
  await expect(refuse({ stat_prefx: 'x' })).rejects.toThrow(/did you mean `stat_prefix`/);
});

test.each(ENGINES)('shared data: values, times to live, compare and set (Lua %s)', async (engine) => {
  const run = (body: string) => evaluate(`local s = weir.shared ${body}`, engine);
  expect(await run('s.set("k", 5) local v, version = s.get("k") return v .. type(v) .. tostring(version > 0)')).toBe(
    '5stringtrue',
  );
  expect(await run('return s.incr("n") .. s.incr("n", 4) .. tostring(s.get("none")) .. tostring(s.delete("n"))')).toBe(
    '15niltrue',
  );
  expect(await run('return tostring(s.cas("c", 0, "a")) .. tostring(s.cas("c", 0, "b")) .. s.get("c")')).toBe(
    'truefalsea',
  );
  expect(await run('s.set("k", "text") return select(2, pcall(s.incr, "k"))')).toMatch(/is no number/);
  expect(await run('return select(2, pcall(s.set, "k", "v", 0))')).toMatch(/more than 0 seconds/);
  expect(await run('return select(2, pcall(s.set, "k", string.rep("x", 5000000)))')).toMatch(/is full/);
});

test('a failure is logged with the code and the way there, and shown to clients only where that is wanted', async () => {
  const source = `local function inner(h)
  local user = h:headers():get("user")
  return user:upper()
end
function envoy_on_request(h)
  local name = inner(h)
end`;
  const upstream = await startUpstream();
  const filters = [{ source, runtime: 'lua', name: 'script' }];
  for (const debug_errors of [false, true]) {
    const { port, log } = await startProxy(simpleConfig(upstream.port, { filters, debug_errors }));
    const answer = await exchange(port, GET);
    expect(answer).toMatch(/^HTTP\/1\.1 500/);
    const message = log.messages('error').find((line) => line.startsWith('filter failed'));
    expect(
      message,
    ).toBe(`filter failed at script:3: [string "local function inner(h)..."]:3: attempt to index local 'user' (a nil value)
  1 | local function inner(h)
  2 |   local user = h:headers():get("user")
> 3 |   return user:upper()
  4 | end
  at (script:3)
  at call of upvalue 'inner' (script:6)`);
    const shown = /x-weir-error: (.*)\r/.exec(answer)?.[1];
    if (debug_errors)
      expect(shown).toMatch(/^script at script:3: .* \| > 3 \| {3}return user:upper\(\) \| .*call of upvalue 'inner'/);
    else expect(shown).toBeUndefined();
  }
});

test('a reason phrase goes out, but never a line break in it', async () => {
  const phrase = (text: string) =>
    serve(`function envoy_on_response(h) h:headers():setHttp1ReasonPhrase(${text}) end`, { on_error: 'fail_open' });
  expect((await phrase('"All Right"')).text).toMatch(/^HTTP\/1\.1 200 All Right\r\n/);
  const { text, log } = await phrase('"x\\r\\nset-cookie: a=1"');
  expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(text).not.toContain('set-cookie');
  expect(log.messages('error').join()).toMatch(/holds a control character/);
});
