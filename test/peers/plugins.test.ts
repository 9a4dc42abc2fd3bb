/**
 * Plugins by other people's means: programs that know MOSN's contract only (go-plugin in the version that MOSN has, grpcio), the SDKs for Python, Go and
 * Java, curl and openssl as clients.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PLUGIN, testCanonical } from '../conformance/filters/suite.ts';
import { makeCertificate } from '../support/certificates.ts';
import { onCleanup, simpleConfig, startProxy } from '../support/proxy.ts';
import { startUpstream } from '../support/upstream.ts';
import { eventually, freePort, WeirProcess } from '../support/weir-process.ts';
import { CASES, type ExtProcCase, type Outcome } from './plugins/ext-proc/cases.ts';
import { exchange, Upstream } from './plugins/ext-proc/run.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const sdk = join(root, 'runtimes/plugin/sdk');
const filters = join(root, 'test/conformance/filters/plugin');
const built = mkdtempSync(join(tmpdir(), 'weir-plugins-'));
const python = join(root, '.venv/bin');

/** An executable that runs `command` with what it is given. */
function script(name: string, command: string): string {
  const file = join(built, name);
  writeFileSync(file, `#!/bin/sh\nexec ${command} "$@"\n`);
  chmodSync(file, 0o755);
  return file;
}

const go = (folder: string, output: string) =>
  execFileSync('go', ['build', '-o', output, '.'], {
    cwd: folder,
    stdio: 'inherit',
    env: { ...process.env, CGO_ENABLED: '0' },
  });
const maven = (folder: string, goal: string) =>
  execFileSync('mvn', ['-q', '-B', goal], { cwd: folder, stdio: 'inherit' });

