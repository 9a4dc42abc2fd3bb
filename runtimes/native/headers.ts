/** `headers`: sets, adds and removes header fields of requests and responses. */
import { z } from 'zod';
import {
  FilterConfigError,
  HeaderMap,
  type Json,
  type StreamFilter,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { parseConfig } from './config.ts';

const fields = z.record(z.string(), z.string()).default({});
const edits = z.strictObject({ set: fields, add: fields, remove: z.array(z.string()).default([]) });
const schema = z.strictObject({ request: edits.optional(), response: edits.optional() });
type Edits = z.output<typeof edits>;

/** @throws FilterConfigError */
export function createHeadersFilter(config: Json): StreamFilterFactory {
  const { request, response } = parseConfig(schema, config);
  for (const [side, given] of Object.entries({ request, response })) if (given !== undefined) check(side, given);
  // It keeps nothing of a stream, so that one object serves them all.
  const filter: StreamFilter = {};
  if (request !== undefined) filter.onRequestHeaders = (headers) => apply(headers, request);
  if (response !== undefined) filter.onResponseHeaders = (headers) => apply(headers, response);
  return { create: () => filter };
}

function apply(headers: HeaderMap, { set, add, remove }: Edits): void {
  for (const name of remove) headers.remove(name);
  for (const name in set) headers.set(name, set[name] as string);
  for (const name in add) headers.add(name, add[name] as string);
}

/** What can't be sent is refused when it is loaded. */
function check(side: string, { set, add }: Edits): void {
  for (const [kind, values] of Object.entries({ set, add })) {
    for (const [name, value] of Object.entries(values)) {
      try {
        new HeaderMap([[name, value]]);
      } catch (error) {
        throw new FilterConfigError((error as Error).message, { path: [side, kind, name] });
      }
    }
  }
}
