/** What stays behind after many streams and many loads: nothing. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createProxyWasmRuntime } from '../../../runtimes/proxy-wasm/index.ts';
import type { HeaderMap, Stream, StreamFilter, StreamFilterFactory } from '../../../src/abi/index.ts';
import { compileProxyWasm } from '../../../wasm/toolchains.ts';
import { fakeHost, fakeStream } from '../../support/fakes.ts';

const STREAMS = Number(process.env.WEIR_STREAMS ?? 20_000);
const LOADS = Number(process.env.WEIR_LOADS ?? 100);
const folder = mkdtempSync(join(tmpdir(), 'weir-soak-'));
const file = join(folder, 'canonical.wasm');
const source = fileURLToPath(new URL('../../conformance/filters/assembly/proxy-wasm.ts', import.meta.url));
beforeAll(() => compileProxyWasm(source, file), 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** A host in which the module's memory can be looked at. */
interface Looked {
  factory: StreamFilterFactory;
  memory(): number;
  streams(): number;
}

async function load(path: string): Promise<Looked> {
  const limits = { instructions: undefined, memory: undefined, time: 1000 };
  const config = { case: 'local-reply' };
  const spec = { name: 'soak', use: '', file: path, source: undefined, config, options: {}, limits, directory: '/' };
  const factory = await createProxyWasmRuntime().load(spec, fakeHost());
  const filter = factory.create(fakeStream()) as StreamFilter & {
    root: { machine: { memory: { size: number }; streamCount: number } };
  };
  const { machine } = filter.root;
  filter.onDestroy?.();
  return { factory, memory: () => machine.memory.size, streams: () => machine.streamCount };
}

function begin(factory: StreamFilterFactory, stream: Stream): StreamFilter {
  const filter = factory.create(stream);
  filter.onRequestHeaders?.(stream.requestHeaders, false);
  return filter;
}

function end(filter: StreamFilter, stream: Stream): void {
  filter.onResponseHeaders?.(stream.responseHeaders as HeaderMap, true);
  filter.onComplete?.(stream.info);
  filter.onDestroy?.();
}

test(`${STREAMS} streams leave the module's memory as it was`, async () => {
  const { factory, memory, streams } = await load(file);
  const stream = fakeStream();
  for (let i = 0; i < 1000; i++) end(begin(factory, stream), stream);
  const before = memory();
  for (let i = 0; i < STREAMS; i++) end(begin(factory, stream), stream);
  expect(memory()).toBe(before);
  expect(streams()).toBe(0);
});

test('a thousand streams at once', async () => {
  const { factory, streams } = await load(file);
  const stream = fakeStream();
  const open = Array.from({ length: 1000 }, () => begin(factory, stream));
  expect(streams()).toBe(1000);
  for (const filter of open.toReversed()) end(filter, stream);
  expect(streams()).toBe(0);
});

test(`${LOADS} loads of changed modules leave nothing`, async () => {
  const bytes = readFileSync(file);
  const changed = join(folder, 'changed.wasm');
  const once = async (i: number) => {
    // A custom section that says its number: other bytes each time.
    writeFileSync(
      changed,
      Buffer.concat([bytes, Buffer.from([0, 6, 1, 0x6e, ...new Uint8Array(Uint32Array.of(i).buffer)])]),
    );
    const { factory } = await load(changed);
    factory.close?.();
  };
  const used = () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    for (let i = 0; i < 4; i++) gc();
    const { heapUsed, arrayBuffers, external } = process.memoryUsage();
    return heapUsed + arrayBuffers + external;
  };
  for (let i = 0; i < 20; i++) await once(i);
  const before = used();
  for (let i = 0; i < LOADS; i++) await once(1000 + i);
  await new Promise((resolve) => setTimeout(resolve, 50));
  // One module and its instance are about 100 KiB.
  expect((used() - before) / LOADS).toBeLessThan(20 * 1024);
});
