/** Every case that was recorded from a real Envoy, against Weir: response, what the upstream saw, script log lines, error counts. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type LogCollector, startProxy } from '../../support/proxy.ts';
import { RawClient } from '../../support/raw.ts';
import { caseConfig } from './case-config.ts';
import { PACE, plain, type Seen, startEcho } from './echo.ts';

interface CaseRequest {
  method: string;
  path: string;
  headers: [string, string][];
  body?: string;
  chunks?: string[];
  trailers?: [string, string][];
}

interface Outcome {
  status: number;
  reason: string;
  headers: [string, string][];
  body: string;
  connection_close?: boolean;
  trailers?: [string, string][];
}

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
const VOLATILE = new Set([
  'date',
  'server',
  'x-envoy-upstream-service-time',
  'connection',
  'keep-alive',
  'content-length',
  'transfer-encoding',
]);

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
  expect(upstream).toEqual(expected.upstream.map((seen) => ({ ...seen, headers: plain(seen.headers, VOLATILE) })));
  expect(scriptLogs(log)).toEqual(expected.logs.map(([level, text]) => [level === 'warning' ? 'warn' : level, text]));
  const labels = { filter: 'lua', listener: 'ingress' };
  const count = (name: string) => proxy.metrics.counter(`weir_filter_lua_${name}`, '', labels).value;
  if (recorded.config?.per_route === undefined) {
    expect({ errors: count('errors'), executions: count('executions') }).toEqual(expected.stats);
  }
}

function withoutFraming(outcome: Outcome): Outcome {
  const body = outcome.body.startsWith('{"method":') ? JSON.parse(outcome.body) : undefined;
  if (body !== undefined) body.headers = plain(body.headers, VOLATILE);
  return {
    ...outcome,
    headers: plain(outcome.headers, VOLATILE),
    body: body === undefined ? outcome.body : JSON.stringify(body),
  };
}

function scriptLogs(log: LogCollector): [string, string][] {
  return log.lines
    .filter(({ message }) => message.startsWith('script log: '))
    .map(({ level, message }) => [level, message.slice('script log: '.length)]);
}

async function send(port: number, request: CaseRequest): Promise<Outcome> {
  const client = new RawClient(port);
  const { chunks, body } = request;
  const lines = [`${request.method} ${request.path} HTTP/1.1`, ...request.headers.map((pair) => pair.join(': '))];
  if (chunks !== undefined) lines.push('transfer-encoding: chunked');
  else if (body !== undefined) lines.push(`content-length: ${Buffer.byteLength(body)}`);
  client.write(`${lines.join('\r\n')}\r\n\r\n`);
  for (const chunk of chunks ?? []) {
    await delay(PACE);
    client.write(`${Buffer.byteLength(chunk).toString(16)}\r\n${chunk}\r\n`);
  }
  if (chunks !== undefined) {
    await delay(PACE);
    const trailers = (request.trailers ?? []).map((pair) => `${pair.join(': ')}\r\n`).join('');
    client.write(`0\r\n${trailers}\r\n`);
  } else if (body !== undefined) client.write(Buffer.from(body));
  const text = await client.until((received) => parseResponse(received, request.method, client.closed) !== undefined);
  client.socket.destroy();
  return parseResponse(text, request.method, true) as Outcome;
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

/** The final response in `text`; `undefined` while it is not whole. */
function parseResponse(text: string, method: string, closed: boolean): Outcome | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [start = '', ...lines] = text.slice(0, end).split('\r\n');
  const [, status = '', reason = ''] = /^HTTP\/1\.1 ([0-9]+) (.*)$/.exec(start) ?? [];
  const headers = lines.map(fieldOf);
  let trailers: [string, string][] = [];
  const value = (name: string) => headers.find(([key]) => key === name)?.[1];
  let body = text.slice(end + 4);
  const length = value('content-length');
  if (method === 'HEAD' || status === '204' || status === '304') body = '';
  else if (value('transfer-encoding') === 'chunked') {
    const end = /0\r\n((?:[^\r\n]+\r\n)*)\r\n$/.exec(body);
    if (end === null) return undefined;
    trailers = (end[1] ?? '')
      .split('\r\n')
      .filter((line) => line !== '')
      .map(fieldOf);
    body = body.slice(0, end.index + 3);
    body = body.replace(/([0-9a-f]+)\r\n([\s\S]*?)\r\n(?=[0-9a-f]+\r\n)/g, '$2').replace(/0\r\n$/, '');
  } else if (length !== undefined) {
    if (body.length < Number(length)) return undefined;
  } else if (!closed) return undefined;
  return withoutFraming({
    status: Number(status),
    reason,
    headers,
    body: Buffer.from(body, 'latin1').toString('utf8'),
    ...(value('connection') === 'close' ? { connection_close: true } : {}),
    ...(trailers.length > 0 ? { trailers: trailers.toSorted(([a], [b]) => (a < b ? -1 : 1)) } : {}),
  });
}
