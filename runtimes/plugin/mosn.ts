/**
 * MOSN's protocol: one unary call `proto.Plugin/Call` with the message as it is, an answer with a status and edits. What the status
 * means, and what is sent, the entry says. Source: MOSN, pkg/plugin and its filter examples.
 */
import {
  ExtensionError,
  type HeaderMap,
  type Stream,
  type StreamFilter,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { messageType } from './messages.ts';
import type { PluginOptions } from './options.ts';
import type { PluginClient } from './plugin-client.ts';

interface Message {
  header: Record<string, string>;
  trailer: Record<string, string>;
  body: Uint8Array;
}

export const Request = messageType<Partial<Message> & { type: string }>('mosn', 'proto.Request');
export const Response = messageType<Partial<Message> & { status?: number }, Message & { status: number }>(
  'mosn',
  'proto.Response',
);
export const METHOD = '/proto.Plugin/Call';

export function createMosnFactory(
  client: PluginClient,
  options: PluginOptions,
  fail: (error: unknown) => Error,
): StreamFilterFactory {
  const { side, send } = options;
  const wantsBody = send.includes('body') || send.includes('trailers');

  /** One promise for each request, since each costs. */
  function check(stream: Stream, headers: HeaderMap, body: Uint8Array, trailers: HeaderMap | undefined): Promise<void> {
    const request = {
      type: options.type,
      ...(send.includes('headers') ? { header: toMap(headers) } : {}),
      ...(send.includes('body') ? { body } : {}),
      ...(send.includes('trailers') && trailers !== undefined ? { trailer: toMap(trailers) } : {}),
    };
    return client.call(METHOD, Request.encode(request)).then(
      (bytes) => apply(stream, headers, trailers, bytes),
      (error: unknown) => {
        throw fail(error);
      },
    );
  }

  function apply(stream: Stream, headers: HeaderMap, trailers: HeaderMap | undefined, bytes: Uint8Array): void {
    let answer: Message & { status: number };
    try {
      answer = Response.decode(bytes);
    } catch (error) {
      throw fail(error);
    }
    if (answer.status < 0) {
      stream.respond(options.deny_status, [], '', 'plugin_denied');
      return;
    }
    if (!options.allow_status.includes(answer.status)) {
      const known = options.allow_status.join(', ');
      throw new ExtensionError(
        'contract',
        `it answered with status ${answer.status}; allowed are ${known}, and below 0 for a refusal`,
      );
    }
    edit(headers, answer.header);
    if (trailers !== undefined) edit(trailers, answer.trailer);
    if (answer.body.length > 0) {
      if (side === 'request') stream.setRequestBody(answer.body);
      else stream.setResponseBody(answer.body);
    }
  }

  /** The body is held until it is whole; its headers with it. */
  const filter = (stream: Stream): StreamFilter => {
    let head: HeaderMap;
    const onHeaders = (headers: HeaderMap, endStream: boolean) => {
      head = headers;
      if (wantsBody && !endStream) return 'StopAndBuffer' as const;
      return check(stream, headers, NOTHING, undefined);
    };
    if (!wantsBody) return side === 'request' ? { onRequestHeaders: onHeaders } : { onResponseHeaders: onHeaders };
    const held = () => (side === 'request' ? stream.requestBody : stream.responseBody);
    const onBody = (_chunk: Uint8Array, endStream: boolean) =>
      endStream ? check(stream, head, held(), undefined) : ('StopAndBuffer' as const);
    const onTrailers = (trailers: HeaderMap) => check(stream, head, held(), trailers);
    return side === 'request'
      ? { onRequestHeaders: onHeaders, onRequestBody: onBody, onRequestTrailers: onTrailers }
      : { onResponseHeaders: onHeaders, onResponseBody: onBody, onResponseTrailers: onTrailers };
  };
  return { create: filter, close: () => client.close() };
}

const NOTHING = new Uint8Array(0);

/** MOSN's map of HTTP/1.1 headers: names as fasthttp writes them (`User-Agent`), of repeated ones the last; and pseudo-headers as they are. */
function toMap(headers: HeaderMap): Record<string, string> {
  const map: Record<string, string> = {};
  for (const [name, value] of headers) map[name === ':authority' ? 'Host' : canonical(name)] = value;
  return map;
}

const names = new Map<string, string>();
const MAX_NAMES = 4096;

function canonical(name: string): string {
  let known = names.get(name);
  if (known === undefined) {
    known = name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
    if (names.size < MAX_NAMES) names.set(name, known);
  }
  return known;
}

/** An empty value deletes, another one sets. */
function edit(headers: HeaderMap, edits: Record<string, string>): void {
  for (const [name, value] of Object.entries(edits)) {
    const own = name.toLowerCase();
    if (value === '') headers.remove(own);
    else headers.set(own, value);
  }
}
