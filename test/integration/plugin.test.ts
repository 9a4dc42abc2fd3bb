/** Subprocess plugins: their life, their faults, and MOSN's protocol. */
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/main.ts';
import { onCleanup, simpleConfig, startProxy } from '../support/proxy.ts';
import { RawClient } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';
import { eventually, freePort, temporaryFolder, WeirProcess } from '../support/weir-process.ts';

const program = fileURLToPath(new URL('../support/plugins/mosn.mjs', import.meta.url));

type Entry = NonNullable<NonNullable<ConfigInput['listeners']>[number]['filters']>[number];

const entry = (args: string[], more: Partial<Entry> = {}): Entry => ({
  use: program,
  name: 'checker',
  runtime: 'plugin',
  protocol: 'mosn',
  args,
  ...more,
});

async function start(args: string[], more: Partial<Entry> = {}) {
  const upstream = await startUpstream((seen, response) => response.end(`echo ${seen.body}`));
  const running = await startProxy(simpleConfig(upstream.port, { filters: [entry(args, more)] }));
  const ask = async (head = '', body = '') => {
    const length = body === '' ? '' : `content-length: ${body.length}\r\n`;
    const method = body === '' ? 'GET' : 'POST';
    const client = new RawClient(running.port);
    return client.write(`${method} / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n${head}${length}\r\n${body}`).end();
  };
  return { ...running, upstream, ask };
}

describe("MOSN's protocol", () => {
  test.each(['check', 'tcp'])('a plugin lets requests pass or refuses them: %s', async (behaviour) => {
    const { ask, upstream, log } = await start([behaviour]);
    expect(await ask()).toMatch(/^HTTP\/1\.1 403 /);
    expect(upstream.seen).toHaveLength(0);
    expect(await ask('user: admin\r\n')).toMatch(/^HTTP\/1\.1 200 /);
    expect(log.messages('info')).toContain('ready to check');
  });

  test('the plugin gets what MOSN sends: names as in HTTP/1.1, a clean environment', async () => {
    process.env.WEIR_TEST_SECRET = 'leak';
    const { ask } = await start(['echo'], { send: ['headers', 'body'], type: 'demo', env: { GREETING: 'hello' } });
    const answer = await ask('x-trace-id: 7\r\n', 'hello');
    const { header, body, type, env } = JSON.parse(answer.slice(answer.indexOf('echo ') + 5));
    expect({ header, body, type }).toMatchObject({
      header: { Host: 'test', 'X-Trace-Id': '7', ':path': '/', ':method': 'POST' },
      body: 'hello',
      type: 'demo',
    });
    expect(env).toMatchObject({ MOSN_PLUGIN: 'ON', PLUGIN_PROTOCOL_VERSIONS: '1', GREETING: 'hello' });
    expect(env).not.toHaveProperty('WEIR_TEST_SECRET');
    delete process.env.WEIR_TEST_SECRET;
  });

  test('an answer edits headers, body and trailers', async () => {
    const { ask, upstream } = await start(['edit'], { send: ['headers', 'body', 'trailers'] });
    expect(await ask('x-secret: 1\r\n', 'quiet')).toContain('echo QUIET');
    expect(upstream.seen[0]?.headers).toMatchObject({ 'x-checked': 'yes', 'content-length': '5' });
    expect(upstream.seen[0]?.headers).not.toHaveProperty('x-secret');
    const chunked = 'POST / HTTP/1.1\r\nhost: test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n';
    const { port } = await start(['edit'], { send: ['headers', 'body', 'trailers'] });
    const client = new RawClient(port).write(`${chunked}5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n`);
    expect(await client.end()).toContain('echo HELLO');
  });

  test('on the response side, too', async () => {
    const { ask } = await start(['edit'], { side: 'response', send: ['headers', 'body'] });
    const answer = await ask('', 'quiet');
    expect(answer).toContain('x-checked: yes');
    expect(answer).toMatch(/ECHO QUIET$/);
  });

  test('a status that the entry does not know is a failure, never a pass', async () => {
    const { ask, log, upstream } = await start(['status', '7']);
    expect(await ask()).toMatch(/^HTTP\/1\.1 500 /);
    expect(upstream.seen).toHaveLength(0);
    expect(log.messages('error').join()).toContain('it answered with status 7; allowed are 0, 1');
    const { ask: other } = await start(['status', '7'], { allow_status: [7] });
    expect(await other()).toMatch(/^HTTP\/1\.1 200 /);
    const { ask: denied } = await start(['status', '-3'], { deny_status: 451 });
    expect(await denied()).toMatch(/^HTTP\/1\.1 451 /);
  });
});

