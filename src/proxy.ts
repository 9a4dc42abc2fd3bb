/**
 * A data plane in the current thread: listeners, filters, clusters. A worker runs one, and so does the embedding API (main.ts).
 * A configuration is built whole (`prepare`) before any of it takes effect (`commit`).
 */
import { randomBytes } from 'node:crypto';
import type { FilterRuntime } from './abi/index.ts';
import { buildClusters, type Cluster, type ClusterSet } from './clusters/cluster.ts';
import { ExtensionBalancer } from './clusters/extension-balancer.ts';
import type { Balancer } from './clusters/load-balancer.ts';
import { filterName } from './config/check.ts';
import { ConfigurationError, type Diagnostic } from './config/diagnostics.ts';
import type { LoadedConfig } from './config/load.ts';
import type { ListenerConfig } from './config/schema.ts';
import { formatAddress } from './config/values.ts';
import { messageOf } from './errors.ts';
import { ExtensionAccessLog } from './filters/access-logger.ts';
import { FilterAdapter } from './filters/adapter.ts';
import { FilterChain } from './filters/filter-chain.ts';
import { EntryHost, type HostContext } from './filters/filter-host.ts';
import { FilterLoadError } from './filters/load-error.ts';
import { HttpSnapshot } from './http/http-context.ts';
import { Listener } from './listeners/listener.ts';
import { AccessLog, type AccessLogSink, compileAccessLogFormat } from './observability/access-log.ts';
import { createLogger, type Logger } from './observability/logger.ts';
import { Metrics } from './observability/metrics.ts';
import type { PluginSource } from './plugins/lease.ts';
import { PluginSet } from './plugins/plugin-set.ts';
import { RouteError, RouteTable } from './routing/route-table.ts';
import { createSharedMemory, SharedStore } from './shared-data.ts';
import { TimerWheel } from './timers.ts';
import { buildTls } from './tls/build.ts';

export interface DataPlaneOptions {
  /** Runtimes that filters may use, asked in this order what they run. */
  runtimes: readonly FilterRuntime[];
  logger?: Logger;
  metrics?: Metrics;
  /** One number in shared memory: the filter that runs now. */
  mark?: Int32Array;
  /** Called every 20 ms. */
  onTick?: () => void;
  /** What workers share; by default the data plane has a store of its own. */
  sharedMemory?: SharedArrayBuffer;
  /** 48 bytes by which data planes resume each other's TLS sessions; by default each has its own. */
  ticketKeys?: Uint8Array;
  /** Where plugins run; by default the data plane starts and stops its own. */
  plugins?: PluginSource;
  /** Several data planes share the addresses. */
  shared?: boolean;
}

/** A configuration that is built and waits for `commit` or `discard`. */
export interface Prepared {
  /** Files that filters were made from. */
  readonly files: readonly string[];
  readonly clusters: ClusterSet;
  readonly snapshots: readonly HttpSnapshot[];
  /** Load balancers that are extensions, for the clusters that are to use them. */
  readonly balancers: ReadonlyMap<Cluster, Balancer>;
}

export class DataPlane {
  readonly metrics: Metrics;
  readonly #logger: Logger;
  readonly #wheel: TimerWheel;
  readonly #adapter: FilterAdapter;
  readonly #mark: Int32Array;
  readonly #shared: boolean;
  readonly #sharedMemory: SharedArrayBuffer | undefined;
  readonly #ticketKeys: Buffer;
  readonly #plugins: PluginSource;
  /** The plugins that are this data plane's own. */
  readonly #ownPlugins: PluginSet | undefined;
  #store: SharedStore | undefined;
  readonly #listeners = new Map<string, Listener>();
  readonly #filterIds = new Map<string, number>();
  readonly #ids = { stream: 1, connection: 1 };
  #clusters: ClusterSet = new Map();
  #draining: Promise<void> | undefined;

  constructor(options: DataPlaneOptions) {
    this.metrics = options.metrics ?? new Metrics();
    this.#logger = options.logger ?? createLogger('info', 'text');
    this.#wheel = new TimerWheel(options.onTick);
    this.#adapter = new FilterAdapter(options.runtimes);
    this.#mark = options.mark ?? new Int32Array(1);
    this.#shared = options.shared ?? false;
    this.#sharedMemory = options.sharedMemory;
    this.#ticketKeys = Buffer.from(options.ticketKeys ?? randomBytes(48));
    this.#ownPlugins = options.plugins === undefined ? new PluginSet(this.#logger, this.metrics) : undefined;
    this.#plugins = options.plugins ?? (this.#ownPlugins as PluginSet);
  }

