/** Sends the request of a case through a proxy, and tells what came of it on both sides. */
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ExtProcCase, Outcome } from './cases.ts';

/** Headers that differ between any two runs, or between any two proxies. */
const LEFT_OUT =
  /^(?:date|server|host|connection|keep-alive|x-envoy-(?!own)|x-request-id|x-forwarded-|via|transfer-encoding|trailer)/;

export class Upstream {
  readonly #server: Server;
  seen: Outcome['upstream'] = null;
  answer: ExtProcCase['answer'];

  constructor() {
    this.#server = createServer(async (incoming, response) => {
      // A request that is answered before its end breaks off.
      const body = await text(incoming).catch(() => undefined);
      if (body === undefined) return;
      this.seen = {
        method: incoming.method ?? '',
        path: incoming.url ?? '',
        headers: kept(incoming.headers),
        body,
        trailers: kept(incoming.trailers),
      };
      const { status = 200, body: answer = 'hello', trailers = {} } = this.answer ?? {};
      response.writeHead(status, {
        'content-type': 'text/plain',
        ...(Object.keys(trailers).length === 0
          ? { 'content-length': Buffer.byteLength(answer) }
          : { trailer: Object.keys(trailers).join(', ') }),
      });
      response.write(answer);
      response.addTrailers(trailers);
      response.end();
    });
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve((this.#server.address() as AddressInfo).port));
    });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

export function exchange(port: number, upstream: Upstream, one: ExtProcCase): Promise<Outcome> {
  upstream.seen = null;
  upstream.answer = one.answer;
  const { headers = {}, body, trailers } = one;
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        port,
        host: '127.0.0.1',
        agent: false,
        path: '/path',
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          ...headers,
          te: 'trailers',
          ...(body === undefined || trailers !== undefined ? {} : { 'content-length': body.length }),
          ...(trailers === undefined ? {} : { trailer: Object.keys(trailers).join(', ') }),
        },
      },
      async (response) => {
        const answer = await text(response).catch((error: Error) => `broken: ${error.message}`);
        resolve({
          status: response.statusCode ?? 0,
          headers: kept(response.headers),
          body: answer,
          trailers: kept(response.trailers),
          upstream: upstream.seen,
        });
      },
    );
    sent.on('error', reject);
    if (body !== undefined) sent.write(body);
    if (trailers !== undefined) sent.addTrailers(trailers);
    sent.end();
  });
}

async function text(stream: IncomingMessage): Promise<string> {
  let all = '';
  for await (const chunk of stream) all += chunk;
  return all;
}

function kept(headers: NodeJS.Dict<string | string[]>): Record<string, string> {
  const entries = Object.entries(headers).filter(([name]) => !LEFT_OUT.test(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]).sort());
}
