/** What the listener must answer, in whatever language the plugin is. */
export const checks = [
  { url: 'http://127.0.0.1:2046/', status: 403, body: 'forbidden by a plugin\n' },
  { url: 'http://127.0.0.1:2046/', send: { user: 'admin' }, status: 200 },
];
