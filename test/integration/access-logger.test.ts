/** Access loggers that are extensions: a module, a plugin; their failures harm no stream. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { startUpstream } from '../support/upstream.ts';
import { eventually, temporaryFolder } from '../support/weir-process.ts';

const program = fileURLToPath(new URL('../support/plugins/logger.ts', import.meta.url));

async function start(logger: object, files: Record<string, string> = {}) {
  const folder = temporaryFolder(files);
  const upstream = await startUpstream((_, response) => response.end('ok'));
  const config = simpleConfig(upstream.port, { access_log: { logger } } as object);
  const running = await startProxy(config, folder);
  return { ...running, folder, get: (path: string) => fetch(`http://127.0.0.1:${running.port}${path}`) };
}

const lines = (file: string) =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    : [];

test('a module', async () => {
  const out = join(temporaryFolder(), 'log');
  const { get } = await start(
    { use: './log.mjs', config: { out } },
    {
      'log.mjs': `import { appendFileSync } from 'node:fs';
      export const createAccessLogger = ({ out }) => ({ log({ info, requestHeaders, responseHeaders }) {
        appendFileSync(out, JSON.stringify({ status: info.responseCode, path: requestHeaders.get(':path'),
          length: responseHeaders.get('content-length') }) + '\\n'); } });`,
    },
  );
  await get('/a');
  await get('/b');
  await eventually(() => lines(out).length === 2);
  expect(lines(out)).toEqual([
    { status: 200, path: '/a', length: '2' },
    { status: 200, path: '/b', length: '2' },
  ]);
});

test('one that throws is counted and named, and changes nothing', async () => {
  const { get, log, proxy } = await start(
    { use: './log.mjs' },
    {
      'log.mjs': "export const createAccessLogger = () => ({ log() { throw new Error('disk full'); } });",
    },
  );
  expect((await get('/')).status).toBe(200);
  expect((await get('/')).status).toBe(200);
  const dropped = proxy.metrics.counter('weir_access_log_dropped_total', '', { listener: 'web' });
  await eventually(() => dropped.value === 2);
  expect(log.messages('error')).toEqual(['access logger log.mjs failed: disk full']);
});

test('a plugin gets all of them, several at a time', async () => {
  const out = join(temporaryFolder(), 'log');
  const { get } = await start({ use: program, runtime: 'plugin', config: { file: out } });
  await Promise.all(Array.from({ length: 250 }, (_, i) => get(`/${i}`)));
  await eventually(() => lines(out).length === 250);
  expect(new Set(lines(out).map(({ path }) => path)).size).toBe(250);
  expect(lines(out)[0]).toMatchObject({ status: 200, timed: true, metadata: {} });
});

test('what is no access logger is refused', async () => {
  await expect(start({ use: './none.mjs' })).rejects.toThrow('there is no file ./none.mjs');
  await expect(start({ use: './log.mjs' }, { 'log.mjs': '' })).rejects.toThrow(
    'does not export a function createAccessLogger',
  );
  await expect(start({ use: program, runtime: 'plugin', protocol: 'mosn' })).rejects.toThrow('has no access logs');
  await expect(start({ use: 'headers' })).rejects.toThrow('the runtime `native` has no access loggers');
});
