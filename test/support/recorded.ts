/** Cases recorded from a real Envoy by the programs in shared/conformance: sends their requests and brings outcomes into the same form. */
import { setTimeout as delay } from 'node:timers/promises';
import { PACE, plain, type Seen } from './echo.ts';
import { RawClient } from './raw.ts';

/** A request of a case. */
export interface CaseRequest {
  method: string;
  path: string;
  headers: [string, string][];
  body?: string;
  chunks?: string[];
  trailers?: [string, string][];
}

/** What the client got. */
export interface Outcome {
  status: number;
  reason: string;
  headers: [string, string][];
  body: string;
  /** The connection ended, or nothing came. */
  error?: string;
  connection_close?: boolean;
  trailers?: [string, string][];
}

const VOLATILE = new Set([
  'date',
  'server',
  'x-envoy-upstream-service-time',
  'connection',
  'keep-alive',
  'content-length',
  'transfer-encoding',
]);

export function withoutFraming(outcome: Outcome): Outcome {
  const body = outcome.body.startsWith('{"method":') ? JSON.parse(outcome.body) : undefined;
  if (body !== undefined) body.headers = plain(body.headers, VOLATILE);
  return {
    ...outcome,
    headers: plain(outcome.headers, VOLATILE),
    body: body === undefined ? outcome.body : JSON.stringify(body),
  };
}

export function withoutFramingSeen(seen: Seen): Seen {
  return { ...seen, headers: plain(seen.headers, VOLATILE) };
}

/** Sends a request over a connection of its own. */
export async function send(port: number, request: CaseRequest): Promise<Outcome> {
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
  } else if (body !== undefined) {
    await delay(PACE);
    client.write(Buffer.from(body));
  }
  const whole = (received: string) => parseResponse(received, request.method, client.closed) !== undefined;
  const text = await client.until((received) => whole(received) || client.closed);
  client.socket.destroy();
  if (!whole(text)) return { status: 0, reason: '', headers: [], body: '', error: 'EOFError' };
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
