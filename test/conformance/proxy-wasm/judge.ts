/** Judges a case that was recorded from a real Envoy: responses, what the upstream saw, the module's log. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Seen, startEcho } from '../../support/echo.ts';
import { startProxy } from '../../support/proxy.ts';
import { type CaseRequest, type Outcome, send, withoutFraming, withoutFramingSeen } from '../../support/recorded.ts';
import { caseConfig, type WasmCase } from './case-config.ts';

/** As oracle.py writes it. */
export interface Case extends WasmCase {
  id: string;
  module: string;
  requests: CaseRequest[];
  expect: {
    start_failed?: boolean;
    responses?: (Outcome | { status: 0; error: string })[];
    upstream?: Seen[];
    logs?: string[];
  };
  /** What was the same in two runs. */
  stable: string[];
}

/** A port on loopback where nothing listens: the discard service's. */
const DEAD_PORT = 9;
/** Callbacks that belong to a request: those of the plugin come once for each thread of Envoy. */
const OF_STREAMS = /^on_(request|response|http_call|grpc|log)/;
/** So many lines are in a recording. */
const MOST_LINES = 60;

/** The cases of a folder beside this file. */
export function recordedCases(name: string): Case[] {
  const folder = new URL(`./${name}/`, import.meta.url);
  return readdirSync(folder).map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')));
}

/** @param modules the folder of the compiled modules. */
export async function judge(recorded: Case, modules: string): Promise<void> {
  const echo = await startEcho();
  const ports = { listen: 0, upstream: echo.port, dead: DEAD_PORT };
  const config = caseConfig(join(modules, `${recorded.module}.wasm`), recorded, ports);
  const { expect: expected, stable } = recorded;
  if (expected.start_failed === true) {
    await expect(startProxy(config)).rejects.toThrow(/the module (refused|failed)/);
    return;
  }
  const { port, log } = await startProxy(config);
  const outcomes: Outcome[] = [];
  for (const request of recorded.requests) outcomes.push(await send(port, request));
  await expect.poll(() => echo.count()).toBe(expected.upstream?.length ?? 0);
  const responses = (expected.responses ?? []).map((one) =>
    one.status === 0 ? { status: 0 } : withoutFraming(one as Outcome),
  );
  if (stable.includes('responses')) {
    expect(outcomes.map((one) => (one.status === 0 ? { status: 0 } : one))).toEqual(responses);
  }
  if (stable.includes('upstream')) {
    const seen = echo.take().map(({ trailers: _, ...one }) => one);
    expect(seen).toEqual((expected.upstream ?? []).map(withoutFramingSeen));
  }
  if (!stable.includes('logs')) return;
  const lines = (all: string[]) => all.filter((line) => OF_STREAMS.test(line));
  const wanted = expected.logs ?? [];
  const got = () => lines(log.lines.map(({ message }) => message)).map(withoutCounts);
  const expectedLines = lines(wanted).map(withoutCounts);
  const atMost = wanted.length < MOST_LINES ? undefined : expectedLines.length;
  await expect.poll(() => got().slice(0, atMost)).toEqual(expectedLines);
}

/** Envoy counts headers of its own in responses, and words failures of the network otherwise. */
function withoutCounts(line: string): string {
  return line
    .replace(/^(on_response_headers args) \d+/, '$1 N')
    .replace(/^(on_http_call_response args) \d+ \d+/, '$1 N N')
    .replace(/^(on_grpc_close get_status -> 0 14) .*/, '$1');
}
