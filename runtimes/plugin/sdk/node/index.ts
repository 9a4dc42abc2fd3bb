/**
 * For plugins written in JavaScript or TypeScript: `import { serve } from 'weir/plugin'`. It prints the handshake, serves Weir's protocol and health
 * checks, and ends when Weir does.
 */
import { mkdtempSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { type Certificate, HeaderMap, type Json } from '../../../../src/abi/index.ts';
import { messageType, PART_HOOKS } from '../../messages.ts';
import { METHOD, Request, Response } from '../../mosn.ts';
import type { CallAnswer, CallRequest } from './client.ts';

export { HeaderMap } from '../../../../src/abi/index.ts';

export { type CallAnswer, type CallRequest, type PluginCaller, startPlugin } from './client.ts';

/** Keeps the part (and, for headers, what follows them) until a later event of the same side continues. */
export const HOLD = 'Hold';

/** An answer that Weir gives itself. */
export interface Reply {
  readonly status: number;
  readonly headers?: Iterable<readonly [string, string]>;
  readonly body?: string | Uint8Array;
  /** For the access log. */
  readonly details?: string;
}

/** Nothing: it goes on. Bytes or text: this is the body now, of what is held or else of this piece. */
export type Result = undefined | void | typeof HOLD | Reply | Uint8Array | string;
type Answer = Result | Promise<Result>;

/** Facts of the stream that Weir sends along. */
export interface StreamInfo {
  readonly id: number;
  readonly listener: string;
  readonly protocol: string;
  /** `ip:port` */
  readonly clientAddress: string;
  readonly localAddress: string;
  readonly virtualHost: string;
  readonly route: string;
  readonly cluster: string;
  /** Empty on a plain connection. */
  readonly tlsVersion: string;
  readonly serverName: string;
  readonly clientCertificateSubject: string;
}

/** One request and its response, for as long as it lasts. */
export interface PluginStream {
  readonly info: StreamInfo;
  /** The settings of the route for this filter. */
  readonly routeConfig: Json | undefined;
  /** What filters left, by namespace. */
  readonly metadata: Readonly<Record<string, Json>>;
  /** Leaves a value for other filters and the access log. */
  setMetadata(namespace: string, key: string, value: Json): void;
  /** `undefined` until the plugin has seen them. Changes count in the hook that gets them, and in body hooks while they are held. */
  readonly requestHeaders: HeaderMap | undefined;
  readonly responseHeaders: HeaderMap | undefined;
  /** The pieces of the body that came while they were held, the one of the running hook included. */
  readonly requestBody: Uint8Array;
  readonly responseBody: Uint8Array;
  /** For the filter's own use. */
  // biome-ignore lint/suspicious/noExplicitAny: it is the author's
  state: any;
}

/** What a filter does; Weir sends what there is a hook for, and nothing else. A hook that throws is a failure, for which the entry's policy holds. */
export interface PluginFilter {
  onRequestHeaders?(headers: HeaderMap, stream: PluginStream, endStream: boolean): Answer;
  onRequestBody?(chunk: Uint8Array, stream: PluginStream, endStream: boolean): Answer;
  onRequestTrailers?(trailers: HeaderMap, stream: PluginStream): Answer;
  onResponseHeaders?(headers: HeaderMap, stream: PluginStream, endStream: boolean): Answer;
  onResponseBody?(chunk: Uint8Array, stream: PluginStream, endStream: boolean): Answer;
  onResponseTrailers?(trailers: HeaderMap, stream: PluginStream): Answer;
  onComplete?(stream: PluginStream, status: number): void;
}

/** An endpoint of the cluster that a plugin balances. */
export interface BalancedEndpoint {
  /** `address:port` */
  readonly name: string;
  readonly weight: number;
  /** Requests that it serves now, of one worker. */
  readonly active: number;
  /** Requests that it was chosen for since the last call. */
  readonly chosen: number;
  readonly metadata: Readonly<Record<string, Json>>;
}

/** A stream that has ended. */
export interface LogEntry {
  readonly info: StreamInfo;
  readonly status: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Milliseconds. */
  readonly duration: number;
  /** Envoy's, separated by commas. */
  readonly flags: string;
  readonly startTime: Date;
  /** `address:port` of the upstream. */
  readonly endpoint: string;
  readonly details: string;
  readonly requestHeaders: HeaderMap;
  readonly responseHeaders: HeaderMap;
  readonly metadata: Readonly<Record<string, Json>>;
}

export interface PluginOptions {
  /** Makes the filter of an entry from its `config:`. What it throws refuses the configuration. */
  filter?: (config: Json, entry: { name: string; listener: string }) => PluginFilter | Promise<PluginFilter>;
  /** Gives the certificate for a name; empty for clients that ask for none. */
  certificates?: (
    serverName: string,
    listener: string,
    config: Json,
  ) => Certificate | undefined | Promise<Certificate | undefined>;
  /** Takes streams that have ended, several at a time. */
  accessLog?: (entries: readonly LogEntry[], config: Json) => void | Promise<void>;
  /** Says every second what share of the requests each endpoint gets; 0: none. */
  loadBalancer?: (
    endpoints: readonly BalancedEndpoint[],
    config: Json,
  ) => readonly number[] | Promise<readonly number[]>;
  /** Answers `startPlugin`'s calls, and those of an entry with `protocol: mosn`. */
  call?: (request: Required<CallRequest>) => Partial<CallAnswer> | Promise<Partial<CallAnswer>>;
}

const FILE = 'weir_plugin';
const PACKAGE = 'weir.plugin.v1';
const SERVING = Buffer.from([8, 1]);

interface Event {
  start?: { config: string; route_config: string; metadata: Record<string, string>; info?: object };
  [part: string]: unknown;
}

/**
 * Runs the plugin; resolves when Weir may call it. Call it once, and write nothing to standard output before.
 * @throws Error when the program was not started by Weir (or MOSN).
 */
export async function serve(options: PluginOptions): Promise<void> {
  const { WEIR_PLUGIN, MOSN_PLUGIN } = process.env;
  if (WEIR_PLUGIN !== '1' && MOSN_PLUGIN !== 'ON') {
    throw new Error('this program is a plugin: name it in a configuration of Weir, with `runtime: plugin`');
  }
  const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  const unary = (path: string, answer: (request: Buffer) => Promise<Uint8Array> | Uint8Array) => {
    const handler: handleUnaryCall<Buffer, Buffer> = (call, callback) => void settle(answer, call.request, callback);
    server.register(path, handler, same, same, 'unary');
  };
  unary('/grpc.health.v1.Health/Check', () => SERVING);
  if (options.filter !== undefined) serveFilter(server, unary, options.filter);
  if (options.certificates !== undefined) serveCertificates(unary, options.certificates);
  if (options.accessLog !== undefined) serveAccessLog(unary, options.accessLog);
  if (options.loadBalancer !== undefined) serveLoadBalancer(unary, options.loadBalancer);
  const { call } = options;
  if (call !== undefined) {
    unary(METHOD, async (bytes) => Response.encode(await call(Request.decode(bytes) as Required<CallRequest>)));
  }
  const folder = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), 'plugin-'));
  const socket = join(folder, 'socket');
  await new Promise<void>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync(`unix:${socket}`, credentials, (error) => (error === null ? resolve() : reject(error)));
  });
  const end = () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(0);
  };
  unary('/plugin.GRPCController/Shutdown', () => {
    server.tryShutdown(end);
    return new Uint8Array(0);
  });
  process.on('SIGTERM', () => server.tryShutdown(end));
  endWithParent(WEIR_PLUGIN === '1', end);
  writeSync(1, `1|1|unix|${socket}|grpc\n`);
}

