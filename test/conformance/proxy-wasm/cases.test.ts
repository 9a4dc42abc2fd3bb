/** Every case that was recorded from a real Envoy, against Weir: responses, what the upstream saw, the module's log. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Seen, startEcho } from '../../support/echo.ts';
import { startProxy } from '../../support/proxy.ts';
import { type CaseRequest, type Outcome, send, withoutFraming, withoutFramingSeen } from '../../support/recorded.ts';
import { caseConfig, type WasmCase } from './case-config.ts';
import { buildProbes } from './probes.ts';

interface Case extends WasmCase {
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

const folder = new URL('./cases/', import.meta.url);
const cases: Case[] = readdirSync(folder).map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')));
/** A port on loopback where nothing listens: the discard service's. */
const DEAD_PORT = 9;
/** Callbacks that belong to a request: those of the plugin come once for each thread of Envoy. */
const OF_STREAMS = /^on_(request|response|http_call|grpc|log)/;
/** So many lines are in a recording. */
const MOST_LINES = 60;

/** Where Weir differs on purpose, or Envoy's recording is of something else. */
const DIFFERENT: Readonly<Record<string, string>> = {
  'body-edit': 'a part in the middle of a body can be replaced, as the specification says; Envoy answers BAD_ARGUMENT',
  'body-pause-to-end': 'Envoy waits for ever; here the time limit of a stop answers 503',
  'body-same-length':
    'the module adds bytes behind the content-length: Envoy sends them all the same, Weir ends the stream',
  'http-call-on-configure': 'Envoy configures a module once for each thread and once more, and so calls more often',
  'http-call-trailers': 'Envoy’s clusters of the recording drop trailers',
  'lifecycle-trailers': 'Envoy’s clusters of the recording drop trailers',
  'local-response-status--1': 'statuses outside of 200 to 599 are refused with BAD_ARGUMENT',
  'local-response-status-0': 'the same',
  'local-response-status-100': 'the same',
  'local-response-status-101': 'the same',
  'local-response-status-199': 'the same',
  'local-response-status-600': 'the same',
  'local-response-status-999': 'the same',
  'report-headers-0.1.0': 'Envoy counts a response’s transfer-encoding as a header',
  'report-headers-0.2.0': 'the same',
  'report-headers-0.2.1': 'the same',
  'response-body-pause': 'depends on the pace of the chunks: oracle.py judges it',
  tick: 'Envoy ticks in two threads',
  trailers: 'Envoy’s clusters of the recording drop trailers',
  'trap-in-http-call-response': 'Envoy leaves the stream waiting; here it gets its policy’s answer',
};

const built = mkdtempSync(join(tmpdir(), 'weir-probes-'));
beforeAll(() => buildProbes(built), 120_000);
afterAll(() => rmSync(built, { recursive: true }));

test.each(cases.filter(({ id }) => DIFFERENT[id] === undefined))('$id', judge);

async function judge(recorded: Case): Promise<void> {
  const echo = await startEcho();
  const ports = { listen: 0, upstream: echo.port, dead: DEAD_PORT };
  const config = caseConfig(join(built, `${recorded.module}.wasm`), recorded, ports);
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
