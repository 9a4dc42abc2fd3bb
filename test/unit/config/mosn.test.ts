/** MOSN's configurations as Weir's: what is mapped, and that nothing is ignored. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigurationError } from '../../../src/config/diagnostics.ts';
import { loadConfigFile } from '../../../src/config/load.ts';
import { temporaryFolder } from '../../support/weir-process.ts';

type Json = Record<string, unknown>;

const simple = () => ({
  servers: [
    {
      default_log_path: 'stdout',
      routers: [
        {
          router_config_name: 'r',
          virtual_hosts: [
            { name: 'h', domains: ['*'], routers: [{ match: { prefix: '/' }, route: { cluster_name: 'c' } } as Json] },
          ] as Json[],
        } as Json,
      ],
      listeners: [
        {
          name: 'l',
          address: '127.0.0.1:2046',
          bind_port: true,
          filter_chains: [
            {
              filters: [{ type: 'proxy', config: { downstream_protocol: 'Http1', router_config_name: 'r' } as Json }],
            } as Json,
          ],
        } as Json,
      ],
    } as Json,
  ],
  cluster_manager: { clusters: [{ name: 'c', hosts: [{ address: '127.0.0.1:8080' }] } as Json] } as Json,
});

function load(config: unknown, files: Record<string, string> = {}) {
  const folder = temporaryFolder({ ...files, 'mosn.json': JSON.stringify(config, null, 1) });
  return loadConfigFile(join(folder, 'mosn.json')).config;
}

/** The faults as `line: message`. */
function faults(config: unknown, files: Record<string, string> = {}): string[] {
  try {
    load(config, files);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.diagnostics.map(({ line, message }) => `${line}: ${message}`);
    throw error;
  }
  return [];
}

test('routes, clusters, log, admin and TLS', () => {
  const config = simple();
  Object.assign(config.servers[0] as Json, { default_log_level: 'WARN', processor: 2, graceful_timeout: '7s' });
  const [host] =
    (config.servers[0] as { routers: { virtual_hosts: { routers: Json[] }[] }[] }).routers[0]?.virtual_hosts ?? [];
  host?.routers.unshift(
    {
      match: { path: '/a', headers: [{ name: 'x', value: 'a|b', regex: true }] },
      route: {
        weighted_clusters: [{ cluster: { name: 'c', weight: 3 } }],
        timeout: '2s',
        prefix_rewrite: '/b',
        host_rewrite: 'h.test',
      },
      per_filter_config: {},
    },
    { match: { regex: '/o.*' }, redirect: { response_code: 302, path_redirect: '/n' } },
    {
      match: { prefix: '/d' },
      direct_response: { status: 204, body: '' },
      metadata: { filter_metadata: { a: { b: 1 } } },
    },
  );
  Object.assign(config.cluster_manager, {
    clusters: [
      {
        name: 'c',
        type: 'SIMPLE',
        lb_type: 'LB_RANDOM',
        max_request_per_conn: 1024,
        conn_buffer_limit_bytes: 32768,
        circuit_breakers: [{ max_connections: 9, max_pending_requests: 8 }],
        connect_timeout: '3s',
        hosts: [{ address: '127.0.0.1:8080', weight: 5 }],
      },
    ],
  });
  const [listener] = (config.servers[0] as { listeners: Json[] }).listeners;
  Object.assign(listener as Json, {
    access_logs: [{ log_path: '/dev/null', log_format: '%start_time% %request_header_x%' }],
  });
  const [chain] = (listener as { filter_chains: Json[] }).filter_chains;
  Object.assign(chain as Json, {
    tls_context: {
      status: true,
      cert_chain: 'a.crt',
      private_key: 'a.key',
      min_version: 'TLSv1_3',
      ca_cert: 'ca.crt',
      verify_client: true,
      require_client_cert: true,
    },
  });
  const admin = { admin: { address: { socket_address: { address: '0.0.0.0', port_value: 34901 } } } };
  const loaded = load({ ...config, ...admin });
  expect(loaded).toMatchObject({
    workers: 2,
    drain_timeout: 7000,
    log: { level: 'warn' },
    admin: { address: { host: '0.0.0.0', port: 34901 } },
    listeners: [
      {
        name: 'l',
        access_log: { path: '/dev/null', format: '%START_TIME% %REQ(x)%' },
        tls: {
          certificates: [{ cert: 'a.crt', key: 'a.key' }],
          min_version: '1.3',
          client_ca: 'ca.crt',
          require_client_certificate: true,
        },
        virtual_hosts: [
          {
            name: 'h',
            routes: [
              {
                match: { path: '/a', headers: { x: { regex: 'a|b' } } },
                clusters: [{ name: 'c', weight: 3 }],
                timeout: 2000,
                rewrite: { prefix: '/b', host: 'h.test' },
              },
              { match: { regex: '/o.*' }, redirect: { status: 302, path: '/n' } },
              { respond: { status: 204 }, metadata: { a: { b: 1 } } },
              { match: { prefix: '/' }, cluster: 'c' },
            ],
          },
        ],
      },
    ],
    clusters: [
      {
        name: 'c',
        load_balancing: 'random',
        max_requests_per_connection: 1024,
        connection_buffer: 32768,
        max_connections: 9,
        max_pending: 8,
        connect_timeout: 3000,
        endpoints: [{ weight: 5 }],
      },
    ],
  });
});

