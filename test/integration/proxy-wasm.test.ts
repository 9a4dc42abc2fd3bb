/** The Proxy-Wasm runtime beyond the recorded cases: where modules come from, budgets, failures, sharing, gRPC. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/main.ts';
import { buildProbes } from '../conformance/proxy-wasm/probes.ts';
import { type LogCollector, onCleanup, type RunningProxy, simpleConfig, startProxy } from '../support/proxy.ts';
import { exchange } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';
import { freePort, WeirProcess } from '../support/weir-process.ts';

const built = mkdtempSync(join(tmpdir(), 'weir-proxy-wasm-'));
const probe = join(built, 'probe-0.2.1.wasm');
beforeAll(() => buildProbes(built), 120_000);
afterAll(() => rmSync(built, { recursive: true }));

type Entry = NonNullable<NonNullable<ConfigInput['listeners']>[number]['filters']>[number];

/** A probe with a program, in front of an upstream that answers 200. */
async function start(program: string, entry: Partial<Entry> = {}, more: Partial<Entry>[] = []): Promise<RunningProxy> {
  const upstream = await startUpstream();
  const first = { use: probe, name: 'probe', config: program, ...entry };
  return startProxy(simpleConfig(upstream.port, { filters: [first, ...more] as Entry[] }));
}

const get = (port: number, path = '/', headers: Record<string, string> = {}) =>
  fetch(`http://127.0.0.1:${port}${path}`, { headers });
const said = (log: LogCollector, start: string) =>
  log.lines.map(({ message }) => message).filter((message) => message.startsWith(start));

// --- where modules come from ---

const ADD = "on_response_headers: add_header_map_value 2 'x-probe' 'here'";

test('a module from the configuration, in base64', async () => {
  const code = { inline_bytes: readFileSync(probe).toString('base64') };
  const { port } = await start(ADD, { use: undefined, runtime: 'proxy-wasm', code } as never);
  expect((await get(port)).headers.get('x-probe')).toBe('here');
});

test('a module from a URL, through a cluster, with its sha256', async () => {
  const bytes = readFileSync(probe);
  const store = await startUpstream((_, response) => response.end(bytes));
  const upstream = await startUpstream();
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const config = (digest: string) => {
    const remote = { http_uri: { uri: 'http://store.test/probe.wasm', cluster: 'store' }, sha256: digest };
    const entry = { runtime: 'proxy-wasm', name: 'probe', code: { remote }, config: ADD } as Entry;
    const made = simpleConfig(upstream.port, { filters: [entry] });
    made.clusters?.push({ name: 'store', endpoints: [`127.0.0.1:${store.port}`] });
    return made;
  };
  const { port } = await startProxy(config(sha256));
  expect((await get(port)).headers.get('x-probe')).toBe('here');
  expect(store.seen[0]?.path).toBe('/probe.wasm');
  await expect(startProxy(config('0'.repeat(64)))).rejects.toThrow(`has the sha256 ${sha256}, and 000`);
});

test('a module from an OCI image layout, plain and as a layer of files', async () => {
  const module = readFileSync(probe);
  const header = Buffer.alloc(512);
  header.write('plugin.wasm');
  header.write(module.length.toString(8).padStart(11, '0'), 124);
  const tar = Buffer.concat([header, module, Buffer.alloc(512 - (module.length % 512)), Buffer.alloc(1024)]);
  const layers = {
    plain: { mediaType: 'application/vnd.module.wasm.content.layer.v1+wasm', bytes: module },
    compat: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', bytes: gzipSync(tar) },
  };
  const folder = join(built, 'image');
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
  const blob = (bytes: Uint8Array | string) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(folder, 'blobs/sha256', hex), bytes);
    return `sha256:${hex}`;
  };
  const manifests = Object.entries(layers).map(([tag, { mediaType, bytes }]) => ({
    digest: blob(JSON.stringify({ layers: [{ mediaType, digest: blob(bytes) }] })),
    annotations: { 'org.opencontainers.image.ref.name': tag },
  }));
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ manifests }));
  for (const tag of Object.keys(layers)) {
    const oci = { path: folder, tag };
    const { port } = await start(ADD, { use: undefined, runtime: 'proxy-wasm', code: { oci } } as never);
    expect((await get(port)).headers.get('x-probe')).toBe('here');
  }
  const missing = { use: undefined, runtime: 'proxy-wasm', code: { oci: { path: folder, tag: 'v9' } } } as never;
  await expect(start(ADD, missing)).rejects.toThrow('no image tagged v9');
});

