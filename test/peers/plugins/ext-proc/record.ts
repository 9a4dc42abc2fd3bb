/** Records what a real Envoy makes of the cases: `node record.ts ENVOY PROCESSOR > recorded.json`. */
import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CASES, type Outcome } from './cases.ts';
import { exchange, Upstream } from './run.ts';

const [, , envoy = '', processor = ''] = process.argv;
const TYPE = 'type.googleapis.com/envoy.extensions';
const [PROCESSOR_PORT, PORT] = [18_401, 18_402];
const folder = mkdtempSync(join(tmpdir(), 'ext-proc-'));
const service = spawn(processor, ['-listen', `127.0.0.1:${PROCESSOR_PORT}`], {
  stdio: ['ignore', 'ignore', 'inherit'],
});
const upstream = new Upstream();
const upstreamPort = await upstream.listen();

const cluster = (name: string, port: number, http2: boolean) => ({
  name,
  type: 'STATIC',
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': `${TYPE}.upstreams.http.v3.HttpProtocolOptions`,
      explicit_http_config: http2
        ? { http2_protocol_options: {} }
        : { http_protocol_options: { enable_trailers: true } },
    },
  },
  load_assignment: {
    cluster_name: name,
    endpoints: [
      { lb_endpoints: [{ endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } } }] },
    ],
  },
});

const outcomes: Record<string, Outcome> = {};
for (const one of CASES) {
  const config = {
    static_resources: {
      listeners: [
        {
          address: { socket_address: { address: '127.0.0.1', port_value: PORT } },
          filter_chains: [
            {
              filters: [
                {
                  name: 'hcm',
                  typed_config: {
                    '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
                    stat_prefix: 'x',
                    http_protocol_options: { enable_trailers: true },
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [{ match: { prefix: '/' }, route: { cluster: 'upstream' } }],
                        },
                      ],
                    },
                    http_filters: [
                      {
                        name: 'ext_proc',
                        typed_config: {
                          '@type': `${TYPE}.filters.http.ext_proc.v3.ExternalProcessor`,
                          grpc_service: { envoy_grpc: { cluster_name: 'processor' } },
                          message_timeout: '1s',
                          ...one.config,
                        },
                      },
                      { name: 'router', typed_config: { '@type': `${TYPE}.filters.http.router.v3.Router` } },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [cluster('upstream', upstreamPort, false), cluster('processor', PROCESSOR_PORT, true)],
    },
  };
  const file = join(folder, 'envoy.json');
  writeFileSync(file, JSON.stringify(config));
  const proxy = spawn(envoy, ['-c', file, '-l', 'error', '--concurrency', '1', '--use-dynamic-base-id'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await reached(PORT);
  outcomes[one.id] = await exchange(PORT, upstream, one);
  proxy.kill('SIGKILL');
  await new Promise((resolve) => proxy.once('close', resolve));
}
service.kill('SIGKILL');
upstream.close();
process.stdout.write(`${JSON.stringify(outcomes, null, 1)}\n`);

async function reached(port: number): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('Envoy does not listen');
}
