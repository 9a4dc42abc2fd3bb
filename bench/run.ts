/**
 * Weir beside its peers: all of them run, and in each round each gets the same load (wrk) in turn, so that what the machine
 * does besides hits all alike; the ratios are medians over the rounds. `npm run bench [case ...]`; needs nginx and wrk, takes HAProxy and Envoy where they are.
 * The upstream and wrk share the machine's cores with the proxy: the requests per second are of the whole, the CPU time is the
 * proxy's own.
 */
import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { makeCertificate } from '../test/support/certificates.ts';
import {
  envoy,
  type Filter,
  findEnvoy,
  findProgram,
  haproxy,
  hasNginxLua,
  nginx,
  nodeHttp,
  type Peer,
  Running,
  type Setting,
  upstream,
  waitForPort,
  weir,
} from './peers.ts';

const run = promisify(execFile);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 4);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const UPSTREAM_PORT = 18_080;
const FIRST_PORT = 18_081;

interface Case {
  name: string;
  /** Clients come by TLS. */
  tls?: true;
  connections: number;
  path: string;
  /** Bytes of a request body. */
  body?: number;
  /** Each peer gets a port of its own by calling `setting()`. */
  peers: (setting: () => Setting) => Peer[];
}

interface Figures {
  cpu: number;
  /** CPU time to that of the first peer in the same round. */
  ratio: number;
  rps: number;
  p50: string;
  p99: string;
  memory: number;
}

const envoyProgram = findEnvoy();

function plainPeers(setting: () => Setting): Peer[] {
  return [
    nginx(setting()),
    ...(findProgram('haproxy') === undefined ? [] : [haproxy(setting())]),
    ...(envoyProgram === undefined ? [] : [envoy(envoyProgram, setting(), 'none')]),
    nodeHttp(setting()),
    weir(setting(), 'none'),
  ];
}

function authPeers(setting: () => Setting): Peer[] {
  const filters: Filter[] = ['none', 'native', 'auth.lua', 'assemblyscript'];
  const lua = envoyProgram === undefined ? [] : [envoy(envoyProgram, setting(), 'auth.lua')];
  const others = [
    ...(hasNginxLua() ? [nginx(setting(), true)] : []),
    ...(findProgram('haproxy') === undefined ? [] : [haproxy(setting(), true)]),
  ];
  return [nginx(setting()), ...others, ...lua, ...filters.map((filter) => weir(setting(), filter))];
}

/** A script in Envoy and in Weir, and Weir without it. */
function scriptPeers(script: `${string}.lua`): (setting: () => Setting) => Peer[] {
  return (setting) => [
    nginx(setting()),
    ...(envoyProgram === undefined ? [] : [envoy(envoyProgram, setting(), script)]),
    weir(setting(), 'none'),
    weir(setting(), script),
  ];
}

/** A module in Envoy and in Weir: one of BENCH_MODULES, by default the auth filter for Proxy-Wasm in AssemblyScript. */
function modulePeers(setting: () => Setting): Peer[] {
  const chosen = process.env.BENCH_MODULES ?? join(import.meta.dirname, '../wasm/proxy-wasm/auth-assemblyscript.wasm');
  const modules = chosen.split(',').map((path) => resolve(path) as Filter);
  return [
    nginx(setting()),
    ...(envoyProgram === undefined ? [] : [envoy(envoyProgram, setting(), 'none')]),
    weir(setting(), 'none'),
    ...modules.flatMap((module) => [
      ...(envoyProgram === undefined ? [] : [envoy(envoyProgram, setting(), module)]),
      weir(setting(), module),
    ]),
  ];
}

/** A check by a program of its own; the proxy's CPU time is without that program's. */
function pluginPeers(setting: () => Setting): Peer[] {
  return [nginx(setting()), weir(setting(), 'none'), weir(setting(), 'plugin')];
}

const CASES: readonly Case[] = [
  { name: 'plain', connections: 64, path: '/', peers: plainPeers },
  { name: 'auth', connections: 64, path: '/', peers: authPeers },
  { name: 'lua-heavy', connections: 64, path: '/', peers: scriptPeers('heavy.lua') },
  { name: 'lua-call', connections: 64, path: '/', peers: scriptPeers('call.lua') },
  { name: 'lua-cpu', connections: 16, path: '/', peers: scriptPeers('cpu.lua') },
  { name: 'lua-body', connections: 16, path: '/post', body: 64 * 1024, peers: scriptPeers('body.lua') },
  { name: 'wasm', connections: 64, path: '/', peers: modulePeers },
  { name: 'plugin', connections: 64, path: '/', peers: pluginPeers },
  { name: 'plugin-latency', connections: 1, path: '/', peers: pluginPeers },
  {
    name: 'tls',
    connections: 64,
    path: '/',
    tls: true,
    peers: (setting) => [nginx(setting()), weir(setting(), 'none')],
  },
  { name: '1MiB-response', connections: 16, path: '/big', peers: plainPeers },
  { name: '64KiB-request', connections: 16, path: '/post', body: 64 * 1024, peers: plainPeers },
  { name: '1000-connections', connections: 1000, path: '/', peers: plainPeers },
];