/** Weir holds the other end of standard input; where another program started this one, the parent's number tells. */
function endWithParent(byStdin: boolean, end: () => void): void {
  if (byStdin) {
    process.stdin.on('error', end).on('close', end).resume();
    return;
  }
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && end(), 1000).unref();
}

type Unary = (path: string, answer: (request: Buffer) => Promise<Uint8Array> | Uint8Array) => void;
const same = (bytes: Buffer): Buffer => bytes;

async function settle(
  answer: (request: Buffer) => Promise<Uint8Array> | Uint8Array,
  request: Buffer,
  callback: sendUnaryData<Buffer>,
): Promise<void> {
  try {
    callback(null, Buffer.from(await answer(request)));
  } catch (error) {
    process.stderr.write(`${inspect(error)}\n`);
    callback({ code: status.INTERNAL, details: (error as Error).message });
  }
}

function serveCertificates(unary: Unary, provide: NonNullable<PluginOptions['certificates']>): void {
  const Request = messageType<{ server_name: string; listener: string; config: string }>(
    FILE,
    `${PACKAGE}.CertificateRequest`,
  );
  const Response = messageType<{ chain?: string; key?: string; ca?: string }>(FILE, `${PACKAGE}.CertificateResponse`);
  unary(`/${PACKAGE}.CertificateProvider/Provide`, async (bytes) => {
    const { server_name: name, listener, config } = Request.decode(bytes);
    const given = await provide(name, listener, JSON.parse(config || 'null') as Json);
    return Response.encode(given === undefined ? {} : { chain: given.chain, key: given.key, ca: given.ca ?? '' });
  });
}

