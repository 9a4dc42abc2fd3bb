/** Weir's own protocol, `weir.plugin.v1`: a stream of events and actions for each request. */
import {
  type DynamicMetadata,
  ExtensionError,
  FilterConfigError,
  type FilterHost,
  type FilterSpec,
  FilterStatus,
  type HeaderMap,
  type Json,
  type Stream,
  type StreamFilter,
  type StreamFilterFactory,
  type StreamInfo,
} from '../../src/abi/index.ts';
import { EventStream } from './event-stream.ts';
import { GrpcCode, GrpcError } from './grpc-connection.ts';
import { messageType, PART_HOOKS } from './messages.ts';
import type { PluginClient } from './plugin-client.ts';

const FILE = 'weir_plugin';
const CONFIGURE = '/weir.plugin.v1.Filter/Configure';
const PROCESS = { service: 'weir.plugin.v1.Filter', method: 'Process' };

interface Header {
  name: string;
  value: Uint8Array;
}

interface Action {
  continue?: object;
  hold?: object;
  reply?: { status: number; headers: Header[]; body: Uint8Array; details: string };
  reset?: object;
  edits: { operation: number; name: string; value: Uint8Array }[];
  body?: Uint8Array;
  metadata: Record<string, string>;
  done: boolean;
}

const ConfigureRequest = messageType<{ name: string; listener: string; config: string }>(
  FILE,
  'weir.plugin.v1.ConfigureRequest',
);
const ConfigureResponse = messageType<{ error: string; parts: number[] }>(FILE, 'weir.plugin.v1.ConfigureResponse');
const EventMessage = messageType<object>(FILE, 'weir.plugin.v1.Event');
const ActionMessage = messageType<Action>(FILE, 'weir.plugin.v1.Action');

const REQUEST_HEADERS = 1;
const RESPONSE_HEADERS = 4;
const Operation = { set: 0, add: 1, remove: 2 } as const;

/** What is the same for all streams of an entry. */
interface Entry {
  client: PluginClient;
  config: string;
  /** No event follows the last headers that the plugin wants. */
  lastHeaders: number;
  fail: (error: unknown) => Error;
}

/** @throws FilterConfigError when the plugin refuses the configuration. */
export async function createWeirFactory(
  client: PluginClient,
  spec: FilterSpec,
  host: FilterHost,
  fail: (error: unknown) => Error,
): Promise<StreamFilterFactory> {
  const config = JSON.stringify(spec.config);
  const { error, parts } = await configure(client, { name: spec.name, listener: host.listener, config });
  if (error !== '') throw new FilterConfigError(error);
  const hooks = parts.map((part) => PART_HOOKS[part - 1]);
  if (hooks.length === 0 || hooks.includes(undefined)) {
    throw new FilterConfigError(`the plugin wants parts that do not exist, or none: [${parts.join(', ')}]`, {
      option: 'use',
    });
  }
  const onlyHeaders = parts.every((part) => part === REQUEST_HEADERS || part === RESPONSE_HEADERS);
  const entry: Entry = { client, config, lastHeaders: onlyHeaders ? Math.max(...parts) : 0, fail };
  // Hooks that the plugin does not want are not there, so that they cost nothing.
  const Filter = class extends Session {};
  for (const hook of hooks as (typeof PART_HOOKS)[number][]) {
    Object.defineProperty(Filter.prototype, hook, { value: all[hook] });
  }
  return { create: (stream) => new Filter(stream, entry), close: () => client.close() };
}

async function configure(client: PluginClient, request: { name: string; listener: string; config: string }) {
  try {
    return ConfigureResponse.decode(await client.call(CONFIGURE, ConfigureRequest.encode(request)));
  } catch (error) {
    throw new FilterConfigError(`the plugin did not take its configuration: ${(error as Error).message}`, {
      option: 'use',
      hint: 'a plugin that speaks MOSN’s protocol needs `protocol: mosn`',
    });
  }
}

class Session implements StreamFilter {
  readonly stream: Stream;
  readonly #entry: Entry;
  readonly #events: EventStream;
  #started = false;
  #done = false;
  /** The headers of a side that the plugin holds. */
  readonly #held: { request: boolean; response: boolean } = { request: false, response: false };

  constructor(stream: Stream, entry: Entry) {
    this.stream = stream;
    this.#entry = entry;
    this.#events = new EventStream(entry.client, PROCESS);
  }

