/**
 * Envoy's external processing (`ext_proc`): a processor that was written for Envoy, as a plugin or as a service behind a cluster. Source: Envoy, "External
 * Processing", and what Envoy 1.40 was seen to do.
 */
import { z } from 'zod';
import {
  ExtensionError,
  FilterConfigError,
  FilterStatus,
  type HeaderMap,
  type Json,
  parseDuration,
  type Stream,
  type StreamFilter,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import type { Caller } from './caller.ts';
import { EventStream } from './event-stream.ts';
import {
  type CommonResponse,
  headersMessage,
  type Immediate,
  jsonOf,
  METHOD,
  type MutationRules,
  mutate,
  type PartName,
  type ProcessingResponse,
  Request,
  Response,
} from './ext-proc-messages.ts';

const headerMode = z.enum(['DEFAULT', 'SEND', 'SKIP']).default('DEFAULT');
const bodyMode = z.enum(['NONE', 'STREAMED', 'BUFFERED']).default('NONE');

/** Envoy's `ExternalProcessor`, as far as Weir has it; any other key is refused. */
const schema = z.strictObject({
  '@type': z.string().optional(),
  grpc_service: z.object({ envoy_grpc: z.strictObject({ cluster_name: z.string() }) }).optional(),
  processing_mode: z
    .strictObject({
      request_header_mode: headerMode,
      response_header_mode: headerMode,
      request_body_mode: bodyMode,
      response_body_mode: bodyMode,
      request_trailer_mode: headerMode,
      response_trailer_mode: headerMode,
    })
    .prefault({}),
  failure_mode_allow: z.boolean().default(false),
  message_timeout: z.string().optional(),
  stat_prefix: z.string().optional(),
  allow_mode_override: z.boolean().default(false),
  disable_immediate_response: z.boolean().default(false),
  disable_clear_route_cache: z.boolean().default(false),
  mutation_rules: z
    .strictObject({
      allow_all_routing: z.boolean().default(false),
      allow_envoy: z.boolean().default(false),
      disallow_system: z.boolean().default(false),
      disallow_all: z.boolean().default(false),
      disallow_is_error: z.boolean().default(false),
    })
    .prefault({}),
  metadata_options: z
    .strictObject({ receiving_namespaces: z.strictObject({ untyped: z.array(z.string()).default([]) }).prefault({}) })
    .prefault({}),
});

export type ExtProcConfig = z.output<typeof schema>;
type Mode = ExtProcConfig['processing_mode'];
type Side = 'request' | 'response';

const HEADER_MODES = ['DEFAULT', 'SEND', 'SKIP'] as const;
const BODY_MODES = ['NONE', 'STREAMED', 'BUFFERED'] as const;
const REPLACE = 1;

/** @throws FilterConfigError */
export function readExtProc(config: Json): ExtProcConfig {
  const result = schema.safeParse(config ?? {});
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0] as z.core.$ZodIssue;
  throw new FilterConfigError(`${path.join('.') || 'config'}: ${message}`, { path: path as (string | number)[] });
}

/** Milliseconds of Envoy's `message_timeout`, or undefined. */
export function messageTimeout({ message_timeout: given }: ExtProcConfig): number | undefined {
  if (given === undefined) return undefined;
  const parsed = parseDuration(given);
  if (parsed === undefined) throw new FilterConfigError(`${given} is no duration`, { path: ['message_timeout'] });
  return parsed;
}

export function createExtProcFactory(
  caller: Caller,
  config: ExtProcConfig,
  fail: (error: unknown) => Error,
): StreamFilterFactory {
  return {
    failure: { onError: config.failure_mode_allow ? 'fail_open' : 'fail_closed', status: 500, body: '' },
    create: (stream) => new Session(stream, caller, config, fail),
    close: () => caller.close(),
  };
}

class Session implements StreamFilter {
  readonly #stream: Stream;
  readonly #config: ExtProcConfig;
  readonly #events: EventStream;
  readonly #fail: (error: unknown) => Error;
  #mode: Mode;
  #asked = false;
  /** Nothing more is to be processed. */
  #done = false;
  /** The body that takes the place of a side's own, of which nothing goes on. */
  readonly #replaced: { request?: Uint8Array; response?: Uint8Array } = {};

