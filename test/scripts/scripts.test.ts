/** The Lua filters that ship: every case of the `.cases.yaml` beside each runs through a proxy, in order. */
import { readdirSync, readFileSync } from 'node:fs';
import { request as send } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { check } from '../../runtimes/lua/tools/index.ts';
import { nearest } from '../../src/config/diagnostics.ts';
import type { Json } from '../../src/main.ts';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { startUpstream } from '../support/upstream.ts';

type Headers = Record<string, string | string[] | null>;

interface ScriptCase {
  name: string;
  request?: { method?: string; path?: string; headers?: Record<string, string | string[]>; body?: string };
  upstream?: { headers?: Record<string, string>; body?: string; chunks?: string[] };
  /** Values between slashes are regular expressions, null means that there is none. */
  expect: { status: number; body?: string; json?: Json; headers?: Headers; upstream?: Headers };
}

const folder = fileURLToPath(new URL('../../scripts/', import.meta.url));
const scripts = readdirSync(folder).filter((file) => file.endsWith('.lua'));

test.each(scripts)('%s', async (script) => {
  expect(check(readFileSync(folder + script, 'latin1'), nearest)).toEqual([]);
  const { config, cases } = parse(readFileSync(folder + script.replace('.lua', '.cases.yaml'), 'utf8')) as {
    config: Json;
    cases: ScriptCase[];
  };
  let answer: NonNullable<ScriptCase['upstream']> = {};
  const upstream = await startUpstream(async (_, response) => {
    response.writeHead(200, answer.headers ?? {});
    for (const chunk of answer.chunks ?? []) {
      response.write(chunk);
      await delay(10);
    }
    response.end(answer.body ?? '');
  });
  const { port } = await startProxy(simpleConfig(upstream.port, { filters: [{ use: folder + script, config }] }));
  for (const each of cases) {
    answer = each.upstream ?? {};
    const before = upstream.seen.length;
    const outcome = await ask(port, each.request ?? {});
    const where = `${script}: ${each.name}`;
    expect(outcome.status, where).toBe(each.expect.status);
    if (each.expect.body !== undefined) expect(outcome.body, where).toBe(each.expect.body);
    if (each.expect.json !== undefined) expect(JSON.parse(outcome.body), where).toEqual(each.expect.json);
    compare(outcome.headers, each.expect.headers, where);
    if (each.expect.upstream !== undefined) {
      expect(upstream.seen.length, where).toBe(before + 1);
      compare(upstream.seen.at(-1)?.headers ?? {}, each.expect.upstream, where);
    }
  }
});

function compare(actual: Record<string, unknown>, expected: Headers = {}, where: string): void {
  for (const [name, value] of Object.entries(expected)) {
    const given = Array.isArray(actual[name]) ? actual[name].join(', ') : actual[name];
    if (typeof value === 'string' && /^\/.*\/$/.test(value)) {
      expect(given, `${where}: ${name}`).toMatch(new RegExp(value.slice(1, -1)));
    } else expect(given ?? null, `${where}: ${name}`).toBe(value);
  }
}

async function ask(
  port: number,
  { method = 'GET', path = '/', headers = {}, body }: NonNullable<ScriptCase['request']>,
) {
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const signed = { ...(await withTokens(headers)), ...length };
  return await new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const request = send({ port, host: '127.0.0.1', method, path, headers: signed, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** `Bearer ADMIN` and `Bearer USER` stand for tokens that expire in an hour. */
async function withTokens(headers: Record<string, string | string[]>): Promise<Record<string, string | string[]>> {
  const { authorization } = headers;
  const claims = { 'Bearer ADMIN': { sub: 'ann', role: 'admin' }, 'Bearer USER': { sub: 'bob', role: 'user' } }[
    String(authorization)
  ];
  if (claims === undefined) return headers;
  const secret = new TextEncoder().encode('a secret of at least 32 characters');
  const token = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).setExpirationTime('1h').sign(secret);
  return { ...headers, authorization: `Bearer ${token}` };
}
