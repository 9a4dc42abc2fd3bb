/** The canonical conformance filters as a component in JavaScript, of the world calling-filter; `config: { case: NAME }` chooses one. */
import { call } from 'weir:filter/callout@0.1.0';
import { routeConfig } from 'weir:filter/host@0.1.0';

const CASES = [
  'add-header',
  'local-reply',
  'pause-resume',
  'rewrite-body',
  'trailers',
  'route-config',
  'throw',
  'run-away',
];
const PASS = { tag: 'pass' };
let chosen = '';

const bytes = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
/** ASCII letters, byte by byte. */
const upper = (body) => body.map((byte) => (byte >= 97 && byte <= 122 ? byte - 32 : byte));
const change = (...edits) => ({ tag: 'change', val: edits.map(([tag, ...val]) => ({ tag, val })) });
let kept = [];

export function configure(config) {
  const name = JSON.parse(config)?.case;
  if (!CASES.includes(name)) throw `unknown case ${name}`;
  chosen = name;
}

export function onRequestHeaders(stream, headers) {
  switch (chosen) {
    case 'add-header':
      return change(['add', 'x-request-mark', 'seen']);
    case 'local-reply':
      if (headers.some(([name, value]) => name === 'user' && value === 'admin')) return PASS;
      return { tag: 'respond', val: { status: 403, headers: [['x-reason', 'not admin']], body: bytes('denied') } };
    case 'pause-resume': {
      const request = [
        [':method', 'GET'],
        [':path', '/check'],
        [':authority', 'aux'],
      ];
      const response = call(stream, 'aux', request, new Uint8Array(0), 5000);
      return change(['set', 'x-checked', String(response.status)]);
    }
    case 'throw':
      throw new Error('thrown on purpose');
    case 'run-away':
      for (;;);
  }
  return PASS;
}

function body(piece, end) {
  if (chosen !== 'rewrite-body') return PASS;
  kept.push(...upper(piece));
  if (!end) return { tag: 'keep' };
  const whole = Uint8Array.from(kept);
  kept = [];
  return { tag: 'replace', val: whole };
}

export function onRequestBody(_stream, piece, end) {
  return body(piece, end);
}

export function onRequestTrailers() {
  return chosen === 'trailers' ? [{ tag: 'add', val: ['x-request-mark', 'seen'] }] : [];
}

export function onResponseHeaders(stream) {
  if (chosen === 'add-header' || chosen === 'local-reply') return change(['add', 'x-response-mark', 'seen']);
  if (chosen === 'route-config') {
    const config = routeConfig(stream);
    return change(['set', 'x-greeting', config == null ? 'none' : (JSON.parse(config).greeting ?? 'none')]);
  }
  return PASS;
}

export function onResponseBody(_stream, piece) {
  return chosen === 'rewrite-body' ? { tag: 'replace', val: upper(piece) } : PASS;
}

export function onResponseTrailers() {
  return chosen === 'trailers' ? [{ tag: 'add', val: ['x-response-mark', 'seen'] }] : [];
}

export function onComplete() {}
