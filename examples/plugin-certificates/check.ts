/** What the listener must answer over TLS, in whatever language the plugin is. */
export const checks = [{ url: 'https://localhost:2046/', status: 200, body: 'over TLS\n' }];
