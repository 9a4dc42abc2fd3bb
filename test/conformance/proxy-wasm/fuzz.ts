/**
 * `npm run test:fuzz-wasm [calls] [seed]`, by default 1,000,000: the probe calls host functions with random arguments: right ones, wrong
 * ones, pointers to anywhere. Only statuses that the ABI knows may come back, and the module must not fail by the host's fault.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProxyWasmRuntime } from '../../../runtimes/proxy-wasm/index.ts';
import { ExtensionError, type HeaderMap, type StreamFilterFactory } from '../../../src/abi/index.ts';
import { fakeHost, fakeStream } from '../../support/fakes.ts';
import { buildProbes } from './probes.ts';

const calls = Number(process.argv[2] ?? 1_000_000);
const seed = Number(process.argv[3] ?? 1);
/** Calls of one callback, and callbacks of one stream. */
const BATCH = 200;
const CALLBACKS = ['on_request_headers', 'on_request_body', 'on_response_headers', 'on_response_body', 'on_log'];

const folder = mkdtempSync(join(tmpdir(), 'weir-fuzz-'));
const findings: string[] = [];
const outcomes = { calls: 0, machines: 0, failures: 0 };
const runtime = createProxyWasmRuntime();
const host = { ...fakeHost(), log: { ...fakeHost().log, info: note, error: note } };

function note(message: string): void {
  if (message.includes('undocumented')) findings.push(message);
}

/** A new machine for some hundred streams: what the probe reports of a stream stays in its memory. */
async function start(file: string, number: number): Promise<StreamFilterFactory> {
  outcomes.machines++;
  const program = CALLBACKS.map(
    (callback, i) => `${callback}: fuzz ${BATCH} ${seed * 1_000_003 + number * 7 + i}`,
  ).join('\n');
  const limits = { instructions: 1_000_000_000, memory: undefined, time: 1000 };
  const spec = { name: 'fuzz', use: '', file, source: undefined, config: program, options: {}, limits, directory: '/' };
  return runtime.load(spec, host);
}

function stream(factory: StreamFilterFactory): void {
  const one = { ...fakeStream(), log: host.log };
  const filter = factory.create(one);
  try {
    void filter.onRequestHeaders?.(one.requestHeaders, false);
    void filter.onRequestBody?.(new Uint8Array([104, 105]), true);
    void filter.onResponseHeaders?.(one.responseHeaders as HeaderMap, false);
    void filter.onResponseBody?.(new Uint8Array([120]), true);
    filter.onComplete?.(one.info);
  } catch (error) {
    if (!(error instanceof ExtensionError)) throw error;
    // Results at random places destroy the module's own data: it may trap by that, but nothing else may fail.
    outcomes.failures++;
    if (!/^(trap: |the module failed)/.test(error.message)) findings.push(error.message);
  } finally {
    filter.onDestroy?.();
  }
}

try {
  await buildProbes(folder);
  for (let number = 0; outcomes.calls < calls; number++) {
    const factory = await start(join(folder, 'probe-0.2.1.wasm'), number);
    try {
      for (let i = 0; i < 4; i++) {
        stream(factory);
        outcomes.calls += BATCH * CALLBACKS.length;
      }
    } catch (error) {
      if (!(error instanceof ExtensionError)) throw error;
    } finally {
      factory.close?.();
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
process.stdout.write(`${JSON.stringify(outcomes)}\n`);
for (const finding of findings.slice(0, 20)) process.stdout.write(`${finding}\n`);
process.stdout.write(`${findings.length} findings\n`);
process.exit(findings.length === 0 ? 0 : 1);