describe('a start that fails is told, with what the program said', () => {
  test.each([
    ['exit', /ended before its handshake: exit code 3; it wrote:\s+there is no license file/],
    ['noise', /printed something else before its handshake.*starting up, please wait/],
    ['silent', /no handshake line within 0.3 s/],
    ['line', /it speaks version 2 of the plugin protocol/, '1|2|unix|/tmp/a|grpc'],
    ['line', /it speaks netrpc, Weir speaks grpc/, '1|1|unix|/tmp/a'],
    ['line', /it names no address/, '1|1|udp|/tmp/a|grpc'],
    ['line', /health check says: no answer/, '1|1|unix|/tmp/nobody-listens-here|grpc'],
  ])('%s: %s', async (behaviour, message, value = '') => {
    const timeout = behaviour === 'silent' || value.includes('nobody') ? '300ms' : '10s';
    await expect(start([behaviour, value], { start_timeout: timeout })).rejects.toThrow(message);
  });

  test('a program that can not be run', async () => {
    const folder = temporaryFolder({ 'checker.sh': 'echo', script: '#!/no/such/interpreter\n' });
    await expect(start([], { use: join(folder, 'checker.sh') })).rejects.toThrow(/is it executable \(chmod \+x\)\?/);
    chmodSync(join(folder, 'script'), 0o755);
    await expect(start([], { use: join(folder, 'script') })).rejects.toThrow(/its interpreter \(the #! line\)/);
    await expect(start(['check'], { user: 'nobody-at-all' })).rejects.toThrow('there is no user "nobody-at-all"');
    await expect(start(['check'], { timeout: 'soon' })).rejects.toThrow('"soon" is no duration');
    await expect(start(['check'], { protocol: 'weir', deny_status: 401 })).rejects.toThrow(
      'belongs to `protocol: mosn`',
    );
  });
});

describe('faults while it runs', () => {
  test.each([
    ['hang', /filter failed: the plugin did not answer: no answer \(within 200 ms\)/],
    ['slow', /no answer \(within 200 ms\)/, '2000'],
    ['nonsense', /its answer can't be read/],
    ['large', /it sent a message of 104857\d* bytes, over max_message_size \(4194304\)/, String(100 * 1024 ** 2)],
    ['error', /the plugin did not answer: the database is down/],
    ['die', /the plugin did not answer/],
  ])('%s: the policy answers', async (behaviour, message, value = '') => {
    const timeout = behaviour === 'large' ? '5s' : '200ms';
    const { ask, log, upstream } = await start([behaviour, value], { timeout });
    expect(await ask('user: admin\r\n')).toMatch(/^HTTP\/1\.1 500 /);
    expect(upstream.seen).toHaveLength(0);
    expect(log.messages('error').join('\n')).toMatch(message);
    const { ask: open } = await start([behaviour, value], { timeout, on_error: 'fail_open' });
    expect(await open()).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('a process that is killed is replaced, and requests in between wait for the new one', async () => {
    const { ask, log } = await start(['check']);
    expect(await ask('user: admin\r\n')).toMatch(/^HTTP\/1\.1 200 /);
    for (let i = 0; i < 3; i++) {
      const pid = Number(
        /process ([0-9]+) on/.exec(
          log.messages('info').findLast((text) => text.includes(' runs: process ')) ?? '',
        )?.[1],
      );
      process.kill(pid, 'SIGKILL');
      expect(await ask('user: admin\r\n')).toMatch(/^HTTP\/1\.1 200 /);
      expect(await ask()).toMatch(/^HTTP\/1\.1 403 /);
    }
    expect(log.messages('error').join()).toContain('it ended: killed by SIGKILL');
  });

  test('a process that hangs is killed after ten calls in a row without an answer', async () => {
    const { ask, log } = await start(['stop'], { timeout: '50ms', retries: 0 });
    for (let i = 0; i < 10; i++) await ask();
    await eventually(() => log.messages('error').some((text) => text.includes('10 calls in a row had no answer')));
    await eventually(() => log.messages('info').filter((text) => text.includes(' runs: process ')).length === 2);
  });

  test('a process that says it is not well is replaced after three such answers', async () => {
    const { ask, log } = await start(['sick', '100'], { health_interval: '50ms' });
    await eventually(() => log.messages('error').some((text) => text.includes('3 health checks failed')));
    await eventually(() => log.messages('info').filter((text) => text.includes(' runs: process ')).length >= 2);
    expect(await ask('user: admin\r\n')).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('after max_restarts starts in a row that failed Weir gives up, and says so', async () => {
    const folder = temporaryFolder({
      'once.sh': `#!/bin/sh\n[ -e "$0.done" ] && exit 7\ntouch "$0.done"\nexec '${process.execPath}' '${program}' check\n`,
    });
    const use = join(folder, 'once.sh');
    chmodSync(use, 0o755);
    const { ask, log } = await start([], { use, max_restarts: 3, timeout: '200ms' });
    expect(await ask('user: admin\r\n')).toMatch(/^HTTP\/1\.1 200 /);
    process.kill(Number(/process ([0-9]+) on/.exec(log.messages('info').join())?.[1]), 'SIGKILL');
    await eventually(() => log.messages('error').some((text) => text.endsWith('exit code 7; Weir gives up')));
    expect(log.messages('error').filter((text) => text.includes('it did not start'))).toHaveLength(2);
    expect(await ask('user: admin\r\n')).toMatch(/^HTTP\/1\.1 500 /);
  });

  test('two processes share the calls', async () => {
    const { ask } = await start(['echo'], { processes: 2 });
    const pids = new Set<string>();
    await eventually(async () => {
      const answers = await Promise.all([ask('', 'a'), ask('', 'b')]);
      for (const answer of answers) pids.add(/"pid":([0-9]+)/.exec(answer)?.[1] ?? '');
      return pids.size === 2;
    });
  });

  test.runIf(process.getuid?.() === 0)('it may run as another user', async () => {
    const folder = temporaryFolder({ 'who.sh': '#!/bin/sh\nid -un >&2\ntouch "$TMPDIR/mine" && exit 3\n' });
    for (const path of [folder, join(folder, 'who.sh')]) chmodSync(path, 0o755);
    await expect(start([], { use: join(folder, 'who.sh'), user: 'nobody' })).rejects.toThrow(
      /exit code 3; it wrote:\s+nobody/,
    );
  });

  test('limits of the system hold', async () => {
    const { ask } = await start(['echo'], { resources: { open_files: 64, address_space: '64GiB' } });
    const pid = /"pid":([0-9]+)/.exec(await ask('', 'a'))?.[1];
    const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
    expect(limits).toMatch(/Max open files +64 +64/);
    expect(limits).toMatch(/Max address space +68719476736/);
  });
});

const commandOf = (pid: string) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
};

describe('the end', () => {
  const alive = (pid: number) => existsSync(`/proc/${pid}`);
  const pidOf = async (weir: WeirProcess) => {
    await weir.until(' runs: process ');
    return Number(/ runs: process ([0-9]+)/.exec(weir.output)?.[1]);
  };
  const run = async (args: string[], more: Partial<Entry> = {}) => {
    const config = simpleConfig(9, { address: `127.0.0.1:${await freePort()}`, filters: [entry(args, more)] });
    const folder = temporaryFolder({ 'weir.json': JSON.stringify({ ...config, workers: 2 }) });
    // Where its sockets are: other tests run at the same time.
    const temporary = temporaryFolder();
    const weir = new WeirProcess(['run', join(folder, 'weir.json')], { env: { TMPDIR: temporary } });
    return { weir, sockets: () => readdirSync(temporary) };
  };

  test('one process serves all workers; it ends with Weir, even when it ignores SIGTERM', async () => {
    const { weir, sockets } = await run(['ignore-term'], { stop_timeout: '300ms' });
    const pid = await pidOf(weir);
    await weir.until('listening on');
    expect(weir.output.match(/ runs: process /g)).toHaveLength(1);
    weir.child.kill('SIGTERM');
    expect(await weir.exit()).toBe(0);
    expect(weir.output).toContain('not now');
    expect(alive(pid)).toBe(false);
    expect(sockets()).toEqual([]);
  });

  test('the admin API shows it, replaces it, takes it out of service and back', async () => {
    const [port, admin] = [await freePort(), await freePort()];
    const upstream = await startUpstream((_, response) => response.end('ok'));
    const config = simpleConfig(upstream.port, { address: `127.0.0.1:${port}`, filters: [entry(['check'])] });
    const text = JSON.stringify({ ...config, workers: 2, admin: { address: `127.0.0.1:${admin}` } });
    const weir = new WeirProcess(['run', '-'], { input: text });
    await weir.until('listening on');
    const status = async () => (await fetch(`http://127.0.0.1:${port}/`, { headers: { user: 'admin' } })).status;
    const api = (query: string, method = 'POST') => fetch(`http://127.0.0.1:${admin}/plugins${query}`, { method });
    interface Report {
      processes: { pid: number }[];
      mean_latency_ms: number;
    }
    const report = async () => ((await (await api('', 'GET')).json()) as [Report])[0];
    expect(await status()).toBe(200);
    const first = await report();
    expect(first).toMatchObject({ name: 'web/checker', state: 'running', restarts: 0, calls: 1, failed_calls: 0 });
    expect(first.mean_latency_ms).toBeGreaterThan(0);
    const { pid } = first.processes[0] as { pid: number };
    expect(await (await api('?restart=web/checker')).text()).toBe('web/checker: restarted\n');
    expect((await report()).processes[0]?.pid).not.toBe(pid);
    expect(await status()).toBe(200);
    await eventually(() => !alive(pid));
    await api('?disable=web/checker');
    expect(await report()).toMatchObject({ state: 'disabled', processes: [] });
    expect(await status()).toBe(500);
    await weir.until('none of its processes takes calls: it was disabled by the admin API');
    await api('?enable=web/checker');
    expect(await status()).toBe(200);
    expect((await api('?restart=nobody')).status).toBe(400);
    expect(await (await api('?restart=nobody')).text()).toBe('there is no plugin nobody; there are: web/checker\n');
    expect((await api('')).status).toBe(400);
  });

  test('no process and no socket is left when Weir is killed', async () => {
    const { weir, sockets } = await run(['check']);
    const pid = await pidOf(weir);
    await weir.until('listening on');
    expect(sockets()).toHaveLength(1);
    weir.child.kill('SIGKILL');
    await weir.exit();
    await eventually(() => !alive(pid));
    await eventually(() => sockets().length === 0);
  });

  test('Weir as process 1 of a container: the plugin lives, and ends with it', async () => {
    const own = fileURLToPath(new URL('../conformance/filters/plugin/canonical.ts', import.meta.url));
    const entryOf = { use: own, name: 'checker', runtime: 'plugin', config: { case: 'add-header' } };
    const config = simpleConfig(9, { address: `127.0.0.1:${await freePort()}`, filters: [entryOf] });
    const folder = temporaryFolder({ 'weir.json': JSON.stringify({ ...config, workers: 1 }) });
    const cli = fileURLToPath(new URL('../../src/cli/weir.ts', import.meta.url));
    const command = [process.execPath, '--conditions=source', cli, 'run', join(folder, 'weir.json')];
    const weir = spawn('unshare', ['--pid', '--fork', '--kill-child', ...command], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    onCleanup(() => weir.kill('SIGKILL'));
    let output = '';
    weir.stderr.on('data', (text) => {
      output += text;
    });
    await eventually(() => output.includes('listening on') || weir.exitCode !== null);
    // A system that gives no process namespaces has nothing to show here; others must.
    if (/unshare|Operation not permitted/.test(output)) return;
    const outside = () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(own));
    expect(outside()).toHaveLength(1);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(outside()).toHaveLength(1);
    weir.kill('SIGKILL');
    await eventually(() => outside().length === 0);
  });

  test('a start that fails ends `weir run` with code 2 and the place', async () => {
    const { weir } = await run(['exit']);
    expect(await weir.exit()).toBe(2);
    expect(weir.output).toMatch(
      /weir\.json:1:[0-9]+: error: the plugin .* does not run: .*exit code 3; it wrote:\s+there is no license file/,
    );
  });

  test('a changed program is started beside the old one, which ends after it', async () => {
    const folder = temporaryFolder({ 'one.sh': `#!/bin/sh\nexec '${process.execPath}' '${program}' check\n` });
    const use = join(folder, 'one.sh');
    chmodSync(use, 0o755);
    const { weir } = await run([], { use });
    const first = await pidOf(weir);
    await weir.until('listening on');
    writeFileSync(use, `#!/bin/sh\nexec '${process.execPath}' '${program}' exit\n`);
    await weir.until('the new configuration was refused');
    expect(alive(first)).toBe(true);
    writeFileSync(use, `#!/bin/sh\nexec '${process.execPath}' '${program}' check # 2\n`);
    await weir.until('configuration 2 is in force');
    await eventually(() => !alive(first));
    expect(weir.output.match(/ runs: process /g)).toHaveLength(2);
  });
});
