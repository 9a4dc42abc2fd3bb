/** Round trips through programs that no one here wrote: curl before the proxy, nginx behind it. Run by `.ci/run`, which installs both. */
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, expect, test } from 'vitest';
import { onCleanup, simpleConfig, startProxy } from '../support/proxy.ts';
import { eventually, freePort, temporaryFolder } from '../support/weir-process.ts';

const run = promisify(execFile);
const BIG = 20 * 1024 * 1024;

let folder: string;
let url: string;

/** An nginx with a large file, chunked and gzipped answers, uploads that it keeps, and a proxy before it. */
beforeEach(async () => {
  const port = await freePort();
  folder = temporaryFolder();
  chmodSync(folder, 0o777);
  for (const name of ['www', 'up']) mkdirSync(join(folder, name), { mode: 0o777 });
  chmodSync(join(folder, 'up'), 0o777);
  writeFileSync(join(folder, 'www/big'), randomBytes(BIG));
  writeFileSync(join(folder, 'www/text.html'), '<p>hello</p>\n'.repeat(5000));
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; user root;
events {}
http { access_log off; gzip on; gzip_types text/html; types { text/html html; } default_type application/octet-stream;
  client_max_body_size 100m; client_body_temp_path ${folder}/up;
  server { listen 127.0.0.1:${port}; root ${folder}/www; keepalive_requests 3;
    location /put/ { alias ${folder}/up/; dav_methods PUT; }
    location /gone { return 410 "gone\\n"; }
    location /moved { return 302 /big; } } }`,
  );
  const nginx = spawn('nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')], { stdio: 'inherit' });
  const ended = new Promise((resolve) => nginx.once('close', resolve));
  onCleanup(async () => {
    nginx.kill();
    await ended;
  });
  await eventually(() =>
    fetch(`http://127.0.0.1:${port}/gone`).then(
      () => true,
      () => false,
    ),
  );
  const proxy = await startProxy(simpleConfig(port));
  url = `http://127.0.0.1:${proxy.port}`;
});

async function curl(...args: string[]): Promise<string> {
  const { stdout } = await run('curl', ['-sS', '--max-time', '20', ...args], { maxBuffer: 1e8 });
  return stdout;
}

const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('a large file arrives unchanged, whole and in ranges', async () => {
  await curl('-o', join(folder, 'copy'), `${url}/big`);
  const original = readFileSync(join(folder, 'www/big'));
  expect(digest(readFileSync(join(folder, 'copy')))).toBe(digest(original));
  await curl('-r', '1000-1999', '-o', join(folder, 'part'), `${url}/big`);
  expect(digest(readFileSync(join(folder, 'part')))).toBe(digest(original.subarray(1000, 2000)));
});

test('chunked and compressed answers pass', async () => {
  const headers = await curl('--compressed', '-D', '-', '-o', join(folder, 'text'), `${url}/text.html`);
  expect(headers.toLowerCase()).toContain('content-encoding: gzip');
  expect(headers.toLowerCase()).toContain('transfer-encoding: chunked');
  expect(readFileSync(join(folder, 'text'), 'utf8')).toBe('<p>hello</p>\n'.repeat(5000));
});

test('uploads arrive unchanged: by length, by chunks, with Expect: 100-continue', async () => {
  const file = join(folder, 'upload');
  writeFileSync(file, randomBytes(3_000_000));
  const variants = [[], ['-H', 'Transfer-Encoding: chunked'], ['-H', 'Expect: 100-continue'], ['-0']];
  for (const [i, more] of variants.entries()) {
    const status = await curl('-o', '/dev/null', '-w', '%{http_code}', '-T', file, ...more, `${url}/put/file-${i}`);
    expect(status, more.join(' ')).toBe('201');
    expect(digest(readFileSync(join(folder, 'up', `file-${i}`)))).toBe(digest(readFileSync(file)));
  }
});

test('many requests over kept connections, though nginx ends each after three', async () => {
  const codes = await curl('-o', '/dev/null', '-w', '%{http_code} %{num_connects}\n', `${url}/gone?[1-50]`);
  const lines = codes
    .trim()
    .split('\n')
    .filter((line) => /^\d+ \d$/.test(line));
  expect(lines).toHaveLength(50);
  expect(lines.every((line) => line.startsWith('410'))).toBe(true);
  expect(lines.reduce((sum, line) => sum + Number(line.split(' ')[1]), 0)).toBe(1);
});

test('HEAD, HTTP/1.0, redirects and conditional requests', async () => {
  expect(await curl('-I', `${url}/big`)).toMatch(/content-length: 20971520/i);
  expect(await curl('-0', `${url}/gone`)).toBe('gone\n');
  expect(await curl('-L', '-o', '/dev/null', '-w', '%{http_code} %{size_download}', `${url}/moved`)).toMatch(/^\d+ /);
  const etag = /etag: (.*)\r/i.exec(await curl('-I', `${url}/big`))?.[1] ?? '';
  expect(await curl('-o', '/dev/null', '-w', '%{http_code}', '-H', `If-None-Match: ${etag}`, `${url}/big`)).toBe('304');
});
