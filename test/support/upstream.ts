/** An HTTP upstream for tests, on Node's own HTTP server: it keeps what it saw and answers what it is told. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { onCleanup } from './proxy.ts';

export interface SeenRequest {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  rawHeaders: string[];
  body: string;
  trailers: NodeJS.Dict<string>;
}

export interface Upstream {
  port: number;
  server: Server;
  seen: SeenRequest[];
}

type Handler = (request: SeenRequest, response: ServerResponse, message: IncomingMessage) => void;

const echo: Handler = (request, response) => {
  response.setHeader('content-type', 'text/plain');
  response.end(`${request.method} ${request.path} ${request.body}`);
};

/** Starts an upstream; `handle` is called when the whole request is there. */
export async function startUpstream(handle: Handler = echo): Promise<Upstream> {
  const seen: SeenRequest[] = [];
  const server = createServer({ keepAliveTimeout: 60_000 }, (message, response) => {
    const chunks: Buffer[] = [];
    message.on('data', (chunk: Buffer) => chunks.push(chunk));
    message.on('error', () => {});
    message.on('end', () => {
      const request: SeenRequest = {
        method: message.method ?? '',
        path: message.url ?? '',
        headers: message.headers,
        rawHeaders: message.rawHeaders,
        body: Buffer.concat(chunks).toString('latin1'),
        trailers: message.trailers,
      };
      seen.push(request);
      handle(request, response, message);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onCleanup(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  return { server, seen, port: typeof address === 'object' && address !== null ? address.port : 0 };
}
