/** What an external processor is tried with, in Envoy (record.ts) and in Weir. */

export interface ExtProcCase {
  id: string;
  /** Envoy's `processing_mode` and other keys of its configuration. */
  config: Record<string, unknown>;
  headers?: Record<string, string>;
  body?: string;
  /** Sent chunked, and with these trailers. */
  trailers?: Record<string, string>;
  /** What the upstream answers; default 200 "hello". */
  answer?: { status?: number; body?: string; trailers?: Record<string, string> };
}

export interface Outcome {
  status: number;
  headers: Record<string, string>;
  body: string;
  trailers: Record<string, string>;
  /** What the upstream got; null when it got nothing. */
  upstream: {
    method: string;
    path: string;
    headers: Record<string, string>;
    body: string;
    trailers: Record<string, string>;
  } | null;
}

const skipResponse = { response_header_mode: 'SKIP' };
const buffered = { request_body_mode: 'BUFFERED', response_body_mode: 'BUFFERED' };
const streamed = { request_body_mode: 'STREAMED', response_body_mode: 'STREAMED' };
const trailerModes = { request_trailer_mode: 'SEND', response_trailer_mode: 'SEND' };
const mode = (processing_mode: Record<string, unknown>, more: Record<string, unknown> = {}) => ({
  processing_mode,
  ...more,
});
const one = (
  id: string,
  name: string,
  config: Record<string, unknown>,
  more: Partial<ExtProcCase> = {},
): ExtProcCase => ({
  id,
  config,
  ...more,
  headers: { 'x-case': name, ...more.headers },
});

const existing = { 'x-append': 'one', 'x-absent': 'one', 'x-overwrite': 'one', 'x-remove': 'one', 'x-plain': 'one' };

export const CASES: readonly ExtProcCase[] = [
  one('nothing', 'none', mode({})),
  one('skip-all', 'edit-headers', mode({ request_header_mode: 'SKIP', ...skipResponse })),
  one('edit-headers', 'edit-headers', mode({}), { headers: existing }),
  one('edit-headers-none-there', 'edit-headers', mode(skipResponse)),
  one('protected-headers', 'protected-headers', mode({})),
  one(
    'protected-headers-allowed',
    'protected-headers',
    mode({}, { mutation_rules: { allow_all_routing: true, allow_envoy: true } }),
  ),
  one('protected-headers-are-errors', 'protected-headers', mode({}, { mutation_rules: { disallow_is_error: true } })),
  one('system-headers-disallowed', 'protected-headers', mode({}, { mutation_rules: { disallow_system: true } })),
  one('count-headers', 'count-headers', mode(skipResponse), { headers: { 'user-agent': 'test', accept: '*/*' } }),
  one('immediate', 'immediate', mode({})),
  one('immediate-default', 'immediate-default', mode({})),
  one('immediate-disabled', 'immediate', mode({}, { disable_immediate_response: true })),
  one('error', 'error', mode({})),
  one('error-allowed', 'error', mode({}, { failure_mode_allow: true })),
  one('close', 'close', mode({})),
  one('wrong-answer', 'wrong-answer', mode({})),
  one('replace', 'replace', mode(buffered), { body: 'the old body' }),
  one('replace-no-body-mode', 'replace', mode({}), { body: 'the old body' }),
  one('replace-without-body', 'replace', mode({})),
  one('upper-buffered', 'upper', mode(buffered), { body: 'quiet' }),
  one('upper-streamed', 'upper', mode(streamed), { body: 'quiet' }),
  one('upper-buffered-chunked', 'upper', mode(buffered), { body: 'quiet', trailers: { 'x-sum': '1' } }),
  one('upper-streamed-chunked', 'upper', mode(streamed), { body: 'quiet', trailers: { 'x-sum': '1' } }),
  one('buffered-no-body', 'upper', mode(buffered)),
  one('streamed-no-body', 'upper', mode(streamed)),
  one('body-and-header-buffered', 'body-and-header', mode(buffered), { body: 'abc' }),
  one('body-and-header-streamed', 'body-and-header', mode(streamed), { body: 'abc' }),
  one('clear-buffered', 'clear', mode(buffered), { body: 'abc' }),
  one('clear-streamed', 'clear', mode(streamed), { body: 'abc' }),
  one('immediate-on-body', 'immediate-on-body', mode(buffered), { body: 'abc' }),
  one('immediate-on-body-streamed', 'immediate-on-body', mode(streamed), { body: 'abc' }),
  one('trailers', 'none', mode(trailerModes), {
    body: 'abc',
    trailers: { 'x-sum': '1' },
    answer: { body: 'hello', trailers: { 'x-check': '1' } },
  }),
  one('trailers-buffered', 'upper', mode({ ...trailerModes, ...buffered }), {
    body: 'abc',
    trailers: { 'x-sum': '1' },
    answer: { body: 'hello', trailers: { 'x-check': '1' } },
  }),
  one('trailers-streamed', 'upper', mode({ ...trailerModes, ...streamed }), {
    body: 'abc',
    trailers: { 'x-sum': '1' },
    answer: { body: 'hello', trailers: { 'x-check': '1' } },
  }),
  one('status', 'status', mode({})),
  one('immediate-on-response', 'immediate-on-response', mode({})),
  one('replace-response', 'replace-response', mode({})),
  one('response-not-found', 'none', mode({}), { answer: { status: 404, body: 'no' } }),
  one('response-only', 'status', mode({ request_header_mode: 'SKIP' })),
];
