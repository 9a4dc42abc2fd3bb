/** Load balancers: which endpoint of a cluster gets the next request. */
import type { FilterHost } from './filter.ts';
import type { HeaderMap } from './headers.ts';
import type { Json } from './stream.ts';

export interface LoadBalancerEndpoint {
  /** `address:port`. */
  readonly name: string;
  readonly weight: number;
  /** Requests that it serves now, of this worker. */
  readonly active: number;
  /** The endpoint's `metadata:`. */
  readonly metadata: Readonly<Record<string, Json>>;
}

/** One for each cluster and worker. */
export interface LoadBalancer {
  /** When: once, before the first choice. @param endpoints all of the cluster; the same objects that `choose` gets */
  onEndpoints?(endpoints: readonly LoadBalancerEndpoint[]): void;
  /**
   * Chooses one of `endpoints`, synchronously. What it throws, or anything else that it gives, answers the request with 503.
   * @param endpoints never empty; without those that the request was sent to in vain. The same objects each time, so they can be keys.
   * @param headers of the request; of a filter's call those of the call.
   */
  choose(endpoints: readonly LoadBalancerEndpoint[], headers: HeaderMap): LoadBalancerEndpoint;
  /** When: another one has taken its place, or the cluster is gone. */
  close?(): void;
}

/** The fixed name that a module exports. @throws FilterConfigError when `config` is bad. */
export type CreateLoadBalancer = (config: Json, host: FilterHost) => LoadBalancer | Promise<LoadBalancer>;