function serveAccessLog(unary: Unary, log: NonNullable<PluginOptions['accessLog']>): void {
  interface Entry {
    info: object;
    complete: { status: number; bytes_received: number; bytes_sent: number; duration_ms: number; flags: string };
    start_time_ms: number;
    endpoint: string;
    details: string;
    request_headers: HeadersMessage['headers'];
    response_headers: HeadersMessage['headers'];
    metadata: Record<string, string>;
  }
  const Request = messageType<{ config: string; entries: Entry[] }>(FILE, `${PACKAGE}.LogRequest`);
  unary(`/${PACKAGE}.AccessLogger/Log`, async (bytes) => {
    const { config, entries } = Request.decode(bytes);
    const list = entries.map(({ info, complete, endpoint, details, ...entry }) => ({
      info: infoOf(info),
      status: complete.status,
      bytesReceived: Number(complete.bytes_received),
      bytesSent: Number(complete.bytes_sent),
      duration: complete.duration_ms,
      flags: complete.flags,
      startTime: new Date(entry.start_time_ms),
      endpoint,
      details,
      requestHeaders: mapOf(entry.request_headers),
      responseHeaders: mapOf(entry.response_headers),
      metadata: parsedMetadata(entry.metadata),
    }));
    await log(list, JSON.parse(config || 'null') as Json);
    return new Uint8Array(0);
  });
}

function serveLoadBalancer(unary: Unary, balance: NonNullable<PluginOptions['loadBalancer']>): void {
  interface Endpoint extends Omit<BalancedEndpoint, 'metadata'> {
    metadata: string;
  }
  const Request = messageType<{ config: string; endpoints: Endpoint[] }>(FILE, `${PACKAGE}.BalanceRequest`);
  const Response = messageType<{ weights: readonly number[] }>(FILE, `${PACKAGE}.BalanceResponse`);
  unary(`/${PACKAGE}.LoadBalancer/Balance`, async (bytes) => {
    const { config, endpoints } = Request.decode(bytes);
    const given = endpoints.map(({ name, weight, active, chosen, metadata }) => ({
      name,
      weight,
      active,
      chosen,
      metadata: JSON.parse(metadata || '{}') as Record<string, Json>,
    }));
    return Response.encode({ weights: await balance(given, JSON.parse(config || 'null') as Json) });
  });
}