describe.runIf(process.env.WEIR_PEERS === '1')('plugins', () => {
  const mosn = { go: join(built, 'mosn-go'), python: join(built, 'mosn-python') };
  const canonical = {
    go: join(built, 'canonical-go'),
    python: join(built, 'canonical-python'),
    java: join(built, 'canonical-java'),
  };

  beforeAll(async () => {
    go(join(root, 'test/peers/plugins/mosn-go'), mosn.go);
    script('mosn-python', `${python}/python3 ${join(root, 'test/peers/plugins/mosn.py')}`);
    go(join(filters, 'go'), canonical.go);
    script('canonical-python', `${python}/python3 ${join(filters, 'canonical.py')}`);
    // Built from a copy, so that nothing of Maven's stays in the checkout.
    const filter = (path: string) => !path.endsWith('/target');
    await cp(sdk, join(built, 'runtimes/plugin/sdk'), { recursive: true, filter });
    await cp(join(root, 'runtimes/plugin/proto'), join(built, 'runtimes/plugin/proto'), { recursive: true });
    maven(join(built, 'runtimes/plugin/sdk/java'), 'install');
    mkdirSync(join(built, 'java'));
    await cp(join(filters, 'java'), join(built, 'java'), { recursive: true, filter });
    maven(join(built, 'java'), 'package');
    script(
      'canonical-java',
      `java -cp '${built}/java/target/canonical-1.jar:${built}/java/target/lib/*' canonical.Main`,
    );
  }, 300_000);
  afterAll(() => rmSync(built, { recursive: true }));

  for (const language of ['python', 'go', 'java'] as const) {
    testCanonical(`with the SDK for ${language}`, {
      ...PLUGIN,
      use: canonical[language],
      choose: (name) => ({ runtime: 'plugin', start_timeout: '30s', timeout: '5s', config: { case: name } }),
    });
  }

  test.each(['python', 'go', 'java'] as const)('an access logger with the SDK for %s', async (language) => {
    const file = join(built, `log-${language}`);
    const logger = {
      use: canonical[language],
      runtime: 'plugin',
      start_timeout: '30s',
      timeout: '5s',
      config: { file },
    };
    const upstream = await startUpstream((_, response) => response.end('ok'));
    const { port } = await startProxy(simpleConfig(upstream.port, { access_log: { logger } } as object));
    await Promise.all(['/a', '/b'].map((path) => fetch(`http://127.0.0.1:${port}${path}`)));
    const lines = () => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').sort() : []);
    await eventually(() => lines().length === 2);
    expect(lines()).toEqual(['200 /a web', '200 /b web']);
  });

  test.each(['python', 'go', 'java'] as const)('a load balancer with the SDK for %s', async (language) => {
    const [one, two] = [
      await startUpstream((_, response) => response.end('one')),
      await startUpstream((_, response) => response.end('two')),
    ];
    const load_balancing = { use: canonical[language], runtime: 'plugin', start_timeout: '30s', timeout: '5s' };
    const endpoints = [`127.0.0.1:${one.port}`, { address: `127.0.0.1:${two.port}`, metadata: { chosen: true } }];
    const { port } = await startProxy(simpleConfig(one.port, {}, { endpoints, load_balancing } as object));
    await eventually(async () => {
      const all = await Promise.all(
        Array.from({ length: 20 }, async () => (await fetch(`http://127.0.0.1:${port}/`)).text()),
      );
      return all.every((text) => text === 'two');
    });
  });

  describe.each(['go', 'python'] as const)('a program for MOSN in %s', (language) => {
    const entry = (args: string[]) => ({
      use: mosn[language],
      runtime: 'plugin',
      protocol: 'mosn',
      args,
      start_timeout: '30s',
    });

    test('is a filter', async () => {
      const config = join(built, `check-${language}.json`);
      writeFileSync(config, '{"User":"admin"}');
      const upstream = await startUpstream((_, response) => response.end('ok'));
      const { port, log } = await startProxy(simpleConfig(upstream.port, { filters: [entry(['-c', config])] }));
      const status = async (...headers: string[]) =>
        (await run('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', ...headers, `http://127.0.0.1:${port}/`]))
          .stdout;
      expect(await status()).toBe('403');
      expect(await status('-H', 'user: admin')).toBe('200');
      const pid = Number(/process ([0-9]+) on/.exec(log.messages('info').join())?.[1]);
      process.kill(pid, 'SIGKILL');
      // Python takes longer to start than a call may.
      await eventually(async () => (await status('-H', 'user: admin')) === '200');
      expect(await status()).toBe('403');
    });

    test('is a source of certificates', async () => {
      const { cert, key } = await makeCertificate({ names: ['localhost'] });
      const files = { cert: join(built, `${language}.crt`), key: join(built, `${language}.key`) };
      writeFileSync(files.cert, cert);
      writeFileSync(files.key, key);
      const options =
        language === 'go' ? ['-cert', files.cert, '-key', files.key] : ['--cert', files.cert, '--key', files.key];
      const upstream = await startUpstream((_, response) => response.end('ok'));
      const { port } = await startProxy(
        simpleConfig(upstream.port, { tls: { provider: entry(options), provider_timeout: '5s' } }),
      );
      const curl = (...args: string[]) =>
        run('curl', ['-sS', ...args]).then(
          ({ stdout }) => stdout,
          ({ code }) => `curl ${code}`,
        );
      // As MOSN's demo: self-signed is refused, -k takes it, plain HTTP gets an empty reply.
      expect(await curl(`https://localhost:${port}/`)).toBe('curl 60');
      expect(await curl('-k', `https://127.0.0.1:${port}/`)).toBe('ok');
      expect(await curl('--cacert', files.cert, `https://localhost:${port}/`)).toBe('ok');
      expect(await curl(`http://127.0.0.1:${port}/`)).toMatch(/curl (52|56)/);
      const { stdout } = await run('sh', [
        '-c',
        `openssl s_client -connect 127.0.0.1:${port} -servername localhost </dev/null 2>/dev/null`,
      ]);
      expect(stdout).toContain('Verification error: self-signed certificate');
      expect(stdout).toMatch(/New, TLSv1\.3, Cipher is TLS_AES_256_GCM_SHA384/);
    });
  });

  describe('a processor on Envoy’s Go protos', () => {
    const upstreamGets = (headers: Record<string, string | undefined>) => (expected: Outcome) => {
      const all = { ...expected.upstream?.headers, ...headers };
      const given = Object.entries(all).filter(([, value]) => value !== undefined);
      return { ...expected, upstream: { ...expected.upstream, headers: Object.fromEntries(given) } };
    };
    // Envoy reads `raw_value` and nothing else; here `value` counts where that is empty.
    const plainValue = upstreamGets({ 'x-plain': 'text' });
    // Envoy sends a body that replaces another chunked; here its length is known.
    const length = upstreamGets({ 'content-length': '16' });
    /** Where Weir does it otherwise on purpose. */
    const OTHERWISE: Readonly<Record<string, (expected: Outcome) => unknown>> = {
      'edit-headers': plainValue,
      'edit-headers-none-there': plainValue,
      replace: length,
      'replace-no-body-mode': length,
      'replace-without-body': length,
      'replace-response': (expected) => ({ ...expected, headers: { ...expected.headers, 'content-length': '14' } }),
      // Envoy had the whole body before the headers' answer, and so held them; Weir lets headers go before a streamed body.
      'body-and-header-streamed': (expected) => {
        const { 'x-length': _, ...headers } = expected.headers;
        return { ...upstreamGets({ 'x-length': undefined })(expected), headers };
      },
    };
    const expectedOf = ({ id }: ExtProcCase) => (OTHERWISE[id] ?? ((same: Outcome) => same))(recorded[id] as Outcome);
    const processor = join(built, 'ext-proc');
    const recorded = JSON.parse(readFileSync(join(root, 'test/peers/plugins/ext-proc/recorded.json'), 'utf8'));
    beforeAll(() => go(join(root, 'test/peers/plugins/ext-proc'), processor), 120_000);

    async function outcome(one: ExtProcCase, entry: object, clusters: object[] = []) {
      const upstream = new Upstream();
      onCleanup(() => upstream.close());
      const filters = [{ name: 'ext_proc', runtime: 'plugin', protocol: 'ext_proc', config: one.config, ...entry }];
      const config = simpleConfig(await upstream.listen(), { filters } as object);
      const { port } = await startProxy({ ...config, clusters: [...(config.clusters ?? []), ...clusters] as [] });
      return exchange(port, upstream, one);
    }

    test.each(CASES)('as Envoy: $id', async (one) => {
      expect(await outcome(one, { use: processor })).toEqual(expectedOf(one));
    });

    test.each(CASES.filter(({ id }) => ['edit-headers', 'upper-streamed', 'immediate', 'close'].includes(id)))(
      'as a service behind a cluster: $id',
      async (one) => {
        const port = await freePort();
        const service = spawn(processor, ['-listen', `127.0.0.1:${port}`], { stdio: ['ignore', 'pipe', 'inherit'] });
        onCleanup(() => service.kill('SIGKILL'));
        await once(service.stdout, 'data');
        const clusters = [{ name: 'processor', endpoints: [`127.0.0.1:${port}`] }];
        const weir = { ...one, config: { grpc_service: { envoy_grpc: { cluster_name: 'processor' } }, ...one.config } };
        expect(await outcome(weir, {}, clusters)).toEqual(expectedOf(one));
      },
    );
  });

  describe.each(['plugin-auth', 'plugin-certificates'])('examples/%s', (name) => {
    const folder = join(root, 'examples', name);
    const program = name === 'plugin-auth' ? 'checker' : 'loader';
    test.each(['python', 'go', 'java'])('in %s', async (language) => {
      if (language === 'go') go(join(folder, 'go'), join(folder, 'go', program));
      if (language === 'java') maven(join(folder, 'java'), 'package');
      const upstream = createServer((_, response) => void response.end('ok')).listen(8080, '127.0.0.1');
      onCleanup(() => upstream.close());
      const env = { PATH: `${python}:${process.env.PATH}` };
      const weir = new WeirProcess(['run', join(folder, `${language}.yaml`)], { env });
      await weir.until('listening on');
      const { checks } = await import(join(folder, 'check.ts'));
      for (const { url, send, status, body } of checks) {
        const headers = Object.entries(send ?? {}).flatMap(([key, value]) => ['-H', `${key}: ${value}`]);
        // The program may start after Weir has begun to listen.
        await eventually(async () => {
          const { stdout } = await run('curl', ['-sk', '-w', '%{http_code}', ...headers, url]).catch(() => ({
            stdout: '',
          }));
          if (stdout !== '') expect(stdout).toBe(`${body ?? 'ok'}${status}`);
          return stdout !== '';
        });
      }
      weir.child.kill('SIGTERM');
      expect(await weir.exit()).toBe(0);
    });
  });

  test('the descriptor that Python ships is the protocol', async () => {
    const file = join(built, 'descriptor.binpb');
    const args = [
      '-m',
      'grpc_tools.protoc',
      `-I${root}/runtimes/plugin/proto`,
      `--descriptor_set_out=${file}`,
      'weir_plugin.proto',
    ];
    await run(join(python, 'python3'), args);
    const shipped = readFileSync(join(sdk, 'python/weir_plugin/weir_plugin.binpb'));
    expect(shipped.equals(readFileSync(file))).toBe(true);
  });
});