test('Envoy’s configuration as it stands in typed_config', async () => {
  const upstream = await startUpstream();
  const type = 'type.googleapis.com/';
  const config = {
    '@type': `${type}envoy.extensions.filters.http.wasm.v3.Wasm`,
    config: {
      root_id: 'the-root',
      fail_open: true,
      configuration: {
        '@type': `${type}google.protobuf.StringValue`,
        value: "on_response_headers: get_property 'plugin_root_id' *b\non_response_headers: report 2 x-report",
      },
      vm_config: { vm_id: 'v', runtime: 'envoy.wasm.runtime.v8', code: { local: { filename: probe } } },
    },
  };
  const { port } = await startProxy(
    simpleConfig(upstream.port, { filters: [{ runtime: 'proxy-wasm', name: 'wasm', config }] }),
  );
  expect((await get(port)).headers.get('x-report')).toBe("get_property -> 0 'the-root'");
  const unknown = { ...config, config: { ...config.config, failopen: true } };
  await expect(
    startProxy(simpleConfig(1, { filters: [{ runtime: 'proxy-wasm', name: 'wasm', config: unknown }] })),
  ).rejects.toThrow('unknown key `failopen`');
});

test('MOSN’s configuration: every text is given to the module in a map', async () => {
  const upstream = await startUpstream();
  const config = { instance_num: 1, vm_config: { engine: 'wasmer', path: probe }, greeting: 'hello' };
  const { log } = await startProxy(
    simpleConfig(upstream.port, { filters: [{ runtime: 'proxy-wasm', name: 'wasm', config }] }),
  );
  expect(log.messages('error')).toEqual([]);
});

test('a configuration is text, or a mapping as JSON', async () => {
  const { port } = await start('', { config: { 'on_response_headers: args': 1 } });
  expect((await get(port)).status).toBe(200);
});

// --- what is refused ---

test.each([
  ['what is no WebAssembly', Buffer.from('hello'), 'does not begin with'],
  ['a module without a marker', Buffer.from('0061736d01000000', 'hex'), 'exports no ABI version that is known'],
  ['a module that imports what is not there', undefined, 'env.proxy_no_such_function'],
])('refuses %s', async (_, bytes, message) => {
  const file = join(built, 'bad.wasm');
  const imports = readFileSync(probe)
    .toString('latin1')
    .replace('proxy_set_tick_period_milliseconds', 'proxy_no_such_function____________');
  writeFileSync(file, bytes ?? Buffer.from(imports, 'latin1'));
  await expect(start('', { use: file, runtime: 'proxy-wasm' })).rejects.toThrow(message);
});

// --- budgets and failures ---

test.each([
  ['an endless loop', 'loop', /used up its budget of 20000000 instructions/],
  ['endless recursion', 'recurse', /call stack overflowed|used up its budget/],
  ['a trap', 'trap', /trap: unreachable/],
])('%s costs its own request, and the module is started again', async (_, program, message) => {
  const { port, log } = await start(`on_request_headers@2: ${program}\n${ADD}`);
  expect((await get(port)).status).toBe(200);
  const started = performance.now();
  expect((await get(port)).status).toBe(503);
  expect(performance.now() - started).toBeLessThan(1000);
  expect(log.messages('error').some((line) => message.test(line))).toBe(true);
  // While it waits for its new start, requests get the policy.
  expect((await get(port)).status).toBe(503);
  await expect.poll(async () => (await get(port)).status, { timeout: 5000, interval: 100 }).toBe(200);
  expect((await get(port)).headers.get('x-probe')).toBe(null);
});

test('memory ends at its limit, and the module goes on', async () => {
  const { port } = await start(`on_request_headers: grow\n${ADD}`, { limits: { memory: '2MiB' } });
  expect((await get(port)).headers.get('x-probe')).toBe('here');
});

