/** A named set of endpoints that serve the same thing, and the set of all clusters of a snapshot. */
import { isDeepStrictEqual } from 'node:util';
import type { Counter, HeaderMap, Histogram, Json } from '../abi/index.ts';
import type { ClusterConfig } from '../config/schema.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { TimerWheel } from '../timers.ts';
import { Endpoint } from './endpoint.ts';
import { closeGrpc } from './grpc.ts';
import { type Balancer, createLoadBalancer } from './load-balancer.ts';

export class Cluster {
  readonly name: string;
  readonly config: ClusterConfig;
  readonly endpoints: readonly Endpoint[];
  readonly requests: Counter;
  readonly retries: Counter;
  readonly failures: Counter;
  /** Seconds from the request's start upstream to the response's head. */
  readonly latency: Histogram;
  /** None until an extension has been loaded. */
  #balancer: Balancer | undefined;

  constructor(config: ClusterConfig, wheel: TimerWheel, metrics: Metrics) {
    const labels = { cluster: config.name };
    this.name = config.name;
    this.config = config;
    this.requests = metrics.counter('weir_upstream_requests_total', 'Requests sent to a cluster.', labels);
    this.retries = metrics.counter(
      'weir_upstream_retries_total',
      'Requests sent again after a stale connection.',
      labels,
    );
    this.failures = metrics.counter('weir_upstream_failures_total', 'Requests that got no whole response.', labels);
    this.latency = metrics.histogram('weir_upstream_latency_seconds', 'Time to the head of the response.', labels);
    const poolMetrics = {
      connections: metrics.counter('weir_upstream_connections_total', 'Connections made to a cluster.', labels),
      active: metrics.gauge('weir_upstream_connections', 'Connections to a cluster, idle ones included.', labels),
    };
    const limits = {
      maxConnections: config.max_connections,
      maxPending: config.max_pending,
      idleTimeout: config.idle_timeout,
      maxRequests: config.max_requests_per_connection,
      buffer: config.connection_buffer,
    };
    this.endpoints = config.endpoints.map(
      ({ address, weight, metadata }) =>
        new Endpoint(
          address,
          weight,
          metadata as Record<string, Json>,
          config.connect_timeout,
          limits,
          wheel,
          poolMetrics,
        ),
    );
    const { load_balancing: balancing } = config;
    if (typeof balancing === 'string') this.#balancer = createLoadBalancer(balancing, this.endpoints);
  }

  /** An endpoint for a request, but none of `excluded`; `undefined` when there is none. */
  choose(headers: HeaderMap, excluded?: ReadonlySet<Endpoint>): Endpoint | undefined {
    return this.#balancer?.choose(excluded, headers);
  }

  /** Another load balancer takes the place of the one that chose until now. */
  useBalancer(balancer: Balancer): void {
    this.#balancer?.close?.();
    this.#balancer = balancer;
  }

  /** The endpoint at `ip` or `ip:port`; without it another one, or with `strict` none. */
  chooseNamed({ address, strict }: { address: string; strict: boolean }, headers: HeaderMap): Endpoint | undefined {
    const named = this.endpoints.find(({ name }) => name === address || name.replace(/:[0-9]+$/, '') === address);
    return named ?? (strict ? undefined : this.choose(headers));
  }

  close(): void {
    this.#balancer?.close?.();
    for (const endpoint of this.endpoints) {
      endpoint.pool.close();
      closeGrpc(endpoint);
    }
  }
}

export type ClusterSet = ReadonlyMap<string, Cluster>;

/** The clusters of a new snapshot; one whose configuration did not change is taken over with its connections. */
export function buildClusters(
  configs: readonly ClusterConfig[],
  previous: ClusterSet,
  wheel: TimerWheel,
  metrics: Metrics,
): ClusterSet {
  const clusters = new Map<string, Cluster>();
  for (const config of configs) {
    const known = previous.get(config.name);
    const same = known !== undefined && isDeepStrictEqual(known.config, config);
    clusters.set(config.name, same ? known : new Cluster(config, wheel, metrics));
  }
  return clusters;
}
