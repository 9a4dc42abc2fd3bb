/** The shape of a configuration, its defaults and its types. */
import { z } from 'zod';
import { address, count, duration, size } from './values.ts';

const json = z.json();
const metadata = z.record(z.string(), json);

const valueMatcher = z.union([
  z.string(),
  z.strictObject({
    exact: z.string().optional(),
    prefix: z.string().optional(),
    regex: z.string().optional(),
    present: z.boolean().optional(),
  }),
]);

const requestMatch = z
  .strictObject({
    prefix: z.string().startsWith('/').optional(),
    path: z.string().startsWith('/').optional(),
    regex: z.string().optional(),
    headers: z.record(z.string(), valueMatcher).optional(),
    method: z.union([z.string(), z.array(z.string())]).optional(),
    query: z.record(z.string(), valueMatcher).optional(),
    connect: z.boolean().optional().describe('match CONNECT requests, which nothing else matches'),
  })
  .superRefine((match, context) => {
    const given = (['prefix', 'path', 'regex'] as const).filter((key) => match[key] !== undefined);
    if (given.length > 1) {
      context.addIssue({
        code: 'custom',
        path: [given[1] as string],
        message: `give one of ${given.join(' and ')}, not both`,
      });
    }
  });

/** Further keys are the filter's own: `FilterChain` checks them. */
const routeFilters = z.record(
  z.string(),
  z.object({ disabled: z.boolean().optional(), config: json.optional() }).catchall(z.unknown()),
);

const route = z
  .strictObject({
    name: z.string().optional(),
    match: requestMatch.prefault({}),
    cluster: z.string().optional(),
    clusters: z
      .array(z.strictObject({ name: z.string(), weight: z.int().min(0) }))
      .nonempty()
      .optional(),
    redirect: z
      .strictObject({
        status: z.union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)]).default(301),
        scheme: z.enum(['http', 'https']).optional(),
        host: z.string().optional(),
        path: z.string().startsWith('/').optional(),
        prefix: z.string().startsWith('/').optional(),
      })
      .optional(),
    respond: z
      .strictObject({
        status: z.int().min(200).max(599),
        body: z.string().default(''),
        headers: z.record(z.string(), z.string()).default({}),
      })
      .optional(),
    rewrite: z
      .strictObject({
        prefix: z.string().startsWith('/').optional(),
        path: z.string().startsWith('/').optional(),
        regex: z.strictObject({ pattern: z.string(), substitution: z.string() }).optional(),
        host: z.string().optional(),
      })
      .optional(),
    timeout: duration().default(15_000).describe('from the end of the request to the end of the response; 0: none'),
    metadata: metadata.default({}),
    filters: routeFilters.default({}),
  })
  .superRefine((value, context) => {
    const given = (['cluster', 'clusters', 'redirect', 'respond'] as const).filter((key) => value[key] !== undefined);
    if (given.length === 0) {
      context.addIssue({ code: 'custom', message: 'a route needs one of cluster, clusters, redirect and respond' });
    } else if (given.length > 1) {
      context.addIssue({
        code: 'custom',
        path: [given[1] as string],
        message: `give one of ${given.join(' and ')}, not both`,
      });
    }
  });

const virtualHost = z.strictObject({
  name: z.string(),
  domains: z.array(z.string()).nonempty(),
  routes: z.array(route),
  metadata: metadata.default({}),
  filters: routeFilters.default({}),
});

