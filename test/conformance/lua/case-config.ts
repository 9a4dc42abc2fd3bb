/** A recorded case of Envoy as a configuration of Weir. */
import type { ConfigInput } from '../../../src/main.ts';

/** Envoy's settings that a case may have; see ../shared/conformance/lua/README.md. */
interface CaseConfig {
  filter?: Record<string, unknown>;
  per_route?: Record<string, unknown> & { disabled?: boolean };
  route_metadata?: Record<string, unknown>;
  vhost_metadata?: Record<string, unknown>;
  extra_routes?: EnvoyRoute[];
  buffer_limit?: number;
}

interface EnvoyRoute {
  name: string;
  match: { prefix?: string; path?: string };
  direct_response?: { status: number; body?: { inline_string: string } };
  route?: { cluster: string };
  metadata?: { filter_metadata: Record<string, unknown> };
  typed_per_filter_config?: Record<string, Record<string, unknown>>;
}

export interface Ports {
  listen: number;
  upstream: number;
  /** Closed. */
  dead: number;
}

const FILTER = 'lua';

/** @param engine the filter's `lua:`. */
export function caseConfig(lua: string, config: CaseConfig, ports: Ports, engine = '5.1'): ConfigInput {
  const route = {
    name: 'main-route',
    match: { prefix: '/' },
    cluster: 'upstream',
    metadata: config.route_metadata ?? {},
    ...(config.per_route === undefined ? {} : { filters: { [FILTER]: config.per_route } }),
  };
  const upstream = `127.0.0.1:${ports.upstream}`;
  return {
    workers: 1,
    log: { level: 'trace' },
    listeners: [
      {
        name: 'ingress',
        address: `127.0.0.1:${ports.listen}`,
        filters: [
          {
            runtime: 'lua',
            name: FILTER,
            source: lua,
            lua: engine,
            on_error: 'fail_open',
            envoy_compat: true,
            ...config.filter,
          },
        ],
        virtual_hosts: [
          {
            name: 'main-vhost',
            domains: ['*'],
            metadata: config.vhost_metadata ?? {},
            routes: [...(config.extra_routes ?? []).map(extraRoute), route],
          },
        ],
        ...(config.buffer_limit === undefined ? {} : { buffer_limit: config.buffer_limit }),
      },
    ],
    clusters: [
      { name: 'upstream', endpoints: [upstream] },
      { name: 'aux', endpoints: [upstream] },
      { name: 'dead', endpoints: [`127.0.0.1:${ports.dead}`] },
    ],
  } as ConfigInput;
}

function extraRoute({ name, match, direct_response, route, metadata, typed_per_filter_config }: EnvoyRoute) {
  const settings = typed_per_filter_config?.['envoy.filters.http.lua'];
  const { '@type': _, ...own } = settings ?? {};
  return {
    name,
    match,
    ...(route === undefined ? {} : { cluster: route.cluster }),
    ...(direct_response === undefined
      ? {}
      : { respond: { status: direct_response.status, body: direct_response.body?.inline_string ?? '' } }),
    ...(metadata === undefined ? {} : { metadata: metadata.filter_metadata }),
    ...(settings === undefined ? {} : { filters: { [FILTER]: own } }),
  };
}