function serveFilter(server: Server, unary: Unary, create: NonNullable<PluginOptions['filter']>): void {
  const Request = messageType<{ name: string; listener: string; config: string }>(FILE, `${PACKAGE}.ConfigureRequest`);
  const Response = messageType<{ error?: string; parts?: number[] }>(FILE, `${PACKAGE}.ConfigureResponse`);
  /** By configuration: the same process may be asked by several workers, and over reloads. */
  const filters = new Map<string, Promise<PluginFilter>>();
  const filterFor = (config: string, name = '', listener = '') => {
    let filter = filters.get(config);
    if (filter === undefined) {
      filter = Promise.resolve(JSON.parse(config || 'null') as Json).then((value) => create(value, { name, listener }));
      filters.set(config, filter);
      filter.catch(() => filters.delete(config));
    }
    return filter;
  };
  unary(`/${PACKAGE}.Filter/Configure`, async (bytes) => {
    const { name, listener, config } = Request.decode(bytes);
    try {
      const filter = await filterFor(config, name, listener);
      return Response.encode({ parts: PART_HOOKS.flatMap((part, i) => (filter[part] === undefined ? [] : [i + 1])) });
    } catch (error) {
      return Response.encode({ error: (error as Error).message || String(error) });
    }
  });
  const process = (call: ServerDuplexStream<Buffer, Buffer>) => new Session(call, (config) => filterFor(config));
  server.register(`/${PACKAGE}.Filter/Process`, process, same, same, 'bidi');
}

const EventMessage = messageType<Event>(FILE, `${PACKAGE}.Event`);
const ActionMessage = messageType<object>(FILE, `${PACKAGE}.Action`);

class Session implements PluginStream {
  info: StreamInfo = {} as StreamInfo;
  routeConfig: Json | undefined;
  metadata: Readonly<Record<string, Json>> = {};
  requestBody: Uint8Array = new Uint8Array(0);
  responseBody: Uint8Array = new Uint8Array(0);
  state: unknown;
  readonly #call: ServerDuplexStream<Buffer, Buffer>;
  readonly #filterFor: (config: string) => Promise<PluginFilter>;
  requestHeaders: HeaderMap | undefined;
  responseHeaders: HeaderMap | undefined;
  /** The headers of a side as Weir has them, while they are held. */
  readonly #held: { request?: Groups | undefined; response?: Groups | undefined } = {};
  #filter: PluginFilter = {};
  #left: Record<string, Record<string, Json>> = {};
  #last: Promise<void> = Promise.resolve();

  constructor(call: ServerDuplexStream<Buffer, Buffer>, filterFor: (config: string) => Promise<PluginFilter>) {
    this.#call = call;
    this.#filterFor = filterFor;
    call.on('data', (bytes: Buffer) => {
      this.#last = this.#last.then(() => this.#onEvent(bytes));
    });
    call.on('end', () => {
      this.#last = this.#last.then(() => void call.end());
    });
    call.on('error', () => {});
  }

  setMetadata(namespace: string, key: string, value: Json): void {
    this.#left[namespace] = { ...this.#left[namespace], [key]: value };
  }

  async #onEvent(bytes: Buffer): Promise<void> {
    if (this.#call.destroyed) return;
    try {
      const event = EventMessage.decode(bytes);
      if (event.start) await this.#begin(event.start);
      const action = await this.#run(event);
      if (action !== undefined) this.#call.write(Buffer.from(ActionMessage.encode(action)));
    } catch (error) {
      process.stderr.write(`${inspect(error)}\n`);
      // What grpc-js makes of it is the call's status.
      this.#call.emit('error', { code: status.INTERNAL, details: (error as Error).message });
    }
  }