async function load(
  wanted: Case,
  folder: string,
  port: number,
): Promise<{ requests: number; rps: number; p50: string; p99: string }> {
  const script = join(folder, 'load.lua');
  const body = wanted.body === undefined ? '' : `wrk.method = "POST"; wrk.body = string.rep("x", ${wanted.body})\n`;
  writeFileSync(script, `${body}wrk.headers["user"] = "admin"\n`);
  const args = ['-t1', `-c${wanted.connections}`, `-d${SECONDS}s`, '--latency', '-s', script];
  const { stdout } = await run('wrk', [...args, `http${wanted.tls ? 's' : ''}://127.0.0.1:${port}${wanted.path}`]);
  const find = (pattern: RegExp) => pattern.exec(stdout)?.[1] ?? '?';
  if (/Non-2xx|Socket errors/.test(stdout))
    process.stdout.write(`  ! ${/(Non-2xx.*|Socket errors.*)/.exec(stdout)?.[1]}\n`);
  return {
    requests: Number(find(/(\d+) requests in/)),
    rps: Number(find(/Requests\/sec:\s+([\d.]+)/)),
    p50: find(/\n +50%\s+(\S+)/),
    p99: find(/\n +99%\s+(\S+)/),
  };
}

/** A certificate for localhost, self-signed. */
async function certificate(folder: string): Promise<{ cert: string; key: string }> {
  const { cert, key } = await makeCertificate({ names: ['localhost'] });
  const files = { cert: join(folder, 'bench.crt'), key: join(folder, 'bench.key') };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  return files;
}

async function runCase(wanted: Case, base: Setting): Promise<void> {
  let port = FIRST_PORT;
  const tls = wanted.tls ? await certificate(base.folder) : undefined;
  const peers = wanted.peers(() => ({ ...base, tls, listenPort: port++ }));
  const running = peers.map((peer) => new Running(peer));
  const rounds: Figures[][] = peers.map(() => []);
  try {
    for (const [i, peer] of peers.entries()) {
      await waitForPort(peer.port);
      if (running[i]?.memory() === 0)
        throw new Error(`${peer.name} did not start: something else listens on port ${peer.port}`);
      await load(wanted, base.folder, peer.port);
    }
    for (let round = 0; round < ROUNDS; round++) {
      let first = 0;
      for (const [i, peer] of running.entries()) {
        const before = peer.cpu();
        const { requests, rps, p50, p99 } = await load(wanted, base.folder, (peers[i] as Peer).port);
        const cpu = (peer.cpu() - before) / requests;
        if (i === 0) first = cpu;
        rounds[i]?.push({ cpu, ratio: cpu / first, rps, p50, p99, memory: peer.memory() });
      }
    }
  } finally {
    for (const peer of running) await peer.stop();
  }
  process.stdout.write(
    `\n## ${wanted.name}: ${wanted.connections} connections, ${ROUNDS} rounds of ${SECONDS} s, medians\n\n`,
  );
  process.stdout.write(
    '| proxy | CPU µs/request | to nginx | requests/s | p50 | p99 | RSS MiB |\n|---|---|---|---|---|---|---|\n',
  );
  for (const [i, peer] of peers.entries()) {
    const sorted = (rounds[i] as Figures[]).sort((x, y) => x.ratio - y.ratio);
    const { cpu, ratio, rps, p50, p99, memory } = sorted[Math.floor(ROUNDS / 2)] as Figures;
    process.stdout.write(
      `| ${peer.name} | ${cpu.toFixed(1)} | ${ratio.toFixed(2)} | ${rps.toFixed(0)} | ${p50} | ${p99} | ${memory.toFixed(0)} |\n`,
    );
  }
}

/** Memory that 10,000 idle keep-alive connections take, after one request each. */
async function idleConnections(setting: Setting): Promise<void> {
  const count = 10_000;
  const running = new Running(weir(setting, 'none'));
  const sockets: Socket[] = [];
  try {
    await waitForPort(FIRST_PORT);
    for (let batch = 0; batch < count; batch += 100) {
      await Promise.all(
        Array.from({ length: 100 }, () => {
          const socket = connect(FIRST_PORT, '127.0.0.1');
          sockets.push(socket);
          socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
          return new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject));
        }),
      );
    }
    process.stdout.write(
      `\n## idle: ${count} idle keep-alive connections\n\nWeir: ${running.memory().toFixed(0)} MiB resident\n`,
    );
  } finally {
    for (const socket of sockets) socket.destroy();
    await running.stop();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'));
// nginx reads its files as another user.
chmodSync(folder, 0o755);
const setting: Setting = { folder, upstreamPort: UPSTREAM_PORT, listenPort: FIRST_PORT };
const chosen = process.argv.slice(2);
const nginxUpstream = new Running(upstream(setting));
try {
  await waitForPort(UPSTREAM_PORT);
  for (const wanted of CASES) {
    if (chosen.length === 0 || chosen.includes(wanted.name)) await runCase(wanted, setting);
  }
  if (chosen.length === 0 || chosen.includes('idle')) await idleConnections(setting);
} finally {
  await nginxUpstream.stop();
  rmSync(folder, { recursive: true, force: true });
}
