/** `require-header`: only requests with a given header field pass; others get a local reply. */
import { z } from 'zod';
import type { Json, StreamFilter, StreamFilterFactory } from '../../src/abi/index.ts';
import { parseConfig } from './config.ts';

const schema = z.strictObject({
  name: z.string(),
  /** The value it must have; any, when it is left out. */
  value: z.string().optional(),
  status: z.int().min(400).max(599).default(403),
  body: z.string().default('forbidden\n'),
});
type Requirement = z.output<typeof schema>;

/** @throws FilterConfigError */
export function createRequireHeaderFilter(config: Json): StreamFilterFactory {
  const requirement = parseConfig(schema, config);
  return {
    create: (stream): StreamFilter => ({
      onRequestHeaders(headers) {
        const { name, value, status, body }: Requirement =
          stream.routeConfig === undefined ? requirement : parseConfig(schema, stream.routeConfig);
        const actual = headers.get(name);
        if (actual === undefined || (value !== undefined && actual !== value))
          stream.respond(status, [], body, 'require_header');
      },
    }),
    validateRouteConfig(routeConfig) {
      parseConfig(schema, routeConfig);
    },
  };
}