  get listeners(): readonly Listener[] {
    return [...this.#listeners.values()];
  }
  get clusters(): ClusterSet {
    return this.#clusters;
  }

  /** What the marks of filters mean, as `listener/filter`. */
  get filterNames(): ReadonlyMap<number, string> {
    return new Map([...this.#filterIds].map(([name, id]) => [id, name]));
  }

  /** The store lives as long as the data plane; its size is the first configuration's. */
  #storeOf(bytes: number): SharedStore {
    this.#store ??= new SharedStore(this.#sharedMemory ?? createSharedMemory(bytes));
    return this.#store;
  }

  /**
   * Builds everything that `loaded` describes, and changes nothing yet.
   * @throws ConfigurationError
   */
  async prepare(loaded: LoadedConfig): Promise<Prepared> {
    const { config, origin } = loaded;
    const clusters = buildClusters(config.clusters, this.#clusters, this.#wheel, this.metrics);
    const snapshots: HttpSnapshot[] = [];
    const faults: Diagnostic[] = [];
    const files = new Set<string>();
    const context = {
      adapter: this.#adapter,
      logger: this.#logger,
      metrics: this.metrics,
      mark: this.#mark,
      store: this.#storeOf(config.shared_memory),
      clusters,
      wheel: this.#wheel,
      plugins: this.#plugins,
      ticketKeys: this.#ticketKeys,
      idOf: (listener: string, filter: string) => this.#idOf(`${listener}/${filter}`),
    };
    const balancers = new Map<Cluster, Balancer>();
    for (const [i, { name, load_balancing: entry }] of config.clusters.entries()) {
      if (typeof entry === 'string') continue;
      const cluster = clusters.get(name) as Cluster;
      const host = new EntryHost(filterName(entry), '', context, files);
      const directory = origin.directoryOf('clusters', i);
      const path = ['load_balancing'];
      try {
        const made = await this.#adapter.loadExtension('loadBalancer', 'load balancers', entry, directory, host, path);
        balancers.set(cluster, new ExtensionBalancer(made, cluster.endpoints, name, this.#logger));
      } catch (error) {
        faults.push(...diagnose(error, ['clusters', i], loaded));
      }
    }
    for (const [i, listener] of config.listeners.entries()) {
      try {
        if (listener.access_log !== undefined) checkAccessLog(listener.access_log.format);
        const routes = new RouteTable(listener);
        const directory = origin.directoryOf('listeners', i);
        const previous = this.#listeners.get(listenerKey(listener))?.snapshot.tls;
        const tls = await buildTls(listener, directory, files, context, previous);
        const chain = await closing(tls, FilterChain.build(listener, directory, routes.routes, context));
        const accessLog = await closing(tls, closing(chain, this.#accessLog(listener, directory, files, context)));
        snapshots.push(new HttpSnapshot(listener, routes, chain, clusters, accessLog, tls));
      } catch (error) {
        faults.push(...diagnose(error, ['listeners', i], loaded));
      }
    }
    for (const { chain } of snapshots) for (const file of chain.files) files.add(file);
    const prepared = { files: [...files], clusters, snapshots, balancers };
    if (faults.length > 0) {
      this.discard(prepared);
      throw new ConfigurationError(faults);
    }
    return prepared;
  }

  async #accessLog(
    { name, access_log: log }: ListenerConfig,
    directory: string,
    files: Set<string>,
    context: HostContext,
  ): Promise<AccessLogSink | undefined> {
    if (log === undefined) return undefined;
    const dropped = this.metrics.counter('weir_access_log_dropped_total', 'Streams that were not logged.', {
      listener: name,
    });
    if (log.logger === undefined) return new AccessLog(log.path, log.format, dropped);
    const host = new EntryHost(filterName(log.logger), name, context, files);
    const path = ['access_log', 'logger'];
    const made = await this.#adapter.loadExtension('accessLogger', 'access loggers', log.logger, directory, host, path);
    return new ExtensionAccessLog(made, host.name, name, dropped, this.#logger);
  }

  /** Forgets what was built. */
  discard(prepared: Prepared): void {
    for (const snapshot of prepared.snapshots) snapshot.retire();
    for (const balancer of prepared.balancers.values()) balancer.close?.();
    this.#closeClusters(prepared.clusters, this.#clusters);
  }

  /**
   * Makes a prepared configuration the running one: first new addresses are opened, then all listeners get their snapshot
   * in one step, then addresses that are gone are drained.
   * @throws WeirError `listen_failed`; nothing has changed then.
   */
  async commit(prepared: Prepared): Promise<void> {
    const opened: Listener[] = [];
    try {
      for (const snapshot of prepared.snapshots) {
        const key = listenerKey(snapshot.config);
        if (this.#listeners.has(key)) continue;
        const listener = new Listener(snapshot, this.#wheel, this.#logger, this.metrics, this.#ids);
        await listener.listen(this.#shared);
        opened.push(listener);
      }
    } catch (error) {
      for (const listener of opened) listener.close();
      this.discard(prepared);
      throw error;
    }
    const previous = this.#clusters;
    this.#clusters = prepared.clusters;
    for (const [cluster, balancer] of prepared.balancers) cluster.useBalancer(balancer);
    const kept = new Set<string>();
    for (const snapshot of prepared.snapshots) {
      const key = listenerKey(snapshot.config);
      kept.add(key);
      const listener =
        this.#listeners.get(key) ?? (opened.find((candidate) => candidate.snapshot === snapshot) as Listener);
      this.#listeners.set(key, listener);
      listener.swap(snapshot);
    }
    for (const [key, listener] of this.#listeners) {
      if (kept.has(key)) continue;
      this.#listeners.delete(key);
      listener.drain();
    }
    this.#closeClusters(previous, prepared.clusters);
  }

  /** Stops accepting, lets streams end for at most `timeout` milliseconds, then ends the rest. */
  drain(timeout: number): Promise<void> {
    this.#draining ??= this.#drain(timeout);
    return this.#draining;
  }

  /** Ends everything now; resolves when the plugins have ended, too. */
  async close(): Promise<void> {
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
    this.#closeClusters(this.#clusters, new Map());
    this.#adapter.close();
    this.#wheel.close();
    await this.#ownPlugins?.close();
  }

  async #drain(timeout: number): Promise<void> {
    for (const listener of this.#listeners.values()) listener.drain();
    const deadline = performance.now() + timeout;
    while (this.listeners.some((listener) => listener.connectionCount > 0) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await this.close();
  }

  #closeClusters(clusters: ClusterSet, except: ClusterSet): void {
    for (const [name, cluster] of clusters) if (except.get(name) !== cluster) cluster.close();
  }

  #idOf(name: string): number {
    const known = this.#filterIds.get(name) ?? this.#filterIds.size + 1;
    this.#filterIds.set(name, known);
    return known;
  }
}

/** The same listener before and after a reload is the one with the same name and address. */
function listenerKey({ name, address }: Pick<ListenerConfig, 'name' | 'address'>): string {
  return `${name} ${formatAddress(address)}`;
}

/** What `made` waits for can fail: then what was made before it is closed. */
async function closing<T>(made: { close(): void } | undefined, next: Promise<T>): Promise<T> {
  try {
    return await next;
  } catch (error) {
    made?.close();
    throw error;
  }
}

function checkAccessLog(format: string): void {
  try {
    compileAccessLogFormat(format);
  } catch (error) {
    throw new RouteError(messageOf(error), ['access_log', 'format']);
  }
}

function diagnose(error: unknown, base: readonly (string | number)[], { origin }: LoadedConfig): Diagnostic[] {
  if (error instanceof RouteError) return [origin.diagnose([...base, ...error.path], error.message)];
  if (!(error instanceof FilterLoadError)) throw error;
  const { position, hint, message } = error.detail;
  const at = origin.diagnose([...base, ...error.path], message, hint, error.key);
  if (position === undefined) return [at];
  // The fault is in the script: that is the place to show; the entry that names it is the hint.
  const { file, line, column } = position;
  const named = [at.file, at.line, at.column].filter((part) => part !== undefined).join(':');
  return [
    {
      message,
      path: at.path,
      file,
      line,
      column,
      frame: position.frame,
      hint: hint ?? (named === '' ? undefined : `loaded by ${named}`),
    },
  ];
}
