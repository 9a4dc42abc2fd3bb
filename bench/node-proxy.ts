/** A plain proxy on `node:http` and undici, to compare with: `node bench/node-proxy.ts LISTEN_PORT UPSTREAM_PORT`. */
import { createServer } from 'node:http';
import { Agent } from 'undici';

const [listenPort, upstreamPort] = process.argv.slice(2).map(Number);
const agent = new Agent({ connections: 1024, pipelining: 1 });
const origin = `http://127.0.0.1:${upstreamPort}`;

createServer((request, response) => {
  const { host: _, connection: __, ...headers } = request.headers;
  const method = request.method ?? 'GET';
  agent
    .request({ origin, path: request.url ?? '/', method, headers, body: method === 'GET' ? null : request })
    .then((upstream) => {
      response.writeHead(upstream.statusCode, upstream.headers as Record<string, string>);
      upstream.body.pipe(response);
    })
    .catch(() => response.writeHead(502).end());
}).listen(listenPort, '127.0.0.1', 4096);