  constructor(stream: Stream, caller: Caller, config: ExtProcConfig, fail: (error: unknown) => Error) {
    this.#stream = stream;
    this.#config = config;
    this.#mode = config.processing_mode;
    this.#fail = fail;
    this.#events = new EventStream(caller, METHOD);
  }

  onRequestHeaders(headers: HeaderMap, end: boolean) {
    return this.#onHeaders('request', headers, end);
  }
  onResponseHeaders(headers: HeaderMap, end: boolean) {
    return this.#onHeaders('response', headers, end);
  }
  onRequestBody(chunk: Uint8Array, end: boolean) {
    return this.#onBody('request', chunk, end);
  }
  onResponseBody(chunk: Uint8Array, end: boolean) {
    return this.#onBody('response', chunk, end);
  }
  onRequestTrailers(trailers: HeaderMap) {
    return this.#onTrailers('request', trailers);
  }
  onResponseTrailers(trailers: HeaderMap) {
    return this.#onTrailers('response', trailers);
  }

  onDestroy(): void {
    if (this.#asked) this.#events.close();
  }

  #onHeaders(side: Side, headers: HeaderMap, end: boolean) {
    if (this.#done) return undefined;
    if (this.#mode[`${side}_header_mode`] === 'SKIP') return this.#afterHeaders(side, headers, end);
    return this.#askForHeaders(side, headers, end);
  }

  async #askForHeaders(side: Side, headers: HeaderMap, end: boolean): Promise<FilterStatus | undefined> {
    const answer = await this.#ask(`${side}_headers`, { headers: headersMessage(headers), end_of_stream: end });
    const common = answer?.[`${side}_headers`]?.response;
    if (answer === undefined) return undefined;
    this.#edit(headers, common?.header_mutation);
    if (side === 'request' && common?.clear_route_cache === true && !this.#config.disable_clear_route_cache) {
      this.#stream.clearRouteCache();
    }
    if (common?.status === REPLACE) {
      const body = common.body_mutation?.body ?? new Uint8Array(0);
      if (!end) {
        this.#replaced[side] = body;
        return FilterStatus.StopAndBuffer;
      }
      this.#setBody(side, body);
      return undefined;
    }
    return this.#afterHeaders(side, headers, end);
  }

  #afterHeaders(side: Side, headers: HeaderMap, end: boolean): FilterStatus | undefined {
    const mode = this.#mode[`${side}_body_mode`];
    if (end || mode === 'NONE') return undefined;
    if (mode === 'BUFFERED') return FilterStatus.StopAndBuffer;
    // What the pieces will sum up to, nobody knows.
    headers.remove('content-length');
    return undefined;
  }

  #onBody(side: Side, chunk: Uint8Array, end: boolean) {
    const replacement = this.#replaced[side];
    if (replacement !== undefined) {
      if (!end) return FilterStatus.StopNoBuffer;
      this.#setBody(side, replacement);
      return undefined;
    }
    const mode = this.#mode[`${side}_body_mode`];
    if (this.#done || mode === 'NONE') return undefined;
    if (mode === 'STREAMED') return this.#askForPiece(side, chunk, end);
    return end ? this.#askForWhole(side, true) : FilterStatus.StopAndBuffer;
  }

