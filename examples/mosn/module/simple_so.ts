/** What MOSN loads as `simple_so.so`, as a module of Weir: every pair of the configuration must equal a header of the request. */
import type { Json, StreamFilterFactory } from 'weir';

export function createStreamFilterFactory(config: Json): StreamFilterFactory {
  const wanted = Object.entries(config as Record<string, string>);
  return {
    phase: 'before-route',
    create: (stream) => ({
      onRequestHeaders(headers) {
        if (wanted.some(([name, value]) => headers.get(name) !== value)) stream.respond(403);
      },
    }),
  };
}
