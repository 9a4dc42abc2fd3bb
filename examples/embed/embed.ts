/** A proxy inside a Node program: an upstream, a proxy before it, one request through both. */
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { Proxy } from 'weir';

const upstream = createServer((_, response) => response.end('hello from upstream'));
await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
const { port } = upstream.address() as { port: number };

const proxy = await new Proxy(
  {
    listeners: [
      {
        name: 'web',
        address: '127.0.0.1:0',
        filters: [{ use: '../auth-filters/auth.ts', config: { user: 'admin' } }],
        routes: [{ match: { prefix: '/' }, cluster: 'app' }],
      },
    ],
    clusters: [{ name: 'app', endpoints: [`127.0.0.1:${port}`] }],
  },
  { directory: fileURLToPath(new URL('.', import.meta.url)) },
).listen();

const url = `http://127.0.0.1:${proxy.ports.web}/`;
const denied = await fetch(url);
const allowed = await fetch(url, { headers: { user: 'admin' } });
console.log(denied.status, allowed.status, await allowed.text());

await proxy.close();
upstream.close();