  async #askForPiece(side: Side, chunk: Uint8Array, end: boolean): Promise<Uint8Array | undefined> {
    const answer = await this.#ask(`${side}_body`, { body: chunk, end_of_stream: end });
    return mutatedBody(answer?.[`${side}_body`]?.response);
  }

  async #askForWhole(side: Side, end: boolean): Promise<undefined> {
    const stream = this.#stream;
    const whole = side === 'request' ? stream.requestBody : stream.responseBody;
    const answer = await this.#ask(`${side}_body`, { body: whole, end_of_stream: end });
    const common = answer?.[`${side}_body`]?.response;
    const headers = side === 'request' ? stream.requestHeaders : stream.responseHeaders;
    if (headers !== undefined) this.#edit(headers, common?.header_mutation);
    const body = mutatedBody(common);
    if (body === undefined) return undefined;
    const length = headers?.get('content-length');
    if (length !== undefined && Number(length) !== body.length) {
      throw new ExtensionError('contract', `its body has ${body.length} bytes, but content-length is ${length}`);
    }
    this.#setBody(side, body);
    return undefined;
  }

  async #onTrailers(side: Side, trailers: HeaderMap): Promise<undefined> {
    const replacement = this.#replaced[side];
    if (replacement !== undefined) this.#setBody(side, replacement);
    if (this.#done || replacement !== undefined) return undefined;
    if (this.#mode[`${side}_body_mode`] === 'BUFFERED') await this.#askForWhole(side, false);
    if (this.#done || this.#mode[`${side}_trailer_mode`] !== 'SEND') return undefined;
    const answer = await this.#ask(`${side}_trailers`, { trailers: headersMessage(trailers) });
    this.#edit(trailers, answer?.[`${side}_trailers`]?.header_mutation);
    return undefined;
  }

  /** The answer to a part; `undefined` when the stream goes on without the processor, or was answered. */
  async #ask(part: PartName, message: object): Promise<ProcessingResponse | undefined> {
    const modes = {
      request_body_mode: BODY_MODES.indexOf(this.#mode.request_body_mode),
      response_body_mode: BODY_MODES.indexOf(this.#mode.response_body_mode),
    };
    const request = { [part]: message, ...(this.#asked ? {} : { protocol_config: modes }) };
    this.#asked = true;
    let answer: ProcessingResponse;
    try {
      const bytes = await this.#events.ask(Request.encode(request), false);
      if (bytes === undefined) {
        // It has ended the call in order: it is not interested in the rest.
        this.#done = true;
        return undefined;
      }
      answer = Response.decode(bytes);
    } catch (error) {
      this.#done = true;
      throw this.#fail(error);
    }
    this.#takeMetadata(answer);
    if (answer.immediate_response) {
      this.#done = true;
      this.#events.end();
      this.#respond(answer.immediate_response);
      return undefined;
    }
    if (!answer[part]) {
      this.#done = true;
      throw new ExtensionError('contract', `it was asked about ${part} and answered about something else`);
    }
    if (answer.mode_override && this.#config.allow_mode_override)
      this.#mode = override(this.#mode, answer.mode_override);
    return answer;
  }

  #respond({ status, headers: edits, body, details, grpc_status: grpc }: Immediate): void {
    if (this.#config.disable_immediate_response) {
      throw new ExtensionError('contract', 'it may not answer in the place of the upstream');
    }
    const list: [string, string][] = (edits?.set_headers ?? []).flatMap(({ header }) =>
      !header
        ? []
        : [[header.key, Buffer.from(header.raw_value.length > 0 ? header.raw_value : header.value).toString('latin1')]],
    );
    this.#stream.respond(status?.code || 200, list, body, details || 'ext_proc', grpc?.status);
  }

  #takeMetadata({ dynamic_metadata: metadata }: ProcessingResponse): void {
    if (!metadata) return;
    const { untyped } = this.#config.metadata_options.receiving_namespaces;
    for (const [namespace, values] of Object.entries(jsonOf(metadata))) {
      if (!untyped.includes(namespace) || typeof values !== 'object' || values === null) continue;
      for (const [key, value] of Object.entries(values)) this.#stream.metadata.set(namespace, key, value as Json);
    }
  }

  #edit(headers: HeaderMap, mutation: CommonResponse['header_mutation']): void {
    try {
      mutate(headers, mutation ?? undefined, this.#config.mutation_rules as MutationRules);
    } catch (error) {
      this.#done = true;
      throw new ExtensionError('contract', (error as Error).message, { cause: error });
    }
  }

  #setBody(side: Side, body: Uint8Array): void {
    if (side === 'request') this.#stream.setRequestBody(body);
    else this.#stream.setResponseBody(body);
  }
}

function mutatedBody(common: CommonResponse | undefined): Uint8Array | undefined {
  const mutation = common?.body_mutation;
  if (!mutation) return undefined;
  if (mutation.clear_body === true) return new Uint8Array(0);
  return Object.hasOwn(mutation, 'body') ? mutation.body : undefined;
}

/** What is 0 leaves a header mode as it is; body modes are always taken over, as in Envoy. */
function override(mode: Mode, given: Record<string, number>): Mode {
  const changed = { ...mode } as Record<string, string>;
  for (const key of ['response_header_mode', 'request_trailer_mode', 'response_trailer_mode']) {
    if (given[key]) changed[key] = HEADER_MODES[given[key]] ?? 'DEFAULT';
  }
  for (const key of ['request_body_mode', 'response_body_mode']) changed[key] = BODY_MODES[given[key] ?? 0] ?? 'NONE';
  return changed as Mode;
}
