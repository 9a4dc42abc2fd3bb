/** What connections and streams need of their listener: its snapshot, its clock, its figures. */
import type { Counter, Gauge, Histogram } from '../abi/index.ts';
import type { ClusterSet } from '../clusters/cluster.ts';
import type { ListenerConfig } from '../config/schema.ts';
import type { FilterChain } from '../filters/filter-chain.ts';
import type { AccessLogSink } from '../observability/access-log.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { RouteTable } from '../routing/route-table.ts';
import type { TimerWheel } from '../timers.ts';
import type { TlsTermination } from '../tls/termination.ts';

/** The HTTP part of one listener in one snapshot. It lives until the last stream that began with it has ended. */
export class HttpSnapshot {
  readonly config: ListenerConfig;
  readonly routes: RouteTable;
  readonly chain: FilterChain;
  readonly clusters: ClusterSet;
  readonly accessLog: AccessLogSink | undefined;
  /** Without it connections are plain. */
  readonly tls: TlsTermination | undefined;
  #streams = 0;
  #retired = false;

  constructor(
    config: ListenerConfig,
    routes: RouteTable,
    chain: FilterChain,
    clusters: ClusterSet,
    accessLog: AccessLogSink | undefined,
    tls: TlsTermination | undefined,
  ) {
    this.config = config;
    this.routes = routes;
    this.chain = chain;
    this.clusters = clusters;
    this.accessLog = accessLog;
    this.tls = tls;
  }

  retain(): void {
    this.#streams++;
  }

  release(): void {
    this.#streams--;
    if (this.#retired && this.#streams === 0) this.#close();
  }

  /** Another snapshot has taken its place. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    if (this.#streams === 0) this.#close();
  }

  #close(): void {
    this.chain.close();
    this.accessLog?.close();
    this.tls?.close();
  }
}

/** The figures of one listener. */
export class HttpMetrics {
  readonly connections: Counter;
  readonly activeConnections: Gauge;
  readonly requests: Counter;
  readonly activeStreams: Gauge;
  /** By the first digit of the status; index 0 counts streams that ended without a response. */
  readonly responses: readonly Counter[];
  readonly duration: Histogram;
  readonly received: Counter;
  readonly sent: Counter;
  readonly protocolErrors: Counter;

  constructor(metrics: Metrics, listener: string) {
    const labels = { listener };
    this.connections = metrics.counter('weir_downstream_connections_total', 'Connections accepted.', labels);
    this.activeConnections = metrics.gauge('weir_downstream_connections', 'Open connections.', labels);
    this.requests = metrics.counter('weir_requests_total', 'Requests begun.', labels);
    this.activeStreams = metrics.gauge('weir_requests_active', 'Requests in flight.', labels);
    this.responses = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'].map((code) =>
      metrics.counter('weir_responses_total', 'Requests ended, by class of status.', { ...labels, code }),
    );
    this.duration = metrics.histogram(
      'weir_request_duration_seconds',
      'From head of request to end of response.',
      labels,
    );
    this.received = metrics.counter('weir_received_body_bytes_total', 'Body bytes from clients.', labels);
    this.sent = metrics.counter('weir_sent_body_bytes_total', 'Body bytes to clients.', labels);
    this.protocolErrors = metrics.counter('weir_protocol_errors_total', 'Malformed requests.', labels);
  }
}

export interface HttpContext {
  readonly name: string;
  readonly wheel: TimerWheel;
  readonly logger: Logger;
  readonly metrics: HttpMetrics;
  /** No connection is to live on after its stream. */
  readonly draining: boolean;
  /** The snapshot for a new stream. */
  readonly snapshot: HttpSnapshot;
  nextStreamId(): number;
  nextConnectionId(): number;
  connectionClosed(connection: { close(): void }): void;
}