  async #begin({ config, route_config, metadata, info }: NonNullable<Event['start']>): Promise<void> {
    this.#filter = await this.#filterFor(config);
    this.routeConfig = route_config === '' ? undefined : (JSON.parse(route_config) as Json);
    this.metadata = parsedMetadata(metadata);
    this.info = infoOf(info);
  }

  async #run(event: Event): Promise<object | undefined> {
    const filter = this.#filter;
    for (const side of ['request', 'response'] as const) {
      const upper = side === 'request' ? 'Request' : 'Response';
      const headers = event[`${side}_headers`] as HeadersMessage | undefined;
      if (headers) {
        const { map, before } = read(headers);
        this[`${side}Headers`] = map;
        const result = await filter[`on${upper}Headers`]?.(map, this, headers.end_stream);
        this.#held[side] = result === HOLD ? grouped(map) : undefined;
        return this.#action(result, edits(before, map));
      }
      const trailers = event[`${side}_trailers`] as HeadersMessage | undefined;
      if (trailers) {
        const { map, before } = read(trailers);
        return this.#action(await filter[`on${upper}Trailers`]?.(map, this), edits(before, map));
      }
      const body = event[`${side}_body`] as { data: Uint8Array; end_stream: boolean } | undefined;
      if (body) {
        this[`${side}Body`] = Buffer.concat([this[`${side}Body`], body.data]);
        const result = await filter[`on${upper}Body`]?.(body.data, this, body.end_stream);
        const [map, before] = [this[`${side}Headers`], this.#held[side]];
        const edited = map === undefined || before === undefined ? [] : edits(before, map);
        if (result === HOLD) {
          if (map !== undefined && before !== undefined) this.#held[side] = grouped(map);
        } else {
          this[`${side}Body`] = new Uint8Array(0);
          this.#held[side] = undefined;
        }
        return this.#action(result, edited);
      }
    }
    if (event.complete) filter.onComplete?.(this, (event.complete as { status: number }).status);
    return undefined;
  }

  #action(result: Result, edited: object[]): object {
    const left = Object.entries(this.#left).map(([namespace, values]) => [namespace, JSON.stringify(values)]);
    this.#left = {};
    const action = { edits: edited, ...(left.length === 0 ? {} : { metadata: Object.fromEntries(left) }) };
    if (result === undefined) return action;
    if (result === HOLD) return { ...action, hold: {} };
    if (typeof result === 'string' || result instanceof Uint8Array) return { ...action, body: Buffer.from(result) };
    const { headers = [], body = '', details = '' } = result;
    const list = [...headers].map(([name, value]) => ({ name, value: Buffer.from(value, 'latin1') }));
    return { ...action, reply: { status: result.status, headers: list, body: Buffer.from(body), details } };
  }
}

interface HeadersMessage {
  headers: { name: string; value: Uint8Array }[];
  end_stream: boolean;
}

/** The values of each name. */
type Groups = Map<string, string[]>;

function read({ headers }: HeadersMessage): { map: HeaderMap; before: Groups } {
  const map = mapOf(headers);
  return { map, before: grouped(map) };
}

function mapOf(headers: HeadersMessage['headers']): HeaderMap {
  const map = new HeaderMap();
  for (const { name, value } of headers) map.append(name, Buffer.from(value).toString('latin1'));
  return map;
}

function parsedMetadata(metadata: Record<string, string>): Record<string, Json> {
  return Object.fromEntries(Object.entries(metadata).map(([key, text]) => [key, JSON.parse(text) as Json]));
}

function grouped(map: HeaderMap): Groups {
  const groups: Groups = new Map();
  for (const [name, value] of map) groups.set(name, [...(groups.get(name) ?? []), value]);
  return groups;
}

/** What turns the headers as they came into what they are now. */
function edits(before: Groups, map: HeaderMap): object[] {
  const now = grouped(map);
  const list: object[] = [];
  for (const name of before.keys()) if (!now.has(name)) list.push({ operation: 2, name });
  for (const [name, values] of now) {
    const old = before.get(name);
    if (old !== undefined && old.length === values.length && old.every((value, i) => value === values[i])) continue;
    const kept = old?.every((value, i) => value === values[i]) ? old.length : 0;
    for (const [i, value] of values.entries()) {
      if (i >= kept) list.push({ operation: i === 0 ? 0 : 1, name, value: Buffer.from(value, 'latin1') });
    }
  }
  return list;
}

/** Unset fields are on the message's prototype. */
function infoOf(message: object | undefined | null): StreamInfo {
  const given = (message ?? {}) as Record<string, string | undefined>;
  return {
    id: Number(given.id ?? 0),
    listener: given.listener ?? '',
    protocol: given.protocol ?? '',
    clientAddress: given.client_address ?? '',
    localAddress: given.local_address ?? '',
    virtualHost: given.virtual_host ?? '',
    route: given.route ?? '',
    cluster: given.cluster ?? '',
    tlsVersion: given.tls_version ?? '',
    serverName: given.server_name ?? '',
    clientCertificateSubject: given.client_certificate_subject ?? '',
  };
}
