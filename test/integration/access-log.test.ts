/** The access log says of every request what became of it, and why. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { exchange, RawClient, startServer } from '../support/raw.ts';
import { eventually, temporaryFolder } from '../support/weir-process.ts';

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`;

test('status, flags, details and bytes of good and bad ends', async () => {
  const upstream = await startServer((socket) => {
    socket.on('data', (chunk: Buffer) => {
      if (chunk.includes('/ok')) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
      else if (chunk.includes('/cut')) socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart');
      else if (chunk.includes('/bad')) socket.write('nonsense\r\n\r\n');
      else if (chunk.includes('/close')) socket.destroy();
    });
  });
  const closed = await startServer(() => {});
  await new Promise((resolve) => closed.server.close(resolve));
  const file = join(temporaryFolder(), 'access.log');
  const format =
    '%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_SENT% %UPSTREAM_CLUSTER%';
  const filters = [
    {
      source: 'function envoy_on_request() error("x") end',
      runtime: 'lua',
      name: 'broken',
      match: { prefix: '/filter' },
    },
  ];
  const config = simpleConfig(upstream.port, {
    access_log: { path: file, format },
    filters,
    routes: [
      { match: { prefix: '/none' }, cluster: 'none' },
      { match: { prefix: '/dead' }, cluster: 'dead' },
      { match: { prefix: '/slow' }, cluster: 'app', timeout: '50ms' },
      { match: { regex: '/(ok|cut|bad|close|filter|gone)' }, cluster: 'app' },
    ],
  });
  config.clusters?.push({ name: 'none', endpoints: [] }, { name: 'dead', endpoints: [`127.0.0.1:${closed.port}`] });
  const { port } = await startProxy(config);
  for (const path of ['/ok', '/nowhere', '/none', '/dead', '/slow', '/cut', '/bad', '/close', '/filter']) {
    await exchange(port, get(path));
  }
  const client = new RawClient(port).write(get('/gone'));
  await new Promise((resolve) => setTimeout(resolve, 30));
  client.socket.resetAndDestroy();
  const lines = await eventually(() => {
    const text = readFileSync(file, 'utf8');
    return text.includes('/gone') && text.trim().split('\n');
  });
  expect(lines).toEqual([
    '/ok 200 - via_upstream 2 app',
    '/nowhere 404 NR route_not_found 30 -',
    '/none 503 UH no_healthy_upstream 20 none',
    '/dead 503 UF upstream_connect_failed 30 dead',
    '/slow 504 UT upstream_timeout 36 app',
    '/cut 200 UC via_upstream 4 app',
    '/bad 502 UPE upstream_protocol_error 39 app',
    '/close 502 UC upstream_reset 54 app',
    '/filter 500 XF filter_failed_broken 16 app',
    '/gone 0 DC - 0 app',
  ]);
});
