/** What the listener of each demo must answer; the one with certificates over TLS. */
export const checks = [
  { url: 'http://127.0.0.1:2046/', status: 403, body: '' },
  { url: 'http://127.0.0.1:2046/', send: { User: 'admin' }, status: 200, body: 'ok' },
];
