/** Modules with `isolate: worker`: what a thread of its own may do, and what it can not do to others. */
import { expect, test } from 'vitest';
import type { ConfigInput } from '../../src/main.ts';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { startUpstream } from '../support/upstream.ts';
import { eventually, temporaryFolder } from '../support/weir-process.ts';

type Entry = NonNullable<NonNullable<ConfigInput['listeners']>[number]['filters']>[number];

async function start(body: string, more: Partial<Entry> = {}) {
  const folder = temporaryFolder({
    'm.mjs': `export const createStreamFilterFactory = (config, host) => { ${body} };`,
  });
  const upstream = await startUpstream((_, response) => response.end('ok'));
  const bad: Entry = { use: './m.mjs', isolate: 'worker', match: { prefix: '/bad' }, ...more };
  const running = await startProxy(simpleConfig(upstream.port, { filters: [bad] }), folder);
  const ask = (path: string, headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${running.port}${path}`, { headers });
  return { ...running, ask, upstream };
}

test('an endless loop costs its thread, not the worker: others are answered meanwhile, and it is started again', async () => {
  const { ask, log } = await start(
    `return { create: () => ({ onRequestHeaders(headers) { if (headers.get('x-loop') !== undefined) for (;;); } }) };`,
    { limits: { time: '400ms' } },
  );
  expect((await ask('/bad')).status).toBe(200);
  const looping = ask('/bad', { 'x-loop': '1' });
  for (let i = 0; i < 20; i++) {
    const started = performance.now();
    expect((await ask('/good')).status).toBe(200);
    expect(performance.now() - started).toBeLessThan(250);
  }
  expect((await looping).status).toBe(500);
  await eventually(() =>
    log.messages('error').some((text) => /it was busy for 0\.\d s without a pause; it is started again/.test(text)),
  );
  await eventually(async () => (await ask('/bad')).status === 200);
});

test('memory without end costs its thread, not the worker', async () => {
  const { ask, log } = await start(
    `return { create: () => ({ onRequestHeaders(headers) {
      if (headers.get('x-eat') === undefined) return;
      const all = []; for (;;) all.push({ text: String(Math.random()) });
    } }) };`,
    { limits: { memory: '32MiB', time: '20s' } },
  );
  expect((await ask('/bad', { 'x-eat': '1' })).status).toBe(500);
  expect(log.messages('error').join('\n')).toContain("the module's thread ended: it is out of memory");
  await eventually(async () => (await ask('/bad')).status === 200);
});

test('process.exit and an error outside of a hook end the thread alone', async () => {
  const { ask, log } = await start(
    `return { create: () => ({ onRequestHeaders(headers) {
      if (headers.get('x-how') === 'exit') process.exit(3);
      if (headers.get('x-how') === 'late') setTimeout(() => { throw new Error('too late'); }, 1);
      if (headers.get('x-how') === 'late') return new Promise(() => {});
    } }) };`,
  );
  expect((await ask('/bad', { 'x-how': 'exit' })).status).toBe(500);
  await eventually(async () => (await ask('/bad')).status === 200);
  expect((await ask('/bad', { 'x-how': 'late' })).status).toBe(500);
  expect(log.messages('error').join('\n')).toContain('too late');
  await eventually(async () => (await ask('/bad')).status === 200);
});

test('timers, metadata, metrics, logs and stops work as in the worker', async () => {
  const { ask, log, proxy, upstream } = await start(
    `const seen = host.counter('seen');
    return { create: (stream) => ({
      onRequestHeaders(headers) {
        seen.add(2);
        stream.log.info('for ' + stream.info.listener + ' ' + headers.get(':path'));
        stream.metadata.set('isolated', 'key', { a: 1 });
        headers.add('x-twice', '1');
        headers.add('x-twice', '2');
        stream.setTimer(30, () => {
          headers.set('x-metadata', JSON.stringify(stream.metadata.get('isolated')));
          stream.continueRequest();
        });
        return 'Stop';
      },
      onResponseHeaders(headers) { headers.set('x-path', stream.requestHeaders.get(':path')); },
    }) };`,
  );
  const answer = await ask('/bad');
  expect(answer.headers.get('x-path')).toBe('/bad');
  expect(upstream.seen[0]?.headers).toMatchObject({ 'x-metadata': '{"key":{"a":1}}', 'x-twice': '1, 2' });
  expect(log.messages('info')).toContain('for web /bad');
  const labels = { filter: 'm.mjs', listener: 'web' };
  expect(proxy.metrics.counter('weir_filter_seen', '', labels).value).toBe(2);
});

test('what it can not have is an error with its name', async () => {
  await expect(start(`host.shared('x');`)).rejects.toThrow('`isolate: worker` has no shared data');
  await expect(start('return 1;')).rejects.toThrow('returned nothing with a method `create`');
  await expect(start('return 1;', { isolate: 'process' })).rejects.toThrow('`isolate` is `worker`, or is left out');
});
