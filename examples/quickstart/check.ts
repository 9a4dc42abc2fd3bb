/** What the quickstart must answer. */
export const checks = [
  {
    url: 'http://127.0.0.1:2046/',
    status: 403,
    body: 'forbidden by auth.lua\n',
    headers: { 'x-checked-by': 'auth.lua' },
  },
  {
    url: 'http://127.0.0.1:2046/',
    send: { user: 'admin' },
    status: 200,
    headers: { 'x-checked-by': 'auth.lua', 'x-served-by': 'weir', 'x-stamp': 'quickstart' },
  },
];
