/**
 * One request and its response: filters → route → endpoint → upstream → filters → client. This class only connects the parts;
 * it is longer than others because every turn that a stream can take is here, in one place.
 */
import type { CallRequest, CallResponse, HeaderMap as Headers, Json } from '../abi/index.ts';
import { startCall } from '../clusters/call.ts';
import type { Endpoint } from '../clusters/endpoint.ts';
import type { UpstreamConnection } from '../clusters/upstream-connection.ts';
import type { MessageHead, ProtocolError } from '../codec/head.ts';
import { reasonPhrase, serializeHead } from '../codec/serializer.ts';
import { type ErrorCode, errorKind, type WeirError } from '../errors.ts';
import type { Direction, LocalReply, StreamOwner } from '../filters/owner.ts';
import { StreamFilters } from '../filters/stream-filters.ts';
import type { Logger } from '../observability/logger.ts';
import type { Route } from '../routing/route.ts';
import type { TimerWheel } from '../timers.ts';
import type { DownstreamConnection } from './downstream-connection.ts';
import type { HttpContext, HttpSnapshot } from './http-context.ts';
import { addServerHeaders, localReplyMessage } from './local-reply.ts';
import { FramingError, ResponseWriter } from './response-writer.ts';
import { StreamMetadata, type StreamRecord } from './stream-record.ts';
import { Tunnel, type TunnelObserver } from './tunnel.ts';
import { type UpstreamObserver, UpstreamRequest } from './upstream-request.ts';

const NO_METADATA: Readonly<Record<string, Json>> = {};

export class HttpStream implements StreamOwner, UpstreamObserver, TunnelObserver {
  readonly info: StreamRecord;
  readonly requestHeaders: Headers;
  responseHeaders: Headers | undefined = undefined;
  route: Route | undefined = undefined;
  readonly #connection: DownstreamConnection;
  readonly #context: HttpContext;
  readonly #snapshot: HttpSnapshot;
  readonly #head: MessageHead;
  readonly #filters: StreamFilters;
  readonly #writer: ResponseWriter;
  #filterState: Map<string, unknown> | undefined;
  #metadata: StreamMetadata | undefined;
  #upstream: UpstreamRequest | undefined;
  #clusterName = '';
  #endpoint: Endpoint | undefined;
  #override: { address: string; strict: boolean } | undefined;
  #tunnel: Tunnel | undefined;
  #requestDone: boolean;
  #continued = false;
  #keepAlive: boolean;
  #ended = false;
  #responsePauses = 0;
  #isLocalReply = false;
  #clientSlow = false;
  #upstreamSlow = false;
  #deadline = Number.POSITIVE_INFINITY;
  #lastActivity: number;
  #calls: Set<() => void> | undefined;

  constructor(
    connection: DownstreamConnection,
    context: HttpContext,
    record: StreamRecord,
    head: MessageHead,
    end: boolean,
  ) {
    this.#connection = connection;
    this.#context = context;
    this.#snapshot = context.snapshot;
    this.#snapshot.retain();
    this.#head = head;
    this.info = record;
    this.requestHeaders = head.headers;
    this.#requestDone = end;
    this.#keepAlive = head.keepAlive;
    this.#lastActivity = context.wheel.now;
    this.#writer = new ResponseWriter(connection);
    if (!this.requestHeaders.has('x-forwarded-proto')) {
      this.requestHeaders.append('x-forwarded-proto', record.tls === undefined ? 'http' : 'https');
    }
    this.#filters = new StreamFilters(this.#snapshot.chain, this);
  }

  get logger(): Logger {
    return this.#context.logger;
  }
  get wheel(): TimerWheel {
    return this.#context.wheel;
  }
  get metadata(): StreamMetadata {
    this.#metadata ??= new StreamMetadata();
    return this.#metadata;
  }
  get filterState(): Map<string, unknown> {
    this.#filterState ??= new Map();
    return this.#filterState;
  }
  get routeMetadata(): Readonly<Record<string, Json>> {
    return this.route?.metadata ?? NO_METADATA;
  }
  get virtualHostMetadata(): Readonly<Record<string, Json>> {
    return this.route?.virtualHostMetadata ?? NO_METADATA;
  }
  get debugErrors(): boolean {
    return this.#snapshot.config.debug_errors;
  }
  get bufferLimit(): number {
    return this.#snapshot.config.buffer_limit;
  }
  get responseStarted(): boolean {
    return this.#writer.started;
  }

  // --- what the client does ---

