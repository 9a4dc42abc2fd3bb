/** A load balancer that is an extension. What it gets wrong is an answer without an endpoint, never another endpoint. */
import { type HeaderMap, type LoadBalancer, occasionally } from '../abi/index.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { Endpoint } from './endpoint.ts';
import type { Balancer } from './load-balancer.ts';

export class ExtensionBalancer implements Balancer {
  readonly #extension: LoadBalancer;
  readonly #endpoints: readonly Endpoint[];
  readonly #tell: (message: string) => void;

  constructor(extension: LoadBalancer, endpoints: readonly Endpoint[], cluster: string, logger: Logger) {
    this.#extension = extension;
    this.#endpoints = endpoints;
    this.#tell = occasionally((why) => logger.write('error', `the load balancer of cluster ${cluster} failed: ${why}`));
    extension.onEndpoints?.(endpoints);
  }

  choose(excluded: ReadonlySet<Endpoint> | undefined, headers: HeaderMap): Endpoint | undefined {
    const all = this.#endpoints;
    const candidates =
      excluded === undefined || excluded.size === 0 ? all : all.filter((endpoint) => !excluded.has(endpoint));
    if (candidates.length === 0) return undefined;
    try {
      const chosen = this.#extension.choose(candidates, headers) as Endpoint;
      if (candidates.includes(chosen)) return chosen;
      this.#tell('it chose none of the endpoints that it was given');
    } catch (error) {
      this.#tell(messageOf(error));
    }
    return undefined;
  }

  close(): void {
    this.#extension.close?.();
  }
}