test('a failure is logged with the module’s functions', async () => {
  const { port, log } = await start('on_request_headers: trap');
  await get(port);
  const line = log.messages('error').find((message) => message.startsWith('filter failed'));
  expect(line).toMatch(/ {2}at .*\(function \d+ at 0x[0-9a-f]+\)/);
});

test('a stream that waits gets its policy when the module fails elsewhere', async () => {
  const call = "http_call 'app' {:method=GET;:path=/aux;:authority=a} '' {} 1000 *i";
  const { port } = await start(
    `on_request_headers: ${call}\non_request_headers: return 1\non_http_call_response: trap`,
  );
  expect((await get(port)).status).toBe(503);
});

test('a listener beside it does not notice a module that fails', async () => {
  const { port } = await start('on_request_headers: trap', { match: { prefix: '/bad' } });
  const answers = await Promise.all(
    ['/bad', '/good', '/bad', '/good'].map(async (path) => (await get(port, path)).status),
  );
  expect(answers).toEqual([503, 200, 503, 200]);
});

test('host calls count, too', async () => {
  const text = Array.from({ length: 300 }, () => 'on_request_headers: get_header_map_pairs 0 *b').join('\n');
  const { port, log } = await start(text, { limits: { instructions: 2_000_000 } });
  expect((await get(port)).status).toBe(503);
  expect(log.messages('error').join('\n')).toMatch(/used up its budget|called the host more than/);
});

// --- capabilities, environment, pausing ---

test('capabilities that are not listed return INTERNAL_FAILURE, callbacks are not called', async () => {
  const names = [
    'proxy_on_configure',
    'proxy_on_response_headers',
    'proxy_get_buffer_bytes',
    'proxy_log',
    'proxy_add_header_map_value',
    'proxy_on_memory_allocate',
  ];
  const capability_restriction_config = { allowed_capabilities: Object.fromEntries(names.map((name) => [name, {}])) };
  const program =
    "on_request_headers: args\non_response_headers: get_header_map_value 2 ':status' *b\non_response_headers: report 2 x-report";
  const { port, log } = await start(program, { capability_restriction_config });
  expect((await get(port)).headers.get('x-report')).toBe("get_header_map_value -> 10 ''");
  expect(said(log, 'on_request_headers')).toEqual([]);
});

test('a pause in headers stops the body, or, if asked for, lets it be read', async () => {
  const program = `on_request_headers: return 1
on_request_body: args
on_request_body: set_buffer_bytes 0 0 100 'CHANGED'
on_request_body: continue_stream 0`;
  const { port, log } = await start(program, { allow_on_headers_stop_iteration: true });
  const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'hello' });
  expect(answer.status).toBe(200);
  expect(said(log, 'on_request_body args').length).toBeGreaterThan(0);
});

// --- sharing ---

test('entries with the same code and vm id share a machine; others do not', async () => {
  // The probe has one program for a machine: the one that was given last.
  const second = (vm: { id: string }) => ({ use: probe, name: 'second', config: 'on_request_headers: args', vm });
  const shared = await start(ADD, { vm: { id: 'a' } }, [second({ id: 'a' })]);
  expect((await get(shared.port)).headers.get('x-probe')).toBe(null);
  const apart = await start(ADD, { vm: { id: 'a' } }, [second({ id: 'b' })]);
  expect((await get(apart.port)).headers.get('x-probe')).toBe('here');
});

test('data belongs to the vm id, whatever the machine', async () => {
  const write = {
    use: probe,
    name: 'writer',
    config: "on_request_headers: set_shared_data 'k' 'mine' 0",
    limits: { memory: '8MiB' },
  };
  const read = "on_response_headers: get_shared_data 'k' *b *i\non_response_headers: report 2 x-read";
  const same = await start(read, { vm: { id: 'a' } }, [{ ...write, vm: { id: 'a' } }]);
  expect((await get(same.port)).headers.get('x-read')).toContain("-> 0 'mine'");
  const other = await start(read, { vm: { id: 'a' } }, [{ ...write, vm: { id: 'b' } }]);
  expect((await get(other.port)).headers.get('x-read')).toContain('-> 1');
});

