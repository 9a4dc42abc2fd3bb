/** One route: what it matches, what it does with a request, and the settings that it gives to filters. */
import type { HeaderMap, Json } from '../abi/index.ts';
import type { RouteConfig, VirtualHostConfig } from '../config/schema.ts';
import { compileMatch, compileRegex, pathOf, type RequestMatcher } from './matchers.ts';

/** What a route, or else its virtual host, says of one filter. */
export interface RouteFilterSettings {
  readonly disabled: boolean;
  readonly config: Json | undefined;
  /** As they stand in the configuration: the route's, or else the virtual host's. */
  readonly given: Readonly<Record<string, Json>>;
}

/** A response that the route gives by itself. */
export interface DirectResponse {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly details: string;
}

export class Route {
  readonly name: string;
  readonly virtualHost: string;
  readonly matches: RequestMatcher;
  /** Milliseconds from the end of the request to the end of the response; 0: none. */
  readonly timeout: number;
  readonly metadata: Readonly<Record<string, Json>>;
  readonly virtualHostMetadata: Readonly<Record<string, Json>>;
  readonly #filters: ReadonlyMap<string, RouteFilterSettings>;
  readonly #config: RouteConfig;
  readonly #totalWeight: number;
  readonly #rewrite: ((headers: HeaderMap) => void) | undefined;

  /** Where it stands below its listener's configuration. */
  readonly path: readonly (string | number)[];

  /** @throws Error when a regular expression or a rewrite is malformed. */
  constructor(config: RouteConfig, host: VirtualHostConfig, index: number, path: readonly (string | number)[]) {
    this.path = path;
    this.name = config.name ?? `${host.name}/${index}`;
    this.virtualHost = host.name;
    this.matches = compileMatch(config.match);
    this.timeout = config.timeout;
    this.metadata = config.metadata as Readonly<Record<string, Json>>;
    this.virtualHostMetadata = host.metadata as Readonly<Record<string, Json>>;
    this.#filters = mergeSettings(host.filters, config.filters);
    this.#config = config;
    this.#totalWeight = (config.clusters ?? []).reduce((sum, { weight }) => sum + weight, 0);
    this.#rewrite = compileRewrite(config);
  }

  /** The settings of the filter of that name; `undefined` when there are none. */
  settingsOf(filter: string): RouteFilterSettings | undefined {
    return this.#filters.get(filter);
  }

  /** The name of the cluster for this request, by weight where there are several; `undefined` when the route answers itself. */
  chooseCluster(): string | undefined {
    const { cluster, clusters } = this.#config;
    if (clusters === undefined) return cluster;
    let left = Math.random() * this.#totalWeight;
    for (const choice of clusters) {
      left -= choice.weight;
      if (left < 0) return choice.name;
    }
    return clusters.findLast((choice) => choice.weight > 0)?.name;
  }

  /** The answer of a `respond` or `redirect` route. */
  directResponse(headers: HeaderMap): DirectResponse | undefined {
    const { respond, redirect } = this.#config;
    if (respond !== undefined) {
      return {
        status: respond.status,
        headers: Object.entries(respond.headers),
        body: respond.body,
        details: 'direct_response',
      };
    }
    if (redirect === undefined) return undefined;
    const target = headers.get(':path') ?? '/';
    const scheme = redirect.scheme ?? headers.get(':scheme') ?? 'http';
    const host = redirect.host ?? headers.get(':authority') ?? '';
    const matched = this.#config.match.prefix ?? '';
    const path =
      redirect.path ?? (redirect.prefix === undefined ? target : redirect.prefix + target.slice(matched.length));
    return {
      status: redirect.status,
      headers: [['location', `${scheme}://${host}${path}`]],
      body: '',
      details: 'direct_response',
    };
  }

  get rewrites(): boolean {
    return this.#rewrite !== undefined;
  }

  /** Applies the route's rewrite to the headers that go upstream. */
  rewrite(headers: HeaderMap): void {
    this.#rewrite?.(headers);
  }
}

function mergeSettings(
  host: VirtualHostConfig['filters'],
  route: RouteConfig['filters'],
): Map<string, RouteFilterSettings> {
  const merged = new Map<string, RouteFilterSettings>();
  for (const [name, settings] of [...Object.entries(host), ...Object.entries(route)]) {
    const outer = merged.get(name);
    merged.set(name, {
      disabled: settings.disabled ?? outer?.disabled ?? false,
      config: (settings.config as Json | undefined) ?? outer?.config,
      given: settings as Readonly<Record<string, Json>>,
    });
  }
  return merged;
}

function compileRewrite(config: RouteConfig): ((headers: HeaderMap) => void) | undefined {
  const { rewrite, match } = config;
  if (rewrite === undefined) return undefined;
  const { prefix, path, host } = rewrite;
  const regex = rewrite.regex === undefined ? undefined : compileRegex(rewrite.regex.pattern);
  const substitution = rewrite.regex?.substitution ?? '';
  return (headers) => {
    if (host !== undefined) headers.set(':authority', host);
    const target = headers.get(':path') ?? '/';
    const own = pathOf(headers);
    const query = target.slice(own.length);
    if (path !== undefined) headers.set(':path', path + query);
    else if (prefix !== undefined)
      headers.set(':path', prefix + target.slice((match.prefix ?? match.path ?? '').length));
    else if (regex !== undefined) headers.set(':path', regex.matcher(own).replaceAll(substitution) + query);
  };
}
