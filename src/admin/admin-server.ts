/** The admin API: what runs, how it does, and the two things that one may ask of it (reload, drain). */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Config } from '../config/schema.ts';
import { type Address, formatAddress } from '../config/values.ts';
import { messageOf } from '../errors.ts';
import { renderPrometheus, renderValues, sumOf } from '../observability/exposition.ts';
import type { Logger } from '../observability/logger.ts';
import type { MetricsReader } from '../observability/metrics.ts';
import type { PluginReport } from '../plugins/managed-plugin.ts';

/** One worker's listeners and clusters. */
export interface InspectedState {
  listeners: readonly { name: string; address: string; connections: number }[];
  clusters: readonly {
    name: string;
    endpoints: readonly {
      address: string;
      weight: number;
      active: number;
      connections: number;
      idle: number;
      pending: number;
    }[];
  }[];
}

/** What the API shows; the supervisor is it. */
export interface AdminSource {
  readonly ready: boolean;
  readonly version: number;
  /** Seconds. */
  readonly uptime: number;
  readonly config: Config;
  readonly lastReloadError: string;
  readonly metricsReaders: readonly MetricsReader[];
  readonly plugins: readonly PluginReport[];
  /** @throws Error when there is no plugin of that name, or its new processes do not start */
  changePlugin(name: string, change: PluginChange): Promise<void>;
  inspect(): Promise<InspectedState[]>;
  reload(reason: string): Promise<void>;
  drain(): Promise<void>;
}

const PLUGIN_CHANGES = ['enable', 'disable', 'restart'] as const;
export type PluginChange = (typeof PLUGIN_CHANGES)[number];

interface Answer {
  status?: number;
  type?: string;
  body: string;
}

type Endpoint = (source: AdminSource, query: URLSearchParams) => Answer | Promise<Answer>;

const ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  'GET /ready': (source) => (source.ready ? { body: 'ready\n' } : { status: 503, body: 'not ready\n' }),
  'GET /stats': (source) => json(renderValues(source.metricsReaders)),
  'GET /stats/prometheus': async (source) => ({
    type: 'text/plain; version=0.0.4; charset=utf-8',
    body: await renderPrometheus(source.metricsReaders),
  }),
  'GET /config_dump': (source) =>
    json({ version: source.version, last_reload_error: source.lastReloadError, config: redact(source.config) }),
  'GET /listeners': async (source) => json(sumListeners(await source.inspect())),
  'GET /clusters': async (source) => json(sumClusters(await source.inspect())),
  'GET /runtimes': (source) => json(runtimesOf(source.config)),
  'GET /plugins': (source) => json(source.plugins.map((plugin) => ({ ...plugin, ...callsOf(plugin.name, source) }))),
  'POST /plugins': async (source, query) => {
    const change = PLUGIN_CHANGES.find((key) => query.has(key));
    const name = change === undefined ? '' : query.get(change);
    if (change === undefined || !name) {
      return { status: 400, body: 'write: POST /plugins?restart=LISTENER/FILTER, or enable, or disable\n' };
    }
    try {
      await source.changePlugin(name, change);
      return { body: `${name}: ${change}d\n`.replace('restartd', 'restarted') };
    } catch (error) {
      return { status: 400, body: `${messageOf(error)}\n` };
    }
  },
  'GET /server_info': (source) => json({ state: source.ready ? 'live' : 'draining', uptime_seconds: source.uptime }),
  'POST /reload': async (source) => {
    const before = source.version;
    await source.reload('asked for by the admin API');
    if (source.lastReloadError !== '') return { status: 400, body: `${source.lastReloadError}\n` };
    return { body: `configuration ${source.version} is in force, before it ${before}\n` };
  },
  'POST /drain': (source) => {
    setImmediate(() => void source.drain());
    return { status: 202, body: 'draining\n' };
  },
};

export class AdminServer {
  readonly #source: AdminSource;
  readonly #logger: Logger;
  readonly #server: Server;

