/** One address of a cluster, with its connections. */
import { type Address, formatAddress } from '../config/values.ts';
import type { TimerWheel } from '../timers.ts';
import { ConnectionPool, type PoolLimits, type PoolMetrics } from './pool.ts';

export class Endpoint {
  readonly address: Address;
  /** `address:port`. */
  readonly name: string;
  readonly weight: number;
  /** Milliseconds. */
  readonly connectTimeout: number;
  readonly pool: ConnectionPool;
  /** Requests that are being served by it now. */
  active = 0;

  constructor(
    address: Address,
    weight: number,
    connectTimeout: number,
    limits: PoolLimits,
    wheel: TimerWheel,
    metrics: PoolMetrics,
  ) {
    this.address = address;
    this.name = formatAddress(address);
    this.weight = weight;
    this.connectTimeout = connectTimeout;
    this.pool = new ConnectionPool(this, limits, wheel, metrics);
  }
}
