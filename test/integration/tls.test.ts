/** TLS on listeners: certificates from files and from providers, by names, their renewal, clients' certificates. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/main.ts';
import { makeCertificate } from '../support/certificates.ts';
import { onCleanup, simpleConfig, startProxy } from '../support/proxy.ts';
import { startUpstream } from '../support/upstream.ts';
import { eventually, freePort, temporaryFolder, WeirProcess } from '../support/weir-process.ts';

type Listener = NonNullable<ConfigInput['listeners']>[number];
type Tls = NonNullable<Listener['tls']>;

const ca = await makeCertificate({ ca: true, subject: 'CN=Test CA' });
const app = await makeCertificate({ names: ['app.test'], issuer: ca });
const wild = await makeCertificate({ names: ['*.wild.test'], issuer: ca });
const client = await makeCertificate({
  names: ['client.test'],
  uris: ['spiffe://test/client'],
  subject: 'CN=Client,O=Example',
  issuer: ca,
});
const loader = fileURLToPath(new URL('../support/plugins/mosn.mjs', import.meta.url));

const files = {
  'app.crt': app.cert + ca.cert,
  'app.key': app.key,
  'wild.crt': wild.cert,
  'wild.key': wild.key,
  'ca.crt': ca.cert,
};
const certificates = [
  { cert: 'app.crt', key: 'app.key' },
  { cert: 'wild.crt', key: 'wild.key' },
];

async function start(tls: Tls, listener: Partial<Listener> = {}, more: Record<string, string> = {}) {
  const folder = temporaryFolder({ ...files, ...more });
  const upstream = await startUpstream((seen, response) => response.end(`echo ${seen.body}`));
  const running = await startProxy(simpleConfig(upstream.port, { tls, ...listener }), folder);
  return { ...running, folder, upstream };
}

async function handshake(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port, host: '127.0.0.1', ca: ca.cert, servername: 'app.test', ...options });
  onCleanup(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

/** One request and its whole answer. */
async function ask(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = await handshake(port, options);
  socket.write('GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n');
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

const shown = (socket: TLSSocket) => socket.getPeerCertificate().subjectaltname;

describe('certificates from files', () => {
  test('a request over TLS 1.3 and 1.2; its scheme is https', async () => {
    const { port, upstream, proxy } = await start(
      { certificates },
      { filters: [{ use: 'scheme.lua' }] },
      {
        'scheme.lua': 'function envoy_on_request(h) h:headers():add("x-scheme", h:headers():get(":scheme")) end',
      },
    );
    for (const version of ['TLSv1.3', 'TLSv1.2'] as const) {
      expect(await ask(port, { minVersion: version, maxVersion: version })).toMatch(/^HTTP\/1\.1 200 /);
    }
    expect(upstream.seen[1]?.headers).toMatchObject({ 'x-scheme': 'https', 'x-forwarded-proto': 'https' });
    expect(proxy.metrics.counter('weir_tls_handshakes_total', '', { listener: 'web' }).value).toBe(2);
    await expect(ask(port, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' })).rejects.toThrow();
  });

  test('the name chooses the certificate, wildcards too; unknown names and none get the first', async () => {
    const { port } = await start({ certificates });
    const options = { rejectUnauthorized: false };
    expect(shown(await handshake(port, { servername: 'app.test' }))).toBe('DNS:app.test');
    expect(shown(await handshake(port, { servername: 'A.wild.test' }))).toBe('DNS:*.wild.test');
    expect(shown(await handshake(port, { servername: 'a.b.wild.test', ...options }))).toBe('DNS:app.test');
    expect(shown(await handshake(port, { servername: '', ...options }))).toBe('DNS:app.test');
  });

  test('the protocol is HTTP/1.1, sessions are resumed', async () => {
    const { port } = await start({ certificates, max_version: '1.2' });
    const socket = await handshake(port, { ALPNProtocols: ['h2', 'http/1.1'] });
    expect(socket.alpnProtocol).toBe('http/1.1');
    const session = socket.getSession() as Buffer;
    expect((await handshake(port, { session })).isSessionReused()).toBe(true);
  });

  test('large bodies in both directions', async () => {
    const { port } = await start({ certificates });
    const socket = await handshake(port);
    const body = 'x'.repeat(3 * 1024 * 1024);
    socket.write(`POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    let received = 0;
    for await (const chunk of socket) received += chunk.length;
    expect(received).toBeGreaterThan(body.length);
  });

  test.each([
    [{ certificates: [{ cert: 'app.crt', key: 'wild.key' }] }, 'the key does not belong to the certificate'],
    [{ certificates: [{ cert: 'app.key', key: 'app.key' }] }, 'the certificate is no PEM text'],
    [{ certificates: [{ cert: 'app.crt', key: 'app.crt' }] }, 'the key is no PEM text'],
    [{ certificates: [{ cert: 'none.crt', key: 'app.key' }] }, 'there is no file none.crt'],
    [{ certificates: [] }, '`tls:` needs `certificates:` or a `provider:`'],
    [{ certificates, ciphers: 'NOT-A-CIPHER' }, /cipher/],
    [{ certificates, require_client_certificate: true }, 'give `client_ca:`'],
    [{ certificates, min_version: '1.3', max_version: '1.2' }, 'min_version is above max_version'],
    [{ provider: { use: 'headers' } }, 'the runtime `native` has no certificates'],
    [{ provider: { use: './none.ts' } }, 'there is no file ./none.ts'],
  ] as [Tls, string | RegExp][])('%j is refused', async (tls, message) => {
    await expect(start(tls)).rejects.toThrow(message);
  });

  test('a client that sends nothing, or no TLS, is let go', async () => {
    const { port, proxy } = await start({ certificates, handshake_timeout: '100ms' });
    const silent = connectPlain(port, '127.0.0.1');
    await once(silent, 'close');
    const plain = connectPlain(port, '127.0.0.1').end('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    plain.resume();
    await once(plain, 'close');
    expect(proxy.metrics.counter('weir_tls_handshake_failures_total', '', { listener: 'web' }).value).toBe(2);
  });
});

describe("clients' certificates", () => {
  const own = { cert: client.cert, key: client.key };

  test('must be there, and come from the CA, when they are required', async () => {
    const { port } = await start({ certificates, client_ca: 'ca.crt', require_client_certificate: true });
    expect(await ask(port, own)).toMatch(/^HTTP\/1\.1 200 /);
    await expect(ask(port)).rejects.toThrow(/certificate required|socket hang up|ECONNRESET/i);
    const stranger = await makeCertificate({ names: ['stranger.test'] });
    const refused = ask(port, { cert: stranger.cert, key: stranger.key });
    expect(await refused.catch(() => '')).toBe('');
  });

  test('are what a script written for Envoy sees', async () => {
    const script = `function envoy_on_request(h)
      local ssl = h:streamInfo():downstreamSslConnection()
      local name = ssl:parsedSubjectPeerCertificate()
      local out = { ssl:peerCertificatePresented(), ssl:peerCertificateValidated(), ssl:uriSanPeerCertificate()[1],
        ssl:dnsSansPeerCertificate()[1], ssl:dnsSansLocalCertificate()[1], #ssl:uriSanLocalCertificate(),
        ssl:oidsPeerCertificate()[1], #ssl:sha256PeerCertificateDigest(), ssl:issuerPeerCertificate(),
        ssl:subjectPeerCertificate(), ssl:subjectLocalCertificate(), name:commonName(), name:organizationName(),
        ssl:validFromPeerCertificate() < ssl:expirationPeerCertificate(), #ssl:sessionId() > 0, ssl:ciphersuiteId(),
        ssl:ciphersuiteString(), ssl:tlsVersion(), h:streamInfo():requestedServerName(),
        ssl:urlEncodedPemEncodedPeerCertificate():sub(1, 22), h:connection():ssl():tlsVersion(),
        ssl:serialNumberPeerCertificate():match("^%x+$") ~= nil,
        #ssl:urlEncodedPemEncodedPeerCertificateChain() > #ssl:urlEncodedPemEncodedPeerCertificate() }
      for i, v in ipairs(out) do out[i] = tostring(v) end
      h:respond({[":status"] = "200"}, table.concat(out, "\\n"))
    end`;
    const listener = { filters: [{ use: 'ssl.lua' }] };
    const { port } = await start({ certificates, client_ca: 'ca.crt' }, listener, { 'ssl.lua': script });
    const answer = await ask(port, { ...own, cert: client.cert + ca.cert });
    expect(answer.slice(answer.indexOf('\r\n\r\n') + 4).split('\n')).toEqual([
      'true',
      'true',
      'spiffe://test/client',
      'client.test',
      'app.test',
      '0',
      '2.5.29.17',
      '64',
      'CN=Test CA',
      'O=Example,CN=Client',
      'CN=app.test',
      'Client',
      'Example',
      'true',
      'true',
      '0x1302',
      'TLS_AES_256_GCM_SHA384',
      'TLSv1.3',
      'app.test',
      '-----BEGIN%20CERTIFICA',
      'TLSv1.3',
      'true',
      'true',
    ]);
  });

  test('are asked for and shown to filters otherwise', async () => {
    const { port, upstream } = await start(
      { certificates, client_ca: 'ca.crt' },
      { filters: [{ use: 'show.mjs' }] },
      {
        'show.mjs': `export const createStreamFilterFactory = () => ({ create: (stream) => ({
        onRequestHeaders(headers) {
          const { version, cipher, serverName, peerCertificate: peer, localCertificate, peerVerified } = stream.info.tls;
          headers.set('x-tls', JSON.stringify({ version, cipher, serverName, peerVerified, subject: peer?.subject,
            issuer: peer?.issuer, uris: peer?.uris, names: peer?.dnsNames, local: localCertificate?.dnsNames,
            digest: peer?.sha256.length, pem: peer?.pem.includes('BEGIN CERTIFICATE') }));
        } }) });`,
      },
    );
    await ask(port, own);
    await ask(port);
    const [first, second] = upstream.seen.map(({ headers }) => JSON.parse(String(headers['x-tls'])));
    expect(first).toEqual({
      version: 'TLSv1.3',
      cipher: 'TLS_AES_256_GCM_SHA384',
      serverName: 'app.test',
      peerVerified: true,
      subject: 'O=Example,CN=Client',
      issuer: 'CN=Test CA',
      uris: ['spiffe://test/client'],
      names: ['client.test'],
      local: ['app.test'],
      digest: 64,
      pem: true,
    });
    expect(second).toMatchObject({ peerVerified: false, local: ['app.test'] });
    expect(second.subject).toBeUndefined();
  });
});

describe('certificates from a provider', () => {
  const MODULE = `import { readFileSync } from 'node:fs';
export function createCertificateProvider({ file, mode }) {
  let calls = 0;
  return { async provide(name, listener) {
    calls++;
    if (mode === 'none') return undefined;
    if (mode === 'throw') throw new Error('the vault is sealed');
    if (mode === 'hang') return new Promise(() => {});
    if (mode === 'bad') return { chain: 'no', key: 'SECRET' };
    return JSON.parse(readFileSync(file, 'utf8'))[name];
  } };
}`;
  const given = (certificate: typeof app) => ({ chain: certificate.cert, key: certificate.key });
  const provided = async (mode: string, more: Partial<Tls> = {}) => {
    const folder = temporaryFolder({ 'store.json': JSON.stringify({ 'app.test': given(app), '': given(wild) }) });
    const file = join(folder, 'store.json');
    const provider = { use: './provider.mjs', config: { file, mode } };
    return { ...(await start({ provider, provider_timeout: '200ms', ...more }, {}, { 'provider.mjs': MODULE })), file };
  };

  test('a module gives them by name; without a name, too', async () => {
    const { port } = await provided('file');
    expect(await ask(port)).toMatch(/^HTTP\/1\.1 200 /);
    expect(shown(await handshake(port, { servername: '', rejectUnauthorized: false }))).toBe('DNS:*.wild.test');
  });

  test.each([
    ['none', 'it has none for this name'],
    ['throw', 'the vault is sealed'],
    ['hang', 'no answer within 200 ms'],
    ['bad', 'the certificate is no PEM text'],
  ])('%s: the handshake fails by an alert, and the log says why', async (mode, message) => {
    const { port, log, proxy } = await provided(mode);
    await expect(ask(port)).rejects.toMatchObject({ code: expect.stringMatching(/ALERT|NO_SHARED_CIPHER|HANDSHAKE/) });
    expect(log.messages('error').join('\n')).toContain(`no certificate for app.test from provider.mjs: ${message}`);
    expect(JSON.stringify(log.lines)).not.toContain('SECRET');
    const failures = proxy.metrics.counter('weir_tls_provider_failures_total', '', { listener: 'web' }).value;
    expect(failures).toBeGreaterThan(0);
  });

  test('it is asked again, a new certificate takes the place of the old, a failure keeps the old', async () => {
    const { port, file, log } = await provided('file', { provider_refresh: '1s' });
    const serial = async () => (await handshake(port)).getPeerCertificate().serialNumber;
    const before = await serial();
    writeFileSync(file, '{ broken');
    await eventually(async () => {
      expect(await serial()).toBe(before);
      return log.messages('error').some((text) => text.endsWith('the old one stays'));
    });
    const next = await makeCertificate({ names: ['app.test'], issuer: ca });
    writeFileSync(file, JSON.stringify({ 'app.test': given(next) }));
    await eventually(async () => (await serial()) !== before);
  });

  test('a certificate that has run out is not shown', async () => {
    const { port, file } = await provided('file', { provider_refresh: '1s' });
    const short = await makeCertificate({ names: ['short.test'], issuer: ca, life: 2000 });
    writeFileSync(file, JSON.stringify({ 'short.test': given(short) }));
    expect(shown(await handshake(port, { servername: 'short.test' }))).toBe('DNS:short.test');
    writeFileSync(file, '{}');
    await eventually(async () =>
      handshake(port, { servername: 'short.test', rejectUnauthorized: false }).then(
        () => false,
        () => true,
      ),
    );
  });

  test("MOSN's loader: a program gives the certificate, and its key is never seen", async () => {
    const pair = JSON.stringify({ cert_pem: app.cert, key_pem: app.key, ca_pem: '' });
    const folder = temporaryFolder({ 'pair.json': pair });
    const provider = {
      use: loader,
      runtime: 'plugin',
      protocol: 'mosn',
      args: ['certificate', join(folder, 'pair.json')],
      stop_timeout: '1s',
    };
    const { port, log } = await start({ provider });
    expect(await ask(port)).toMatch(/^HTTP\/1\.1 200 /);
    expect(shown(await handshake(port, { servername: '', rejectUnauthorized: false }))).toBe('DNS:app.test');
    const secret = app.key.split('\n')[1] as string;
    expect(JSON.stringify(log.lines)).not.toContain(secret);
  });

  test('a program that is down at the start, and comes up later', async () => {
    const pair = JSON.stringify({ cert_pem: app.cert, key_pem: app.key });
    const folder = temporaryFolder({});
    const provider = {
      use: loader,
      runtime: 'plugin',
      protocol: 'mosn',
      args: ['certificate', join(folder, 'pair.json')],
    };
    const { port, log } = await start({ provider, provider_timeout: '300ms' });
    await expect(ask(port)).rejects.toMatchObject({ code: expect.stringMatching(/ALERT/) });
    expect(log.messages('error').join('\n')).toMatch(
      /it ended before its handshake: exit code 1; it wrote:[\s\S]*ENOENT/,
    );
    writeFileSync(join(folder, 'pair.json'), pair);
    await eventually(async () =>
      ask(port).then(
        (text) => text.startsWith('HTTP/1.1 200'),
        () => false,
      ),
    );
  });
});

describe('in a process of its own', () => {
  test('files are read again when they change; the admin API shows no key', async () => {
    const [port, admin] = [await freePort(), await freePort()];
    const folder = temporaryFolder(files);
    const upstream = await startUpstream((_, response) => response.end('ok'));
    const config = simpleConfig(upstream.port, { address: `127.0.0.1:${port}`, tls: { certificates } });
    const file = join(folder, 'weir.json');
    writeFileSync(file, JSON.stringify({ ...config, workers: 2, admin: { address: `127.0.0.1:${admin}` } }));
    const weir = new WeirProcess(['run', file]);
    await weir.until('listening on');
    const serial = async () => (await handshake(port)).getPeerCertificate().serialNumber;
    const before = await serial();
    writeFileSync(join(folder, 'app.crt'), wild.cert);
    await weir.until('the new configuration was refused');
    expect(weir.output).toMatch(/weir\.json:1:\d+: error: the key does not belong to the certificate/);
    expect(await serial()).toBe(before);
    const next = await makeCertificate({ names: ['app.test'], issuer: ca });
    writeFileSync(join(folder, 'app.crt'), next.cert);
    writeFileSync(join(folder, 'app.key'), next.key);
    await eventually(async () => (await serial()) !== before);
    // Workers resume each other's sessions.
    const first = await handshake(port, { maxVersion: 'TLSv1.2' });
    const session = first.getSession() as Buffer;
    for (let i = 0; i < 6; i++) {
      expect((await handshake(port, { maxVersion: 'TLSv1.2', session })).isSessionReused()).toBe(true);
    }
    const dump = await (await fetch(`http://127.0.0.1:${admin}/config_dump`)).text();
    expect(dump).toContain('app.crt');
    expect(dump + weir.output).not.toContain('PRIVATE KEY');
  });
});