/** Further keys are the runtime's own: `FilterAdapter` checks them. */
const filter = z
  .object({
    use: z.string().optional(),
    runtime: z.string().optional(),
    name: z.string().optional(),
    source: z.string().optional(),
    config: json.optional(),
    on_error: z.enum(['fail_closed', 'fail_open']).optional().describe('default: fail_closed'),
    error_status: z.int().min(400).max(599).optional().describe('default: 500; of a Proxy-Wasm module 503'),
    limits: z
      .strictObject({
        instructions: count(1).optional().describe('of a hook; default: 1,000,000 in Lua, 20,000,000 in WebAssembly'),
        memory: size().optional().describe('default: 16 MiB in Lua, 64 MiB in WebAssembly'),
        time: duration().default(5000),
      })
      .prefault({}),
    phase: z.enum(['before-route', 'after-route', 'after-choose-endpoint']).optional(),
    match: requestMatch.optional(),
  })
  .catchall(z.unknown())
  .superRefine((value, context) => {
    if (value.use === undefined && value.source === undefined && value.runtime === undefined) {
      context.addIssue({
        code: 'custom',
        message: 'a filter needs `use:` (a file or a built-in) or `source:` with `runtime:`',
      });
    } else if (value.use !== undefined && value.source !== undefined) {
      context.addIssue({ code: 'custom', path: ['source'], message: 'give one of use and source, not both' });
    } else if (value.source !== undefined && (value.runtime === undefined || value.name === undefined)) {
      context.addIssue({ code: 'custom', path: ['source'], message: 'an inline source needs `runtime:` and `name:`' });
    } else if (value.use === undefined && value.name === undefined) {
      context.addIssue({ code: 'custom', message: 'a filter without `use:` needs a `name:`' });
    }
  });

/** An extension of another kind than a filter; further keys are its runtime's own. */
const extension = z
  .object({ use: z.string(), runtime: z.string().optional(), name: z.string().optional(), config: json.optional() })
  .catchall(z.unknown());

const tlsVersion = z.enum(['1.2', '1.3']);

const tls = z
  .strictObject({
    certificates: z
      .array(z.strictObject({ cert: z.string(), key: z.string() }))
      .default([])
      .describe('PEM files, or PEM itself; the first serves clients that ask for no name, or for an unknown one'),
    provider: extension.optional().describe('gives certificates for names that `certificates` has none for'),
    provider_timeout: duration().default(3000).describe('that a handshake waits for the provider'),
    provider_refresh: duration().default(60_000).describe('until the provider is asked again'),
    client_ca: z.string().optional().describe('PEM file: clients are asked for a certificate from one of these CAs'),
    require_client_certificate: z.boolean().default(false),
    min_version: tlsVersion.default('1.2'),
    max_version: tlsVersion.default('1.3'),
    ciphers: z.string().optional().describe("OpenSSL's list"),
    handshake_timeout: duration().default(10_000),
  })
  .superRefine((value, context) => {
    const issue = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (value.certificates.length === 0 && value.provider === undefined) {
      issue([], '`tls:` needs `certificates:` or a `provider:`');
    }
    if (value.min_version > value.max_version) issue(['min_version'], 'min_version is above max_version');
    if (value.require_client_certificate && value.client_ca === undefined) {
      issue(['require_client_certificate'], 'give `client_ca:`, so that there is something to check against');
    }
  });

const accessLog = z.strictObject({
  logger: extension.optional().describe('takes the streams in the place of a file'),
  path: z.string().default('/dev/stdout'),
  format: z.string().default('json').describe('`json`, or a line with operators such as %REQ(:path)% %RESPONSE_CODE%'),
});

const listener = z
  .strictObject({
    name: z.string(),
    address: address(),
    tls: tls.optional(),
    filters: z.array(filter).default([]),
    routes: z.array(route).optional(),
    virtual_hosts: z.array(virtualHost).optional(),
    access_log: accessLog.optional(),
    max_head_size: size().default(64 * 1024),
    max_headers: count(1).default(100),
    max_target_size: size().default(16 * 1024),
    max_body_size: size().default(0).describe('413 above it; 0: no limit, bodies are streamed'),
    buffer_limit: size()
      .default(1024 * 1024)
      .describe('bytes of one body that filters may hold back'),
    header_timeout: duration().default(15_000).describe('for the head of a request, 408 after it'),
    request_timeout: duration().default(300_000).describe('for the whole request, 408 after it'),
    idle_timeout: duration().default(75_000).describe('of a connection between requests'),
    stream_idle_timeout: duration().default(300_000).describe('of a stream or tunnel on which nothing moves'),
    max_connections: count(1).default(65_536).describe('per worker'),
    debug_errors: z.boolean().default(false).describe('tell clients in the header x-weir-error why a filter failed'),
  })
  .superRefine((value, context) => {
    if (value.routes !== undefined && value.virtual_hosts !== undefined) {
      context.addIssue({ code: 'custom', path: ['routes'], message: 'give one of routes and virtual_hosts, not both' });
    } else if (value.routes === undefined && value.virtual_hosts === undefined) {
      context.addIssue({ code: 'custom', message: 'a listener needs `routes:` or `virtual_hosts:`' });
    }
  });