  constructor(source: AdminSource, logger: Logger) {
    this.#source = source;
    this.#logger = logger;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  /** `host:port` */
  get address(): string {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null
      ? formatAddress({ host: address.address, port: address.port })
      : '';
  }

  listen({ host, port }: Address): Promise<void> {
    if (!/^(?:127\.|::1$|localhost$)/.test(host)) {
      this.#logger.write('warn', `the admin API listens on ${host}: whoever reaches it can drain this proxy`);
    }
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => reject(new Error(`can't listen on admin address: ${error.message}`)));
      this.#server.listen(port, host, resolve);
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '/', query] = (request.url ?? '/').split('?');
    const endpoint = ENDPOINTS[`${request.method} ${path}`];
    let answer: Answer;
    try {
      answer = endpoint === undefined ? unknown(path) : await endpoint(this.#source, new URLSearchParams(query));
    } catch (error) {
      answer = { status: 500, body: `${messageOf(error)}\n` };
    }
    response.writeHead(answer.status ?? 200, { 'content-type': answer.type ?? 'text/plain; charset=utf-8' });
    response.end(answer.body);
  }
}

function json(value: unknown): Answer {
  return { type: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` };
}

function unknown(path: string): Answer {
  const other = Object.keys(ENDPOINTS).find((key) => key.endsWith(` ${path}`));
  if (other !== undefined) return { status: 405, body: `write: ${other}\n` };
  return { status: path === '/' ? 200 : 404, body: `${Object.keys(ENDPOINTS).join('\n')}\n` };
}

const SECRET = /secret|password|passwd|token|credential|authorization|api_?key|private_?key/i;

/** The configuration without what its keys call a secret, and without keys in PEM. */
export function redact(value: unknown): unknown {
  if (typeof value === 'string' && value.includes('PRIVATE KEY')) return '[redacted]';
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      SECRET.test(key) && inner !== null ? '[redacted]' : redact(inner),
    ]),
  );
}

function sumListeners(states: readonly InspectedState[]) {
  const sums = new Map<string, { name: string; address: string; workers: number; connections: number }>();
  for (const { name, address, connections } of states.flatMap((state) => state.listeners)) {
    const sum = sums.get(name) ?? { name, address, workers: 0, connections: 0 };
    sums.set(name, { ...sum, workers: sum.workers + 1, connections: sum.connections + connections });
  }
  return [...sums.values()];
}

function sumClusters(states: readonly InspectedState[]) {
  const [first, ...others] = states;
  return (first?.clusters ?? []).map((cluster) => ({
    name: cluster.name,
    endpoints: cluster.endpoints.map((endpoint) => {
      const sum = { ...endpoint };
      for (const state of others) {
        const same = state.clusters
          .find(({ name }) => name === cluster.name)
          ?.endpoints.find(({ address }) => address === endpoint.address);
        for (const key of ['active', 'connections', 'idle', 'pending'] as const) sum[key] += same?.[key] ?? 0;
      }
      return sum;
    }),
  }));
}

/** What the workers counted of the calls to a plugin, `listener/filter`. */
function callsOf(name: string, { metricsReaders }: AdminSource) {
  const [listener = '', filter = ''] = name.split('/');
  const labels = { filter, listener };
  const seconds = sumOf(metricsReaders, 'weir_filter_plugin_call_seconds', labels);
  const calls = seconds.at(-1) ?? 0;
  return {
    calls,
    failed_calls: sumOf(metricsReaders, 'weir_filter_plugin_failed_calls', labels)[0] ?? 0,
    mean_latency_ms: calls === 0 ? 0 : Number((((seconds.at(-2) ?? 0) / calls) * 1000).toFixed(3)),
  };
}

/** Which filters run, in which order, and what the configuration says of them. */
function runtimesOf(config: Config) {
  return config.listeners.map(({ name, filters }) => ({
    listener: name,
    filters: filters.map(({ use, runtime, name: own, on_error, limits }) => ({
      name: own ?? use?.split('/').at(-1),
      use: use ?? 'inline',
      runtime: runtime ?? 'found by its file',
      on_error,
      limits,
    })),
  }));
}