  start(): void {
    const { config } = this.#snapshot;
    this.#connection.setStreamTimer(config.stream_idle_timeout);
    if (this.#tooLarge(this.#head.contentLength)) return;
    this.#filters.requestHeaders(this.requestHeaders, this.#requestDone);
  }

  onRequestBody(chunk: Buffer, end: boolean): void {
    if (this.#ended) return;
    this.info.bytesReceived += chunk.length;
    this.#lastActivity = this.wheel.now;
    if (end) this.#requestDone = true;
    if (this.#tooLarge(this.info.bytesReceived)) return;
    this.#filters.requestBody(chunk, end);
  }

  onRequestTrailers(trailers: Headers): void {
    if (this.#ended) return;
    this.#requestDone = true;
    this.#filters.requestTrailers(trailers);
  }

  onBadRequest(error: ProtocolError): void {
    this.#fail('downstream_protocol_error', `${error.message}\n`, error.status);
  }

  onRequestTimeout(): void {
    this.#fail('downstream_timeout', 'the request did not come in time\n');
  }

  onDownstreamClosed(): void {
    if (this.#tunnel !== undefined) return;
    this.#end('downstream_disconnected');
  }

  onDownstreamDrain(): void {
    if (!this.#clientSlow) return;
    this.#clientSlow = false;
    this.resumeReading('response');
  }

  /** Writes a response head that waited for a body. */
  flushHead(): void {
    this.#writer.flush();
  }

  onTimer(): void {
    const idle = this.#snapshot.config.stream_idle_timeout;
    const { now } = this.wheel;
    if (now >= this.#deadline) {
      this.#deadline = Number.POSITIVE_INFINITY;
      this.#fail('upstream_timeout', 'the upstream did not answer in time\n');
    } else if (idle > 0 && now >= this.#lastActivity + idle) {
      if (this.#requestDone) this.#fail('upstream_timeout', 'nothing moved on this stream for too long\n');
      else this.#fail('downstream_timeout', 'the request did not come in time\n');
    } else {
      this.#armTimer();
    }
  }

  // --- what the filters ask for ---

  matchRoute(): void {
    this.route = this.#snapshot.routes.find(this.requestHeaders);
    this.#clusterName = this.route?.chooseCluster() ?? '';
    this.info.route = this.route?.name ?? '';
    this.info.virtualHost = this.route?.virtualHost ?? '';
    this.info.cluster = this.#clusterName;
  }

  chooseEndpoint(): boolean {
    const { route } = this;
    if (route === undefined) {
      this.#fail('route_not_found', 'no route matches this request\n', undefined, 'route_not_found');
      return false;
    }
    const direct = route.directResponse(this.requestHeaders);
    if (direct !== undefined) {
      this.#filters.startReply(direct);
      return false;
    }
    const cluster = this.#snapshot.clusters.get(this.#clusterName);
    if (cluster === undefined) {
      this.#fail('cluster_not_found', 'the route names no known cluster\n', undefined, 'cluster_not_found');
      return false;
    }
    const headers = this.requestHeaders;
    this.#endpoint =
      this.#override === undefined ? cluster.choose(headers) : cluster.chooseNamed(this.#override, headers);
    if (this.#endpoint === undefined) {
      this.#fail('no_healthy_upstream', 'no healthy upstream\n', undefined, 'no_healthy_upstream');
      return false;
    }
    this.info.endpoint = this.#endpoint.name;
    return true;
  }

  overrideEndpoint(address: string, strict: boolean): void {
    this.#override = { address, strict };
  }

  drainConnection(): void {
    this.#keepAlive = false;
  }

  setReasonPhrase(phrase: string): void {
    this.#writer.reason = phrase;
  }

  sendRequestHeaders(headers: Headers, end: boolean): void {
    const cluster = this.#snapshot.clusters.get(this.#clusterName);
    if (cluster === undefined || this.#endpoint === undefined || this.#ended) return;
    this.wantRequestBody();
    const route = this.route as Route;
    let sent = headers;
    if (route.rewrites) {
      sent = headers.clone();
      route.rewrite(sent);
    }
    const forwarded = sent.get('x-forwarded-for');
    const client = this.#connection.remoteHost;
    if (forwarded === undefined) sent.append('x-forwarded-for', client);
    else sent.set('x-forwarded-for', `${forwarded}, ${client}`);
    const upgrade = this.#head.upgrade !== undefined && sent.has('upgrade');
    this.#upstream = new UpstreamRequest(cluster, this.#endpoint, this);
    if (end) this.#startDeadline();
    this.#upstream.start(sent, end, upgrade);
  }

  sendRequestBody(chunk: Uint8Array, end: boolean): void {
    if (this.#upstream === undefined) return;
    try {
      if (end) this.#startDeadline();
      if (!this.#upstream.body(chunk, end) && !end && !this.#upstreamSlow) {
        this.#upstreamSlow = true;
        this.pauseReading('request');
      }
    } catch (error) {
      this.#contractBroken(error);
    }
  }

  sendRequestTrailers(trailers: Headers): void {
    this.#startDeadline();
    this.#upstream?.trailers(trailers);
  }

  sendResponseHeaders(headers: Headers, end: boolean): void {
    if (this.#ended) return;
    if (this.#isLocalReply) addServerHeaders(headers);
    const status = headers.get(':status') ?? '';
    this.info.responseCode = Number(status);
    try {
      const keepAlive =
        this.#keepAlive && !this.#context.draining && (this.#requestDone || this.#upstream !== undefined);
      this.#keepAlive = this.#writer.start(headers, end, this.#head.method, this.#head.minorVersion, keepAlive);
    } catch (error) {
      this.#contractBroken(error);
      return;
    }
    const switched = status === '101' || (this.#head.method === 'CONNECT' && status.startsWith('2'));
    if (switched && !this.#requestDone) {
      this.reset('upstream_protocol_error');
    } else if (switched && this.#upstream !== undefined) {
      this.#writer.flush();
      queueMicrotask(() => this.#startTunnel());
    } else if (end) {
      this.#end();
    }
  }

  sendResponseBody(chunk: Uint8Array, end: boolean): void {
    if (this.#ended) return;
    this.info.bytesSent += chunk.length;
    try {
      if (!this.#writer.body(chunk, end) && !end && !this.#clientSlow) {
        this.#clientSlow = true;
        this.pauseReading('response');
      }
    } catch (error) {
      this.#contractBroken(error);
      return;
    }
    if (end) this.#end();
  }

  sendResponseTrailers(trailers: Headers): void {
    if (this.#ended) return;
    try {
      this.#writer.trailers(trailers);
    } catch (error) {
      this.#contractBroken(error);
      return;
    }
    this.#end();
  }

  beginLocalReply(reply: LocalReply): { headers: Headers; body: Uint8Array } {
    this.#upstream?.abort();
    this.#upstream = undefined;
    if (reply.code !== undefined) this.info.addFlag(errorKind(reply.code).flag);
    this.info.responseCodeDetails = reply.details;
    this.#isLocalReply = true;
    const message = localReplyMessage(reply, this.requestHeaders);
    this.responseHeaders = message.headers;
    this.#writer.reason = undefined;
    return message;
  }

  reset(code: ErrorCode): void {
    this.info.addFlag(errorKind(code).flag);
    this.#end(code);
  }

  pauseReading(direction: Direction): void {
    if (direction === 'request') this.#connection.pauseReading();
    else if (++this.#responsePauses === 1) this.#upstream?.pauseResponse();
  }

  resumeReading(direction: Direction): void {
    if (direction === 'request') this.#connection.resumeReading();
    else if (this.#responsePauses > 0 && --this.#responsePauses === 0) this.#upstream?.resumeResponse();
  }

  wantRequestBody(): void {
    if (!this.#head.expectsContinue || this.#continued || this.#requestDone || this.#writer.started) return;
    this.#continued = true;
    this.#connection.writeText('HTTP/1.1 100 Continue\r\n\r\n');
  }

  call(cluster: string, request: CallRequest): Promise<CallResponse> {
    const { response, cancel } = startCall(this.#snapshot.clusters, cluster, request, this.wheel);
    this.#calls ??= new Set();
    const calls = this.#calls.add(cancel);
    void response.finally(() => calls.delete(cancel));
    return response;
  }

  // --- what the upstream does ---

  onResponseInterim(head: MessageHead): void {
    // 100 is between Weir and the upstream; others are for the client (RFC 9110, section 15.2).
    if (head.status === 100 || this.#head.minorVersion === 0 || this.#writer.started) return;
    this.#connection.writeText(serializeHead(`HTTP/1.1 ${head.status} ${reasonPhrase(head.status)}`, head.headers, ''));
  }

  onResponseHead(head: MessageHead, end: boolean): void {
    this.#lastActivity = this.wheel.now;
    this.info.responseCodeDetails = 'via_upstream';
    this.responseHeaders = head.headers;
    this.#filters.responseHeaders(head.headers, end);
  }

  onResponseBody(chunk: Buffer, end: boolean): void {
    this.#lastActivity = this.wheel.now;
    this.#filters.responseBody(chunk, end);
  }

  onResponseTrailers(trailers: Headers): void {
    this.#filters.responseTrailers(trailers);
  }

  onUpstreamFailed(error: WeirError): void {
    this.#context.logger.write('debug', error.message, { stream: this.info.id, code: error.code });
    this.#upstream = undefined;
    this.#fail(error.code, `${UPSTREAM_MESSAGES[error.code] ?? 'the upstream failed'}\n`);
  }

  onUpstreamConnected(connection: UpstreamConnection): void {
    this.info.upstreamConnection = connection;
  }

  onUpstreamWritable(): void {
    if (!this.#upstreamSlow) return;
    this.#upstreamSlow = false;
    this.resumeReading('request');
  }

  onEndpointChanged(endpoint: Endpoint): void {
    this.#endpoint = endpoint;
    this.info.endpoint = endpoint.name;
  }

  onTunnelBytes(direction: Direction, bytes: number): void {
    if (direction === 'request') this.info.bytesReceived += bytes;
    else this.info.bytesSent += bytes;
  }

  onTunnelClosed(): void {
    this.#end();
  }

  // --- turns and the end ---

  #startTunnel(): void {
    const upstream = this.#upstream?.detach();
    if (upstream === undefined || this.#ended) return;
    const client = this.#connection.detach();
    this.#connection.setStreamTimer(0);
    this.#tunnel = new Tunnel(client, upstream, this, this.wheel, this.#snapshot.config.stream_idle_timeout);
  }

  #tooLarge(bytes: number): boolean {
    const limit = this.#snapshot.config.max_body_size;
    if (limit === 0 || bytes <= limit) return false;
    this.#fail('body_too_large', 'request body too large\n', undefined, 'request_payload_too_large');
    return true;
  }

  #startDeadline(): void {
    const timeout = this.route?.timeout ?? 0;
    if (timeout === 0) return;
    this.#deadline = this.wheel.now + timeout;
    this.#armTimer();
  }

  #armTimer(): void {
    const idle = this.#snapshot.config.stream_idle_timeout;
    const next = Math.min(this.#deadline, idle > 0 ? this.#lastActivity + idle : Number.POSITIVE_INFINITY);
    if (next !== Number.POSITIVE_INFINITY) this.#connection.setStreamTimer(Math.max(1, next - this.wheel.now));
  }

  /** Answers with the status of `code`, or breaks the connection off where the response has started. */
  #fail(code: ErrorCode, body: string, status = errorKind(code).status ?? 500, details: string = code): void {
    if (this.#ended) return;
    if (this.#writer.started) {
      this.reset(code);
      return;
    }
    this.#filters.startReply({ status, headers: [], body, details, code });
  }

  /** A filter made head and body contradict each other. */
  #contractBroken(error: unknown): void {
    if (!(error instanceof FramingError)) throw error;
    this.#context.logger.write('error', `a filter changed a body without its length: ${error.message}`, {
      stream: this.info.id,
    });
    this.reset('extension_failed');
  }

  /** The end of the stream, once: `code` when it ends without a whole response. */
  #end(code?: ErrorCode): void {
    if (this.#ended) return;
    this.#ended = true;
    const { info } = this;
    const { metrics } = this.#context;
    info.total = performance.now() - info.started;
    if (code === 'downstream_disconnected') info.addFlag('DC');
    this.#upstream?.abort();
    for (const cancel of this.#calls ?? []) cancel();
    metrics.activeStreams.add(-1);
    metrics.responses[Math.floor(info.responseCode / 100)]?.add();
    metrics.duration.observe(info.total / 1000);
    if (info.bytesReceived > 0) metrics.received.add(info.bytesReceived);
    if (info.bytesSent > 0) metrics.sent.add(info.bytesSent);
    this.#filters.complete();
    this.#snapshot.accessLog?.write(this);
    this.#filters.destroy();
    this.#snapshot.release();
    if (code !== undefined && code !== 'downstream_disconnected')
      this.#connection.abort(this.#writer.endsWithConnection);
    if (this.#tunnel === undefined) this.#connection.streamDone(this.#keepAlive, this.#requestDone);
  }
}

const UPSTREAM_MESSAGES: Partial<Record<ErrorCode, string>> = {
  upstream_overflow: 'too many requests wait for the upstream',
  upstream_connect_failed: 'no connection to the upstream',
  upstream_connect_timeout: 'no connection to the upstream in time',
  upstream_reset: 'the upstream closed the connection before it answered',
  upstream_protocol_error: 'the upstream sent a malformed response',
};