test('a filter of a registered type is a file beside the configuration', () => {
  const config = simple();
  const [listener] = (config.servers[0] as { listeners: Json[] }).listeners;
  (listener as Json).stream_filters = [
    { type: 'auth', config: { user: 'admin' } },
    { type: 'checker' },
    { type: 'demo', config: { A: '1', B: '2' } },
    { type: 'x', go_plugin_config: { so_path: './mine.so' } },
    { type: 'proxywasm', config: { vm_config: { path: './m.wasm' } } },
  ];
  const { listeners } = load(config, { 'auth.lua': '', checker: '', 'mine.ts': '' });
  expect(listeners[0]?.filters).toMatchObject([
    { name: 'auth', use: './auth.lua', config: { user: 'admin' } },
    { name: 'checker-1', use: './checker', runtime: 'plugin', protocol: 'mosn', inherit_env: true },
    { name: 'demo-2', use: 'require-header', config: { name: 'A', value: '1' } },
    { name: 'demo-2-1', use: 'require-header', config: { name: 'B', value: '2' } },
    { name: 'x-3', use: './mine.ts' },
    { name: 'proxywasm-4', runtime: 'proxy-wasm' },
  ]);
});

test('what has no counterpart is an error with its line, all of them at once', () => {
  const config = simple() as ReturnType<typeof simple> & Json;
  Object.assign(config, { pprof: { debug: true }, tracing: { enable: true } });
  (config.servers[0] as { routers: Json[] }).routers.push({
    router_config_name: 'unused',
    router_configs: '/etc/routers',
  });
  Object.assign(config.servers[0] as Json, { global_log_roller: 'size=100', default_log_path: '/var/log/mosn.log' });
  const [listener] = (config.servers[0] as { listeners: Json[] }).listeners;
  Object.assign(listener as Json, {
    use_original_dst: 'redirect',
    stream_filters: [
      { type: 'gzip' },
      { type: 'nobody' },
      { type: 'x', go_plugin_config: { so_path: './x.so', factory_method: 'Other' } },
    ],
    access_logs: [{ log_format: '%trace_id%' }],
  });
  const [cluster] = (config.cluster_manager as { clusters: Json[] }).clusters;
  Object.assign(cluster as Json, {
    lb_type: 'LB_MAGLEV',
    health_check: { protocol: 'Http1' },
    tls_context: { status: true },
  });
  const found = faults(config);
  const messages = found.map((text) => text.replace(/^\d+: /, ''));
  expect(messages.sort()).toEqual(
    [
      '`pprof` of MOSN has no counterpart in Weir',
      '`tracing` of MOSN has no counterpart in Weir',
      '`router_configs` of MOSN has no counterpart in Weir',
      '`global_log_roller` of MOSN has no counterpart in Weir',
      '`default_log_path: "/var/log/mosn.log"`: Weir logs to standard error',
      '`use_original_dst: "redirect"`: Weir has no transparent interception yet',
      "MOSN's filter `gzip` has no counterpart in Weir yet",
      'there is no filter `nobody`',
      "./x.so is a shared object of Go, which Weir can't load",
      '`factory_method: "Other"`: a module of Weir exports createStreamFilterFactory',
      "Weir's access log has nothing for `%trace_id%`",
      '`lb_type: LB_MAGLEV` has no counterpart in Weir',
      '`health_check` of MOSN has no counterpart in Weir',
      '`status: true`: Weir speaks no TLS to its upstreams yet',
    ].sort(),
  );
  const text = JSON.stringify(config, null, 1).split('\n');
  for (const one of found) {
    const line = text[Number(one.split(':')[0]) - 1] ?? '';
    const key = /`(\w+)(?:`|:)/.exec(one)?.[1];
    if (key !== undefined && /of MOSN|: `\w+:/.test(one)) expect(line).toContain(`"${key}"`);
  }
});

test('what Weir itself finds wrong points into MOSN’s file', () => {
  const config = simple();
  const [cluster] = (config.cluster_manager as { clusters: Json[] }).clusters;
  Object.assign(cluster as Json, { hosts: [{ address: 'nowhere' }] });
  const [fault = ''] = faults(config);
  expect(fault).toContain('"nowhere" is no address');
  const line = JSON.stringify(config, null, 1).split('\n')[Number(fault.split(':')[0]) - 1];
  expect(line).toMatch(/\{/);
  const wrong = simple();
  writeFileSync(join(temporaryFolder(), 'x'), '');
  (wrong.servers[0] as { routers: { virtual_hosts: Json[] }[] }).routers[0]?.virtual_hosts.splice(0, 1, {
    name: 'h',
    domains: ['*'],
    routers: [{ route: { cluster_name: 'none' } }],
  });
  expect(faults(wrong).join()).toContain('there is no cluster `none`');
});
