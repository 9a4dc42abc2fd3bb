/**
 * The upstream of the recorded cases: it answers with what it got, or as the request's `x-up-*` headers say. What it shows of a
 * message is written as the recorder wrote it: names in lower case, sorted, and without headers that every proxy adds in its way.
 */
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type SeenRequest, startUpstream } from './upstream.ts';

type Fields = [string, string][];

/** One request as the upstream saw it. */
export interface Seen {
  method: string;
  path: string;
  headers: Fields;
  body: string;
  trailers?: Fields;
}

const VOLATILE = new Set([
  'x-request-id',
  'x-envoy-expected-rq-timeout-ms',
  'x-forwarded-proto',
  'x-forwarded-for',
  'connection',
  'keep-alive',
]);
/** The recorder judges framing only when asked to. */
const FRAMING = new Set(['content-length', 'transfer-encoding']);
/** Milliseconds between chunks, so that they are not read as one. */
export const PACE = 25;

export async function startEcho(): Promise<{ port: number; count(): number; take(): Seen[] }> {
  const seen: Seen[] = [];
  const { port } = await startUpstream((request, response) => {
    const one = seenOf(request);
    seen.push({ ...one, headers: plain(one.headers, FRAMING) });
    void answer(request, response);
  });
  return { port, count: () => seen.length, take: () => seen.splice(0) };
}

function seenOf(request: SeenRequest): Seen {
  const trailers = sorted(Object.entries(request.trailers) as Fields);
  return {
    method: request.method,
    path: request.path,
    headers: plain(fieldsOf(request.rawHeaders), VOLATILE),
    body: Buffer.from(request.body, 'latin1').toString('utf8'),
    ...(trailers.length > 0 ? { trailers } : {}),
  };
}

async function answer(request: SeenRequest, response: ServerResponse): Promise<void> {
  const asked = new Map<string, string[]>();
  for (const [name, value] of fieldsOf(request.rawHeaders)) {
    if (name.startsWith('x-up-')) asked.set(name, [...(asked.get(name) ?? []), value]);
  }
  const ask = (name: string) => asked.get(name)?.[0];
  const wait = ask('x-up-delay-ms');
  if (wait !== undefined) await delay(Number(wait));
  if (asked.has('x-up-reset')) {
    response.socket?.destroy();
    return;
  }
  const status = Number(ask('x-up-status') ?? 200);
  const extra = (asked.get('x-up-header') ?? []).flatMap((value) => value.split(' ;; ')).map(field);
  const chunks = ask('x-up-chunks');
  const bodyless = asked.has('x-up-nobody') || status === 204 || status === 304;
  const echo = ask('x-up-body') === undefined && chunks === undefined && !bodyless;
  const head: Fields = [...extra];
  if (!bodyless && !extra.some(([name]) => name.toLowerCase() === 'content-type')) {
    head.push(['content-type', echo ? 'application/json' : 'text/plain']);
  }
  const { method, path, headers, body } = seenOf(request);
  const text = bodyless ? '' : (ask('x-up-body') ?? JSON.stringify({ method, path, headers, body }));
  if (chunks === undefined && !(status === 204 || status === 304)) {
    head.push(['content-length', String(Buffer.byteLength(text, echo ? 'utf8' : 'latin1'))]);
  }
  response.sendDate = false;
  response.writeHead(status, status === 200 ? 'OK' : 'Status', head.flat());
  if (chunks === undefined) {
    response.end(text, echo ? 'utf8' : 'latin1');
    return;
  }
  for (const chunk of chunks.split('|')) {
    await delay(PACE);
    response.write(chunk, 'latin1');
  }
  await delay(PACE);
  response.addTrailers((asked.get('x-up-trailer') ?? []).flatMap((value) => value.split(' ;; ')).map(field));
  response.end();
}

function field(text: string): [string, string] {
  const colon = text.indexOf(':');
  return [text.slice(0, colon).trim(), text.slice(colon + 1).trim()];
}

function fieldsOf(raw: readonly string[]): Fields {
  const fields: Fields = [];
  for (let i = 0; i < raw.length; i += 2) fields.push([(raw[i] as string).toLowerCase(), raw[i + 1] as string]);
  return fields;
}

export function plain(fields: Fields, dropped: ReadonlySet<string>): Fields {
  return sorted(fields.filter(([name]) => !dropped.has(name) && !name.startsWith('x-up-')));
}

function sorted(fields: Fields): Fields {
  return fields.toSorted(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0));
}
