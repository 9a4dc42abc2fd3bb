/** One address of a cluster, with its connections. */
import type { Json, LoadBalancerEndpoint } from '../abi/index.ts';
import { type Address, formatAddress } from '../config/values.ts';
import type { TimerWheel } from '../timers.ts';
import { ConnectionPool, type PoolLimits, type PoolMetrics } from './pool.ts';

export class Endpoint implements LoadBalancerEndpoint {
  readonly address: Address;
  /** `address:port`. */
  readonly name: string;
  readonly weight: number;
  readonly metadata: Readonly<Record<string, Json>>;
  /** Milliseconds. */
  readonly connectTimeout: number;
  readonly pool: ConnectionPool;
  /** Requests that are being served by it now. */
  active = 0;

  constructor(
    address: Address,
    weight: number,
    metadata: Readonly<Record<string, Json>>,
    connectTimeout: number,
    limits: PoolLimits,
    wheel: TimerWheel,
    metrics: PoolMetrics,
  ) {
    this.address = address;
    this.name = formatAddress(address);
    this.weight = weight;
    this.metadata = metadata;
    this.connectTimeout = connectTimeout;
    this.pool = new ConnectionPool(this, limits, wheel, metrics);
  }
}
