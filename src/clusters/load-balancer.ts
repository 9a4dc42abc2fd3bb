/** Which endpoint of a cluster gets the next request. */
import type { HeaderMap } from '../abi/index.ts';
import type { Endpoint } from './endpoint.ts';

export interface Balancer {
  /** `undefined` when there is no endpoint, or all are in `excluded`. */
  choose(excluded: ReadonlySet<Endpoint> | undefined, headers: HeaderMap): Endpoint | undefined;
  close?(): void;
}

export type LoadBalancerName = 'round_robin' | 'least_request' | 'random';

export function createLoadBalancer(name: LoadBalancerName, endpoints: readonly Endpoint[]): Balancer {
  if (name === 'random') return new Random(endpoints);
  return name === 'least_request' ? new LeastRequest(endpoints) : new RoundRobin(endpoints);
}

/** In turn; with weights, nginx's smooth weighted round robin, which spreads the turns of a heavy endpoint. */
class RoundRobin implements Balancer {
  readonly #endpoints: readonly Endpoint[];
  readonly #equal: boolean;
  readonly #current: number[];
  #next: number;

  constructor(endpoints: readonly Endpoint[]) {
    this.#endpoints = endpoints;
    this.#equal = endpoints.every(({ weight }) => weight === endpoints[0]?.weight);
    this.#current = endpoints.map(() => 0);
    // Workers must not all begin with the first endpoint.
    this.#next = Math.floor(Math.random() * endpoints.length);
  }

  choose(excluded: ReadonlySet<Endpoint> | undefined): Endpoint | undefined {
    const endpoints = this.#endpoints;
    if (!this.#equal) return this.#chooseWeighted(excluded);
    for (let tries = endpoints.length; tries > 0; tries--) {
      const endpoint = endpoints[this.#next] as Endpoint;
      this.#next = this.#next + 1 === endpoints.length ? 0 : this.#next + 1;
      if (excluded?.has(endpoint) !== true) return endpoint;
    }
    return undefined;
  }

  #chooseWeighted(excluded: ReadonlySet<Endpoint> | undefined): Endpoint | undefined {
    let total = 0;
    let best = -1;
    for (const [i, endpoint] of this.#endpoints.entries()) {
      if (excluded?.has(endpoint) === true) continue;
      total += endpoint.weight;
      const current = (this.#current[i] as number) + endpoint.weight;
      this.#current[i] = current;
      if (best < 0 || current > (this.#current[best] as number)) best = i;
    }
    if (best < 0) return undefined;
    (this.#current[best] as number) -= total;
    return this.#endpoints[best];
  }
}

/** Any, a heavier one more often. */
class Random implements Balancer {
  readonly #endpoints: readonly Endpoint[];

  constructor(endpoints: readonly Endpoint[]) {
    this.#endpoints = endpoints;
  }

  choose(excluded: ReadonlySet<Endpoint> | undefined): Endpoint | undefined {
    const candidates = this.#endpoints.filter((endpoint) => excluded?.has(endpoint) !== true);
    let drawn = Math.random() * candidates.reduce((sum, { weight }) => sum + weight, 0);
    const found = candidates.find(({ weight }) => {
      drawn -= weight;
      return drawn < 0;
    });
    return found ?? candidates.at(-1);
  }
}

/** Of two endpoints drawn at random, the one with fewer requests for its weight ("power of two choices", as Envoy). */
class LeastRequest implements Balancer {
  readonly #endpoints: readonly Endpoint[];

  constructor(endpoints: readonly Endpoint[]) {
    this.#endpoints = endpoints;
  }

  choose(excluded: ReadonlySet<Endpoint> | undefined): Endpoint | undefined {
    const candidates =
      excluded === undefined || excluded.size === 0
        ? this.#endpoints
        : this.#endpoints.filter((endpoint) => !excluded.has(endpoint));
    const count = candidates.length;
    if (count < 2) return candidates[0];
    const first = Math.floor(Math.random() * count);
    const second = (first + 1 + Math.floor(Math.random() * (count - 1))) % count;
    const a = candidates[first] as Endpoint;
    const b = candidates[second] as Endpoint;
    return (b.active + 1) / b.weight < (a.active + 1) / a.weight ? b : a;
  }
}
