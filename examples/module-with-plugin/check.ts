/** What the listener must answer, in this order. */
const url = 'http://127.0.0.1:2046/';

export const checks = [
  ...[1, 2, 3].map(() => ({ url, send: { 'x-client': 'one' }, status: 200 })),
  { url, send: { 'x-client': 'one' }, status: 429, body: 'no quota left\n' },
  { url, send: { 'x-client': 'two' }, status: 200 },
];
