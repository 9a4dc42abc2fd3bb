/** The canonical conformance filters in TypeScript; `config: { case: NAME }` chooses one. */
import {
  type CallResponse,
  FilterConfigError,
  type FilterHost,
  FilterStatus,
  HeaderMap,
  type Json,
  type Stream,
  type StreamFilter,
  type StreamFilterFactory,
} from 'weir';

const upper = (bytes: Uint8Array) => new TextEncoder().encode(new TextDecoder().decode(bytes).toUpperCase());

const CASES: Readonly<Record<string, (stream: Stream) => StreamFilter>> = {
  'add-header': () => ({
    onRequestHeaders: (headers) => headers.add('x-request-mark', 'seen'),
    onResponseHeaders: (headers) => headers.add('x-response-mark', 'seen'),
  }),
  'local-reply': (stream) => ({
    onRequestHeaders(headers) {
      if (headers.get('user') !== 'admin') stream.respond(403, [['x-reason', 'not admin']], 'denied');
    },
    onResponseHeaders: (headers) => headers.add('x-response-mark', 'seen'),
  }),
  'pause-resume': (stream) => ({
    async onRequestHeaders(headers) {
      const request = new HeaderMap([
        [':method', 'GET'],
        [':path', '/check'],
        [':authority', 'aux'],
      ]);
      const response: CallResponse = await stream.call('aux', { headers: request });
      headers.set('x-checked', response.headers.get(':status') ?? 'none');
    },
  }),
  'rewrite-body': (stream) => ({
    onRequestHeaders: () => FilterStatus.StopAndBuffer,
    onRequestBody: (_, end) => (end ? upper(stream.requestBody) : FilterStatus.StopAndBuffer),
    onRequestTrailers: () => stream.setRequestBody(upper(stream.requestBody)),
    onResponseHeaders: () => FilterStatus.StopAndBuffer,
    onResponseBody: (_, end) => (end ? upper(stream.responseBody) : FilterStatus.StopAndBuffer),
    onResponseTrailers: () => stream.setResponseBody(upper(stream.responseBody)),
  }),
  trailers: () => ({
    onRequestTrailers: (trailers) => trailers.add('x-request-mark', 'seen'),
    onResponseTrailers: (trailers) => trailers.add('x-response-mark', 'seen'),
  }),
  'route-config': (stream) => ({
    onResponseHeaders(headers) {
      const config = stream.routeConfig as { greeting: string } | undefined;
      headers.set('x-greeting', config?.greeting ?? 'none');
    },
  }),
  throw: () => ({
    onRequestHeaders() {
      throw new Error('thrown on purpose');
    },
  }),
  'run-away': () => ({
    onRequestHeaders() {
      for (;;);
    },
  }),
};

export function createStreamFilterFactory(config: Json, _host: FilterHost): StreamFilterFactory {
  const name = (config as { case?: string } | null)?.case ?? '';
  const create = CASES[name];
  if (create === undefined) throw new FilterConfigError(`unknown case ${name}`, { path: ['case'] });
  return { create };
}