const endpoint = z.union([
  address().transform((value) => ({ address: value, weight: 1, metadata: {} as Record<string, unknown> })),
  z.strictObject({
    address: address(),
    weight: z.int().min(1).max(1000).default(1),
    metadata: metadata.default({}),
  }),
]);

const cluster = z.strictObject({
  name: z.string(),
  endpoints: z.array(endpoint),
  load_balancing: z
    .union([z.enum(['round_robin', 'least_request', 'random']), extension])
    .default('round_robin')
    .describe('or a module: { use, config }'),
  connect_timeout: duration().default(5000),
  idle_timeout: duration().default(60_000).describe('of a pooled connection'),
  max_connections: count(1).default(1024).describe('per endpoint and worker'),
  max_requests_per_connection: count(0).default(0).describe('0: no limit'),
  connection_buffer: size()
    .default(64 * 1024)
    .describe('bytes that wait on a connection before the client is slowed down'),
  max_pending: count(0).default(1024).describe('requests that wait for a connection, per endpoint and worker'),
});

export const configSchema = z.strictObject({
  include: z.array(z.string()).optional().describe('further files; their listeners and clusters are added'),
  workers: z.int().min(1).max(256).optional().describe('default: one per core'),
  admin: z.strictObject({ address: address() }).optional(),
  log: z
    .strictObject({
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'critical', 'silent']).default('info'),
      format: z.enum(['text', 'json']).default('text'),
    })
    .prefault({}),
  drain_timeout: duration().default(30_000).describe('for streams in flight after SIGTERM'),
  watchdog_timeout: duration().default(2000).describe('a worker that is stuck for so long is replaced'),
  worker_memory: size()
    .default(2 * 1024 ** 3)
    .describe('JavaScript heap of a worker; over it the worker is replaced'),
  shared_memory: size()
    .default(4 * 1024 ** 2)
    .describe('for data that workers share; changes at the next start'),
  listeners: z.array(listener).default([]),
  clusters: z.array(cluster).default([]),
});

/** A configuration as a person writes it (or an embedding program gives it). */
export type ConfigInput = z.input<typeof configSchema>;
/** A validated configuration: defaults filled in, sizes in bytes, durations in milliseconds. */
export type Config = z.output<typeof configSchema>;
export type ListenerConfig = Config['listeners'][number];
export type FilterConfig = ListenerConfig['filters'][number];
export type RouteConfig = NonNullable<ListenerConfig['routes']>[number];
export type VirtualHostConfig = NonNullable<ListenerConfig['virtual_hosts']>[number];
export type RequestMatchConfig = RouteConfig['match'];
export type ClusterConfig = Config['clusters'][number];

export type TlsConfig = NonNullable<ListenerConfig['tls']>;
export type ExtensionConfig = z.output<typeof extension> | FilterConfig;

/** The keys that every entry of a filter may have. */
export const FILTER_KEYS: readonly string[] = Object.keys(filter.shape);

/** The keys that every entry of another extension may have. */
export const EXTENSION_KEYS: readonly string[] = Object.keys(extension.shape);

/** The JSON Schema of a configuration file, for editors. */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' });
  return { ...schema, title: 'Weir configuration' };
}
