/** What the listeners must answer. */
const admin = { user: 'admin' };

export const checks = [
  { url: 'http://127.0.0.1:2051/', status: 403, body: 'forbidden by auth.ts\n' },
  { url: 'http://127.0.0.1:2051/', send: admin, status: 200 },
  { url: 'http://127.0.0.1:2052/', status: 403, body: 'forbidden by auth.lua\n' },
  { url: 'http://127.0.0.1:2052/', send: admin, status: 200 },
  { url: 'http://127.0.0.1:2053/', status: 403, body: 'forbidden\n' },
  { url: 'http://127.0.0.1:2053/', send: admin, status: 200 },
  { url: 'http://127.0.0.1:2054/', status: 403, body: 'forbidden\n' },
  { url: 'http://127.0.0.1:2054/', send: admin, status: 200 },
  { url: 'http://127.0.0.1:2054/reports', send: admin, status: 403, body: 'forbidden by auth.ts\n' },
  { url: 'http://127.0.0.1:2054/public', status: 200 },
];
