/** Every case that was recorded from a real Envoy with the probe, against Weir. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, test } from 'vitest';
import { judge, recordedCases } from './judge.ts';
import { buildProbes } from './probes.ts';

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

test.each(recordedCases('cases').filter(({ id }) => DIFFERENT[id] === undefined))('$id', (one) => judge(one, built));
