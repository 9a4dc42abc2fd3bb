/** The store that workers share: values, times to live, versions, fullness, and several threads at once. */
import { Worker } from 'node:worker_threads';
import { expect, test, vi } from 'vitest';
import { createSharedMemory, SharedDataFullError, SharedStore } from '../../src/shared-data.ts';

const store = (bytes = 64 * 1024) => new SharedStore(createSharedMemory(bytes));

test('values are kept, replaced by shorter and longer ones, and deleted; namespaces do not meet', () => {
  const all = store();
  const [a, b] = [all.namespace('a'), all.namespace('b')];
  a.set('k', 'one');
  b.set('k', 'other');
  expect(a.get('k')?.value).toBe('one');
  a.set('k', 'x'.repeat(1000));
  expect(a.get('k')?.value).toBe('x'.repeat(1000));
  a.set('k', '\0\xff');
  expect(a.get('k')?.value).toBe('\0\xff');
  expect(a.delete('k')).toBe(true);
  expect(a.delete('k')).toBe(false);
  expect(a.get('k')).toBeUndefined();
  expect(b.get('k')?.value).toBe('other');
  expect(all.size).toBe(1);
});

test('compareAndSet sets only what nobody has changed', () => {
  const data = store().namespace('');
  expect(data.compareAndSet('k', 0, 'first')).toBe(true);
  expect(data.compareAndSet('k', 0, 'again')).toBe(false);
  const version = data.get('k')?.version ?? 0;
  data.set('k', 'changed');
  expect(data.compareAndSet('k', version, 'stale')).toBe(false);
  expect(data.compareAndSet('k', data.get('k')?.version ?? 0, 'fresh')).toBe(true);
  expect(data.get('k')?.value).toBe('fresh');
});

test('values expire, and a window of increments ends when it was to end', () => {
  vi.useFakeTimers({ now: 1_000_000 });
  try {
    const data = store().namespace('');
    data.set('short', 'v', 1000);
    expect(data.increment('n', 2, 1000)).toBe(2);
    vi.setSystemTime(1_000_900);
    expect(data.increment('n', 3, 1000)).toBe(5);
    expect(data.get('short')?.value).toBe('v');
    vi.setSystemTime(1_001_001);
    expect(data.get('short')).toBeUndefined();
    expect(data.increment('n', 1, 1000)).toBe(1);
  } finally {
    vi.useRealTimers();
  }
});

test('a full store says so, keeps what it has, and takes the place of what has expired', async () => {
  const all = store(16 * 1024);
  const data = all.namespace('');
  const fill = (ttl?: number) => {
    let i = 0;
    try {
      for (; i < 10_000; i++) data.set(`k${i}`, 'v'.repeat(50), ttl);
    } catch (error) {
      expect(error).toBeInstanceOf(SharedDataFullError);
    }
    return i;
  };
  const count = fill(5);
  expect(count).toBeGreaterThan(80);
  expect(data.get('k0')?.value ?? 'v'.repeat(50)).toBe('v'.repeat(50));
  await vi.waitFor(() => expect(data.get('k0')).toBeUndefined());
  expect(fill()).toBe(count);
  for (let i = 0; i < count; i++) data.delete(`k${i}`);
  expect(all.size).toBe(0);
  expect(fill()).toBe(count);
  expect(() => data.set('k'.repeat(2000), 'v')).toThrow(/at most 1024/);
});

test('threads that increment at once lose nothing', async () => {
  const memory = createSharedMemory(64 * 1024);
  const url = new URL('../../src/shared-data.ts', import.meta.url).href;
  const code = `import(${JSON.stringify(url)}).then(({ SharedStore }) => {
    const data = new SharedStore(require('node:worker_threads').workerData).namespace('t');
    for (let i = 0; i < 20000; i++) { data.increment('n', 1); data.set('k' + (i % 50), 'v'.repeat(i % 200)); }
  })`;
  const workers = Array.from({ length: 3 }, () => new Worker(code, { eval: true, workerData: memory }));
  await Promise.all(
    workers.map((worker) => new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject))),
  );
  const data = new SharedStore(memory).namespace('t');
  expect(data.get('n')?.value).toBe('60000');
});