  onDestroy(): void {
    if (this.#started) this.#events.close();
  }

  headers(side: 'request' | 'response', part: number, headers: HeaderMap, end: boolean) {
    const event = { [`${side}_headers`]: { headers: listOf(headers), end_stream: end } };
    return this.#ask(side, event, headers, part === this.#entry.lastHeaders, false) as Promise<
      FilterStatus | undefined
    >;
  }

  body(side: 'request' | 'response', chunk: Uint8Array, end: boolean) {
    const headers = side === 'request' ? this.stream.requestHeaders : this.stream.responseHeaders;
    return this.#ask(side, { [`${side}_body`]: { data: chunk, end_stream: end } }, headers, false, true);
  }

  trailers(side: 'request' | 'response', trailers: HeaderMap) {
    const event = { [`${side}_trailers`]: { headers: listOf(trailers), end_stream: true } };
    return this.#ask(side, event, trailers, false, false) as Promise<FilterStatus | undefined>;
  }

  complete(info: StreamInfo): void {
    if (this.#done) return;
    const complete = completeMessage(info);
    this.#events.tell(EventMessage.encode({ ...this.#start(), complete }), true);
  }

  async #ask(
    side: 'request' | 'response',
    event: object,
    headers: HeaderMap | undefined,
    last: boolean,
    isBody: boolean,
  ) {
    if (this.#done) return undefined;
    let action: Action;
    try {
      const answer = await this.#events.ask(EventMessage.encode({ ...this.#start(), ...event }), last);
      if (answer === undefined) throw new GrpcError(GrpcCode.unavailable, 'it ended the stream');
      action = ActionMessage.decode(answer);
    } catch (error) {
      throw this.#entry.fail(error);
    }
    if (action.done) {
      this.#done = true;
      this.#events.end();
    }
    return this.#apply(side, action, headers, isBody);
  }

  #apply(side: 'request' | 'response', action: Action, headers: HeaderMap | undefined, isBody: boolean) {
    const { stream } = this;
    this.#setMetadata(action.metadata);
    if (action.reset) {
      stream.reset();
      return undefined;
    }
    if (action.reply) {
      const { status, headers: own, body, details } = action.reply;
      if (status < 200 || status > 599) throw new ExtensionError('contract', `it replied with status ${status}`);
      stream.respond(
        status,
        own.map(({ name, value }) => [name, latin1(value)] as const),
        body,
        details || 'plugin_reply',
      );
      return undefined;
    }
    const held = this.#held[side];
    if (isBody && !held && action.edits.length > 0) {
      throw new ExtensionError('contract', 'it edits headers that have gone on: hold them until the body has come');
    }
    if (headers !== undefined) edit(headers, action.edits);
    this.#held[side] = action.hold !== undefined && action.hold !== null;
    // protobufjs gives unset fields the prototype's default, so an empty body counts when it was sent.
    const replaced = Object.hasOwn(action, 'body') ? action.body : undefined;
    const whole = held || this.#held[side] || !isBody;
    if (replaced !== undefined && whole) {
      if (side === 'request') stream.setRequestBody(replaced);
      else stream.setResponseBody(replaced);
    }
    if (this.#held[side]) return FilterStatus.StopAndBuffer;
    return whole ? undefined : replaced;
  }

  #setMetadata(metadata: Record<string, string>): void {
    for (const [namespace, text] of Object.entries(metadata)) {
      let values: Json;
      try {
        values = JSON.parse(text) as Json;
      } catch {
        throw new ExtensionError('contract', `its metadata ${JSON.stringify(namespace)} is no JSON`);
      }
      if (typeof values !== 'object' || values === null) {
        throw new ExtensionError('contract', `its metadata ${JSON.stringify(namespace)} is no JSON object`);
      }
      for (const [key, value] of Object.entries(values)) this.stream.metadata.set(namespace, key, value as Json);
    }
  }

  #start(): object {
    if (this.#started) return {};
    this.#started = true;
    const { stream } = this;
    const { info, routeConfig, metadata } = stream;
    return {
      start: {
        config: this.#entry.config,
        route_config: routeConfig === undefined ? '' : JSON.stringify(routeConfig),
        metadata: metadataMessage(metadata),
        timeout_ms: this.#entry.client.options.timeout,
        info: infoMessage(info),
      },
    };
  }
}

/** Every hook, for the ones of a plugin to be chosen from. */
const all: Required<Omit<StreamFilter, 'onDestroy'>> & ThisType<Session> = {
  onRequestHeaders(headers, end) {
    return this.headers('request', REQUEST_HEADERS, headers, end);
  },
  onRequestBody(chunk, end) {
    return this.body('request', chunk, end);
  },
  onRequestTrailers(trailers) {
    return this.trailers('request', trailers);
  },
  onResponseHeaders(headers, end) {
    return this.headers('response', RESPONSE_HEADERS, headers, end);
  },
  onResponseBody(chunk, end) {
    return this.body('response', chunk, end);
  },
  onResponseTrailers(trailers) {
    return this.trailers('response', trailers);
  },
  onComplete(info) {
    this.complete(info);
  },
};

/** Facts of a stream as `StreamInfo`. */
export function infoMessage(info: StreamInfo): object {
  return {
    id: info.id,
    listener: info.listener,
    protocol: info.protocol,
    client_address: info.downstreamRemoteAddress,
    local_address: info.downstreamLocalAddress,
    virtual_host: info.virtualHost,
    route: info.route,
    cluster: info.cluster,
    ...(info.tls === undefined
      ? {}
      : {
          tls_version: info.tls.version,
          server_name: info.tls.serverName,
          client_certificate_subject: info.tls.peerCertificate?.subject ?? '',
        }),
  };
}

/** A stream's end as `Complete`. */
export function completeMessage(info: StreamInfo): object {
  return {
    status: info.responseCode,
    bytes_received: info.bytesReceived,
    bytes_sent: info.bytesSent,
    duration_ms: info.duration,
    flags: info.responseFlags.join(','),
  };
}

/** Metadata as JSON objects by namespace. */
export function metadataMessage(metadata: DynamicMetadata): Record<string, string> {
  return Object.fromEntries(metadata.namespaces().map((name) => [name, JSON.stringify(metadata.get(name))]));
}

export function listOf(headers: HeaderMap): Header[] {
  return [...headers].map(([name, value]) => ({ name, value: Buffer.from(value, 'latin1') }));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

function edit(headers: HeaderMap, edits: Action['edits']): void {
  for (const { operation, name, value } of edits) {
    if (operation === Operation.remove) headers.remove(name);
    else if (operation === Operation.add) headers.add(name, latin1(value));
    else headers.set(name, latin1(value));
  }
}
