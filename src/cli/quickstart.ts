/** The quickstart: an example configuration, and a demo upstream for it where nothing else listens. */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const UPSTREAM_PORT = 8080;

/** A file of the package, by its path from the package's root: two folders up in a checkout, three in `dist/`. */
export function packageFile(path: string): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return join(folder, path);
}

/** Starts the demo upstream, prints what to try, and returns the path of the configuration. */
export async function startQuickstart(): Promise<string> {
  const config = packageFile('examples/quickstart/weir.yaml');
  const own = await startDemoUpstream();
  process.stdout.write(`Weir quickstart: 127.0.0.1:2046 -> 127.0.0.1:${UPSTREAM_PORT}${own ? ' (demo upstream)' : ' (already there)'}

  curl -i http://127.0.0.1:2046/                     403, says auth.lua
  curl -i -H 'user: admin' http://127.0.0.1:2046/    200, from the upstream

  The filters: a Lua script, a native filter, a WebAssembly module. Their configuration:
  ${config}
  Change auth.lua beside it: the next request runs the new script. Ctrl-C ends.

`);
  return config;
}

/** Whether it was started: where the port is taken, what listens there is the upstream. */
function startDemoUpstream(): Promise<boolean> {
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'text/plain');
    response.end(`hello from the demo upstream\n${request.method} ${request.url}\n${request.rawHeaders.join(' ')}\n`);
  });
  server.unref();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(UPSTREAM_PORT, '127.0.0.1', () => resolve(true));
  });
}
