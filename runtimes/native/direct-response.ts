/** `direct-response`: answers every request that reaches it. */
import { z } from 'zod';
import type { Json, StreamFilterFactory } from '../../src/abi/index.ts';
import { parseConfig } from './config.ts';

const schema = z.strictObject({
  status: z.int().min(200).max(599).default(200),
  body: z.string().default(''),
  headers: z.record(z.string(), z.string()).default({}),
});

/** @throws FilterConfigError */
export function createDirectResponseFilter(config: Json): StreamFilterFactory {
  const { status, body, headers } = parseConfig(schema, config);
  const fields = Object.entries(headers);
  return {
    create: (stream) => ({
      onRequestHeaders() {
        stream.respond(status, fields, body, 'direct_response');
      },
    }),
  };
}
