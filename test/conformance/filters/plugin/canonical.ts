/** The canonical conformance filters as a subprocess plugin with the SDK for Node; `config: { case: NAME }` chooses one. */
import { HOLD, type PluginFilter, serve } from 'weir/plugin';

const upper = (bytes: Uint8Array) => new TextDecoder().decode(bytes).toUpperCase();

const CASES: Readonly<Record<string, PluginFilter>> = {
  'add-header': {
    onRequestHeaders: (headers) => headers.add('x-request-mark', 'seen'),
    onResponseHeaders: (headers) => headers.add('x-response-mark', 'seen'),
  },
  'local-reply': {
    onRequestHeaders: (headers) =>
      headers.get('user') === 'admin'
        ? undefined
        : { status: 403, headers: [['x-reason', 'not admin']], body: 'denied' },
    onResponseHeaders: (headers) => headers.add('x-response-mark', 'seen'),
  },
  'rewrite-body': {
    onRequestHeaders: (_, __, end) => (end ? undefined : HOLD),
    onRequestBody: (_, stream, end) => (end ? upper(stream.requestBody) : HOLD),
    onRequestTrailers: (_, stream) => upper(stream.requestBody),
    onResponseHeaders: (_, __, end) => (end ? undefined : HOLD),
    onResponseBody: (_, stream, end) => (end ? upper(stream.responseBody) : HOLD),
    onResponseTrailers: (_, stream) => upper(stream.responseBody),
  },
  trailers: {
    onRequestTrailers: (trailers) => trailers.add('x-request-mark', 'seen'),
    onResponseTrailers: (trailers) => trailers.add('x-response-mark', 'seen'),
  },
  'route-config': {
    onResponseHeaders(headers, stream) {
      const config = stream.routeConfig as { greeting: string } | undefined;
      headers.set('x-greeting', config?.greeting ?? 'none');
    },
  },
  throw: {
    onRequestHeaders() {
      throw new Error('thrown on purpose');
    },
  },
};

await serve({
  loadBalancer: (endpoints) => endpoints.map(({ metadata }) => (metadata.chosen === true ? 7 : 0)),
  filter(config) {
    const name = (config as { case?: string } | null)?.case ?? '';
    const filter = CASES[name];
    if (filter === undefined) throw new Error(`unknown case ${name}`);
    return filter;
  },
});
