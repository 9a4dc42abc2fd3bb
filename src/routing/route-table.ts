/** Finds the route of a request: first the virtual host by domain, then the first of its routes that matches. */
import type { HeaderMap } from '../abi/index.ts';
import type { ListenerConfig, VirtualHostConfig } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import { Route } from './route.ts';

/** A route that can't be built; `path` is below the listener. */
export class RouteError extends Error {
  override readonly name = 'RouteError';
  readonly path: readonly (string | number)[];

  constructor(message: string, path: readonly (string | number)[]) {
    super(message);
    this.path = path;
  }
}

export class RouteTable {
  readonly routes: readonly Route[];
  readonly #exact = new Map<string, readonly Route[]>();
  /** `.example.com` → routes, the longest first. */
  readonly #suffixes: { suffix: string; routes: readonly Route[] }[] = [];
  #any: readonly Route[] | undefined;

  /** @throws RouteError */
  constructor(config: Pick<ListenerConfig, 'routes' | 'virtual_hosts'>) {
    const all: Route[] = [];
    const hosts: readonly VirtualHostConfig[] = config.virtual_hosts ?? [
      { name: 'default', domains: ['*'], routes: config.routes ?? [], filters: {}, metadata: {} },
    ];
    for (const [i, host] of hosts.entries()) {
      const path = config.virtual_hosts === undefined ? [] : ['virtual_hosts', i];
      const routes = host.routes.map((route, j) => {
        try {
          return new Route(route, host, j, [...path, 'routes', j]);
        } catch (error) {
          throw new RouteError(messageOf(error), [...path, 'routes', j]);
        }
      });
      all.push(...routes);
      for (const [j, domain] of host.domains.entries()) this.#addDomain(domain, routes, [...path, 'domains', j]);
    }
    this.#suffixes.sort((a, b) => b.suffix.length - a.suffix.length);
    this.routes = all;
  }

  /** The route of a request, or `undefined`. A domain without port also takes requests that name one. */
  find(headers: HeaderMap): Route | undefined {
    const candidates = this.#exact.size === 0 && this.#suffixes.length === 0 ? this.#any : this.#routesOf(headers);
    if (candidates === undefined) return undefined;
    for (const route of candidates) if (route.matches(headers)) return route;
    return undefined;
  }

  #routesOf(headers: HeaderMap): readonly Route[] | undefined {
    const authority = (headers.get(':authority') ?? '').toLowerCase();
    const host = authority.replace(/:[0-9]*$/, '');
    return this.#exact.get(authority) ?? this.#exact.get(host) ?? this.#bySuffix(host) ?? this.#any;
  }

  #bySuffix(host: string): readonly Route[] | undefined {
    return this.#suffixes.find(({ suffix }) => host.length > suffix.length && host.endsWith(suffix))?.routes;
  }

  #addDomain(domain: string, routes: readonly Route[], path: readonly (string | number)[]): void {
    const name = domain.toLowerCase();
    const taken = () => new RouteError(`the domain ${JSON.stringify(domain)} is taken by another virtual host`, path);
    if (name === '*') {
      if (this.#any !== undefined) throw taken();
      this.#any = routes;
    } else if (name.startsWith('*.')) {
      const suffix = name.slice(1);
      if (this.#suffixes.some((known) => known.suffix === suffix)) throw taken();
      this.#suffixes.push({ suffix, routes });
    } else if (name === '' || name.includes('*')) {
      throw new RouteError(`${JSON.stringify(domain)} is no domain: write a name, \`*.name\` or \`*\``, path);
    } else {
      if (this.#exact.has(name)) throw taken();
      this.#exact.set(name, routes);
    }
  }
}