test('a configuration that a module refuses does not hurt the one that runs', async () => {
  const { port, proxy } = await start(ADD);
  const upstream = await startUpstream();
  await expect(
    proxy.reload(
      simpleConfig(upstream.port, { filters: [{ use: probe, name: 'probe', config: 'on_configure: trap' }] }),
    ),
  ).rejects.toThrow(/failed while it was configured: trap/);
  expect((await get(port)).headers.get('x-probe')).toBe('here');
});

test('a reload ends the plugin of the old configuration once its streams have ended', async () => {
  const { proxy, log, port } = await start('on_done: args\non_delete: args');
  await get(port);
  const upstream = await startUpstream();
  await proxy.reload(simpleConfig(upstream.port, { filters: [] }));
  await expect.poll(() => said(log, 'on_delete').length).toBe(2);
});

test('a queue wakes the worker that registered it last, whichever worker fills it', async () => {
  const port = await freePort();
  const folder = mkdtempSync(join(built, 'workers-'));
  const program = `on_configure: register_shared_queue 'q' *i=q
on_request_headers: enqueue_shared_queue $q 'item'
on_queue_ready: dequeue_shared_queue $q *b`;
  const filters = [{ use: probe, name: 'probe', config: program }];
  const listeners = [{ name: 'web', address: `127.0.0.1:${port}`, filters, routes: [{ respond: { status: 200 } }] }];
  writeFileSync(join(folder, 'weir.json'), JSON.stringify({ workers: 2, listeners }));
  const weir = new WeirProcess(['run', join(folder, 'weir.json')]);
  await weir.until('listening on');
  // New connections: the system spreads them over the workers.
  for (let i = 0; i < 24; i++) await exchange(port, 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
  const taken = () => [...weir.output.matchAll(/on_queue_ready dequeue_shared_queue -> 0 'item'/g)].length;
  await expect.poll(taken).toBe(24);
});

test('patterns of expressions are linear', async () => {
  const expression =
    "('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'+request.path).matches('^(a+)+$')||'matches'.matches('^m.*s$')";
  const { port } = await start(`on_request_headers: call_foreign_function 'expr_create' '${expression}' *b
on_request_headers: call_foreign_function 'expr_evaluate' '\\0\\0\\0\\0' *b
on_response_headers: report 2 x-report`);
  const started = performance.now();
  expect((await get(port)).headers.get('x-report')).toMatch(/-> 0 '\\x01'$/);
  expect(performance.now() - started).toBeLessThan(1000);
});

test('metrics have Envoy’s prefix', async () => {
  const { port, proxy } = await start(
    "on_request_headers: define_metric 0 'my.requests' *i=c\non_request_headers: increment_metric $c 3",
  );
  await get(port);
  const labels = { filter: 'probe', listener: 'web' };
  expect(proxy.metrics.counter('weir_filter_wasmcustom_my_requests', '', labels).value).toBe(3);
});

test('a call sends its trailers', async () => {
  const upstream = await startUpstream();
  const program = `on_request_headers: http_call 'app' {:method=POST;:path=/aux;:authority=a} 'body' {x-end=yes} 1000 *i
on_request_headers: return 1
on_http_call_response: set_effective_context 2
on_http_call_response: continue_stream 0`;
  const { port } = await startProxy(
    simpleConfig(upstream.port, { filters: [{ use: probe, name: 'probe', config: program }] }),
  );
  expect((await get(port)).status).toBe(200);
  expect(upstream.seen[0]).toMatchObject({ path: '/aux', body: 'body', trailers: { 'x-end': 'yes' } });
});

// --- gRPC ---

interface Grpc {
  Server: new () => {
    addService(definition: unknown, handlers: unknown): void;
    bindAsync(address: string, credentials: unknown, done: (error: Error | null, port: number) => void): void;
    forceShutdown(): void;
  };
  ServerCredentials: { createInsecure(): unknown };
  Metadata: new () => { add(key: string, value: string): void };
}

/** A real gRPC server: `Echo.Say` answers what it got in capitals, `Echo.Chat` every message. */
async function startGrpc(): Promise<number> {
  const { Server, ServerCredentials, Metadata } = createRequire(import.meta.url)('@grpc/grpc-js') as Grpc;
  const method = (name: string, stream: boolean) => ({
    path: `/test.Echo/${name}`,
    requestStream: stream,
    responseStream: stream,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  });
  const upper = (bytes: Buffer) => Buffer.from(bytes.toString().toUpperCase());
  const server = new Server();
  server.addService(
    { say: method('Say', false), chat: method('Chat', true), refuse: method('Refuse', false) },
    {
      say: (
        call: { request: Buffer; metadata: { get(key: string): string[] } },
        done: (error: null, value: Buffer) => void,
      ) => done(null, upper(Buffer.from(`${call.request}${call.metadata.get('x-m')[0]}`))),
      refuse: (_: unknown, done: (error: object) => void) => done({ code: 9, details: 'not now' }),
      chat: (call: NodeJS.ReadWriteStream & { sendMetadata(metadata: unknown): void }) => {
        const metadata = new Metadata();
        metadata.add('x-first', 'yes');
        call.sendMetadata(metadata);
        call.on('data', (bytes: Buffer) => call.write(upper(bytes)));
        call.on('end', () => call.end());
      },
    },
  );
  onCleanup(() => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

async function startWithGrpc(program: string): Promise<RunningProxy> {
  const upstream = await startUpstream();
  const config = simpleConfig(upstream.port, { filters: [{ use: probe, name: 'probe', config: program }] });
  config.clusters?.push({ name: 'grpc', endpoints: [`127.0.0.1:${await startGrpc()}`] });
  return startProxy(config);
}

test('a gRPC call: its answer resumes the request', async () => {
  const { port, log } =
    await startWithGrpc(`on_request_headers: grpc_call 'grpc' 'test.Echo' 'Say' {x-m=!} 'hello' 1000 *i
on_request_headers: return 1
on_grpc_receive: args
on_grpc_receive: get_buffer_bytes 5 0 100 *b
on_grpc_receive: set_effective_context 2
on_grpc_receive: continue_stream 0`);
  expect((await get(port)).status).toBe(200);
  expect(said(log, 'on_grpc_receive get_buffer')).toEqual(["on_grpc_receive get_buffer_bytes -> 0 'HELLO!'"]);
});

test('a gRPC call that is refused: its status resumes the request', async () => {
  const { port, log } =
    await startWithGrpc(`on_request_headers: grpc_call 'grpc' 'test.Echo' 'Refuse' {} 'hello' 1000 *i
on_request_headers: return 1
on_grpc_close: args
on_grpc_close: get_status *i *b
on_grpc_close: set_effective_context 2
on_grpc_close: continue_stream 0`);
  expect((await get(port)).status).toBe(200);
  expect(said(log, 'on_grpc_close get_status')).toEqual(["on_grpc_close get_status -> 0 9 'not now'"]);
});

test('a gRPC stream: metadata, messages both ways, the end', async () => {
  const { port, log } = await startWithGrpc(`on_request_headers: grpc_stream 'grpc' 'test.Echo' 'Chat' {} *i=s
on_request_headers: grpc_send $s 'one' 0
on_request_headers: grpc_send $s 'two' 1
on_request_headers: return 1
on_grpc_receive_initial_metadata: get_header_map_value 4 'x-first' *b
on_grpc_receive: get_buffer_bytes 5 0 100 *b
on_grpc_receive_trailing_metadata: args
on_grpc_close: args
on_grpc_close: set_effective_context 2
on_grpc_close: continue_stream 0`);
  expect((await get(port)).status).toBe(200);
  expect(said(log, 'on_grpc')).toEqual([
    "on_grpc_receive_initial_metadata get_header_map_value -> 0 'yes'",
    "on_grpc_receive get_buffer_bytes -> 0 'ONE'",
    "on_grpc_receive get_buffer_bytes -> 0 'TWO'",
    'on_grpc_receive_trailing_metadata args 0',
    'on_grpc_close args 0',
    'on_grpc_close set_effective_context -> 0',
    'on_grpc_close continue_stream -> 0',
  ]);
});
