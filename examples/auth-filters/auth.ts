/** The auth filter in TypeScript: the file is named in the configuration, there is no build. */
import type { Json, StreamFilterFactory } from 'weir';

export function createStreamFilterFactory(config: Json): StreamFilterFactory {
  const { user } = config as { user: string };
  return {
    create: (stream) => ({
      onRequestHeaders(headers) {
        if (headers.get('user') !== user) stream.respond(403, [], 'forbidden by auth.ts\n');
      },
    }),
  };
}
