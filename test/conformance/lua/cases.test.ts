/** Every case that was recorded from a real Envoy, against Weir: response, what the upstream saw, script log lines, error counts. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Seen, startEcho } from '../../support/echo.ts';
import { type LogCollector, startProxy } from '../../support/proxy.ts';
import { type CaseRequest, type Outcome, send, withoutFraming, withoutFramingSeen } from '../../support/recorded.ts';
import { caseConfig } from './case-config.ts';

interface Case {
  id: string;
  description: string;
  lua: string;
  config?: Parameters<typeof caseConfig>[1];
  request?: CaseRequest;
  requests?: CaseRequest[];
  unordered_upstream?: boolean;
  expect: {
    start_failed?: boolean;
    load_error?: string;
    response?: Outcome;
    responses?: Outcome[];
    upstream: Seen[];
    logs: [string, string][];
    stats: { errors: number | null; executions: number | null };
  };
}

const folder = new URL('./cases/', import.meta.url);
const cases: Case[] = readdirSync(folder).map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')));
/** A port on loopback where nothing listens: the discard service's. */
const DEAD_PORT = 9;
/** Where fengari, which is Lua 5.3, has to differ from LuaJIT. */
const DIALECT: Readonly<Record<string, string>> = {
  'body-getbytes-range': 'tail calls: messages of Lua 5.3 have the place of the caller',
  'hdr-number-value': '1e15 is written 1e+15 by both, but positions in pcall differ',
  'more-52-compare': '5.3 asks either operand for __eq',
  'more-52-features': 'positions of load, and ipairs heeds no __ipairs',
  'more-bit': 'no bit library: 5.3 has operators',
  'more-error-number': '5.3 puts no place before a number',
  'more-field-access': '5.3 puts the name behind the type',
  'more-format': '%q, %a and rounding as in 5.3',
  'more-hdr-iter-nested': 'pairs calls the metamethod in a tail call',
  'more-meta-iter-modify': 'pairs calls the metamethod in a tail call',
  'more-numfmt': 'integers of 64 bits',
  'more-stackoverflow': 'fengari counts instructions where compiled code counts depth',
  'more-tailcall': 'positions in a tail call',
  'more-tailcall2': 'positions in a tail call',
  'hdr-unknown-method': "5.3 says: attempt to call a nil value (method 'set')",
  'http-call-errors': 'positions in a tail call',
  'luajit-features': 'bit, setfenv, table.pack and number formats of 5.1',
  'no-value-get': '5.3 words it: bad argument #1 to tostring (value expected), and positions differ',
  timestamp: 'positions in a tail call',
  'script-error-continues': "5.3 says: attempt to index a nil value (local 'x')",
  'script-error-response': "5.3 says: attempt to call a nil value (global 'undefined_function')",
};

test.each(cases)('compiled: $id: $description', (recorded) => judge(recorded, '5.1'));

test.each(cases.filter(({ id }) => DIALECT[id] === undefined))('fengari: $id', (recorded) => judge(recorded, '5.3'));

async function judge(recorded: Case, engine: string): Promise<void> {
  const echo = await startEcho();
  const lua = recorded.lua.replaceAll('{UPSTREAM_PORT}', String(echo.port));
  const config = caseConfig(lua, recorded.config ?? {}, { listen: 0, upstream: echo.port, dead: DEAD_PORT }, engine);
  const { expect: expected } = recorded;
  if (expected.start_failed === true) {
    await expect(startProxy(config)).rejects.toThrow(engine === '5.1' ? expected.load_error : 'script load error');
    return;
  }
  const { port, log, proxy } = await startProxy(config);
  const outcomes: Outcome[] = [];
  for (const request of recorded.requests ?? [recorded.request as CaseRequest]) {
    outcomes.push(await send(port, request));
  }
  if (recorded.unordered_upstream === true) await expect.poll(() => echo.count()).toBe(expected.upstream.length);
  const upstream = echo.take();
  if (recorded.unordered_upstream === true) {
    const key = (seen: Seen) => JSON.stringify(seen.path);
    upstream.sort((a, b) => (key(a) < key(b) ? -1 : 1));
    expected.upstream.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  }
  const responses = expected.responses ?? [expected.response as Outcome];
  expect(outcomes).toEqual(responses.map(withoutFraming));
  expect(upstream).toEqual(expected.upstream.map(withoutFramingSeen));
  expect(scriptLogs(log)).toEqual(expected.logs.map(([level, text]) => [level === 'warning' ? 'warn' : level, text]));
  const labels = { filter: 'lua', listener: 'ingress' };
  const count = (name: string) => proxy.metrics.counter(`weir_filter_lua_${name}`, '', labels).value;
  if (recorded.config?.per_route === undefined) {
    expect({ errors: count('errors'), executions: count('executions') }).toEqual(expected.stats);
  }
}

function scriptLogs(log: LogCollector): [string, string][] {
  return log.lines
    .filter(({ message }) => message.startsWith('script log: '))
    .map(({ level, message }) => [level, message.slice('script log: '.length)]);
}
