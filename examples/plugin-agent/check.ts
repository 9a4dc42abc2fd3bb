/** What the listener must answer. */
const headers = { 'x-agent': 'office' };

export const checks = [
  { url: 'http://127.0.0.1:2046/', status: 200, body: 'passed\n', headers },
  { url: 'http://127.0.0.1:2046/internal/a', status: 403, body: '/internal/a is denied\n', headers },
  { url: 'http://127.0.0.1:2046/admin', status: 403 },
];
