/** The main thread: loads configurations, runs the workers, replaces them when they are stuck or die, and reloads. */
import { randomBytes } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { availableParallelism, networkInterfaces, platform } from 'node:os';
import { AdminServer, type AdminSource, type InspectedState, type PluginChange } from '../admin/admin-server.ts';
import { ConfigurationError, type Diagnostic } from '../config/diagnostics.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { type Address, formatAddress } from '../config/values.ts';
import { messageOf } from '../errors.ts';
import { RetiredMetrics } from '../observability/exposition.ts';
import type { Logger } from '../observability/logger.ts';
import { Metrics, type MetricsReader } from '../observability/metrics.ts';
import type { PluginReport } from '../plugins/managed-plugin.ts';
import { PluginSet } from '../plugins/plugin-set.ts';
import { createSharedMemory } from '../shared-data.ts';
import { FileWatch } from './file-watch.ts';
import type { Directories } from './messages.ts';
import { WorkerHandle } from './worker-handle.ts';

/** Systems whose kernel spreads connections over sockets with SO_REUSEPORT. Source: Node, `net.Server.listen`, reusePort. */
const BALANCING_SYSTEMS = new Set(['linux', 'freebsd', 'dragonfly', 'sunos', 'aix']);
const WATCHDOG_INTERVAL = 100;
/** A worker that dies within so many milliseconds of its start is replaced after a pause that doubles, up to the last. */
const EARLY_DEATH = 10_000;
const MAX_PAUSE = 10_000;

export interface SupervisorOptions {
  /** Reads and validates the configuration; called again at each reload. */
  load: () => LoadedConfig;
  /** The module that a worker thread runs. */
  workerUrl: URL;
  logger: Logger;
  /** Reload when a file of the configuration changes; default true. */
  watch?: boolean;
}

export class Supervisor implements AdminSource {
  readonly #options: SupervisorOptions;
  readonly #logger: Logger;
  readonly #metrics = new Metrics();
  readonly #retired = new RetiredMetrics();
  readonly #workers = new Map<number, WorkerHandle>();
  readonly #ticketKeys = randomBytes(48);
  readonly #plugins: PluginSet;
  readonly #watch: FileWatch;
  readonly #startedAt = performance.now();
  /** What workers share; it outlives each of them. */
  #sharedMemory: SharedArrayBuffer | undefined;
  readonly #sharesAddresses = BALANCING_SYSTEMS.has(platform());
  readonly #reloads;
  readonly #reloadFailures;
  readonly #configVersion;
  #loaded!: LoadedConfig;
  #config!: Config;
  #version = 0;
  #admin: AdminServer | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #reloading: Promise<void> | undefined;
  #reloadAgain = false;
  #draining = false;
  #lastReloadError = '';
  /** Files that the filters were made from. */
  #files: readonly string[] = [];
  readonly #early = new Map<number, number>();
  #done: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.#plugins = new PluginSet(this.#logger, this.#metrics);
    this.#watch = new FileWatch(() => void this.reload('a file changed'));
    this.#reloads = this.#metrics.counter('weir_config_reloads_total', 'Configurations put in force after the first.');
    this.#reloadFailures = this.#metrics.counter(
      'weir_config_reload_failures_total',
      'Configurations that were refused.',
    );
    this.#configVersion = this.#metrics.gauge('weir_config_version', 'Number of the running configuration.');
  }

  get ready(): boolean {
    return this.#version > 0 && !this.#draining;
  }
  get lastReloadError(): string {
    return this.#lastReloadError;
  }
  get uptime(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }
  get version(): number {
    return this.#version;
  }
  /** The running configuration, addresses with the ports that were really taken. */
  get config(): Config {
    return this.#config;
  }
  /** The address that the admin API has, `host:port`. */
  get adminAddress(): string | undefined {
    return this.#admin?.address;
  }
  get metricsReaders(): readonly MetricsReader[] {
    return [this.#metrics, this.#retired, ...this.#workers.values()];
  }

  get plugins(): readonly PluginReport[] {
    return this.#plugins.reports;
  }

  async changePlugin(name: string, change: PluginChange): Promise<void> {
    const plugins = this.#plugins.named(name);
    if (plugins.length === 0) {
      const names = this.plugins.map((plugin) => plugin.name);
      throw new Error(`there is no plugin ${name}; there are: ${names.join(', ') || 'none'}`);
    }
    for (const plugin of plugins) {
      if (change === 'restart') await plugin.restart();
      else await plugin.setEnabled(change === 'enable');
    }
  }

  /**
   * Starts the workers with the first configuration.
   * @throws ConfigurationError; nothing runs then.
   */
  async start(): Promise<void> {
    const loaded = this.#options.load();
    const config = await this.#resolvePorts(loaded, undefined);
    let count = config.workers ?? availableParallelism();
    if (!this.#sharesAddresses && count > 1) {
      this.#logger.write(
        'warn',
        `this system does not spread connections over workers: one worker instead of ${count}`,
      );
      count = 1;
    }
    this.#config = config;
    this.#loaded = loaded;
    for (let i = 0; i < count; i++) this.#spawn(i);
    try {
      await this.#apply(loaded, config, new Map());
      if (config.admin !== undefined) {
        this.#admin = new AdminServer(this, this.#logger);
        await this.#admin.listen(config.admin.address);
      }
    } catch (error) {
      await this.#stop();
      throw error instanceof ConfigurationError ? error : new ConfigurationError([{ message: messageOf(error) }]);
    }
    this.#watchdog = setInterval(() => this.#checkWorkers(), WATCHDOG_INTERVAL);
  }

  /** Loads the configuration again; while it is refused, the running one stays. Never throws. */
  async reload(reason: string): Promise<void> {
    if (this.#draining) return;
    if (this.#reloading !== undefined) {
      this.#reloadAgain = true;
      await this.#reloading;
      return;
    }
    this.#reloading = this.#reload(reason);
    await this.#reloading;
    this.#reloading = undefined;
    if (this.#reloadAgain) {
      this.#reloadAgain = false;
      await this.reload('another change');
    }
  }

  /** Stops accepting, lets streams end, and ends; resolves when all workers have. */
  async drain(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const timeout = this.#config.drain_timeout;
    this.#logger.write('info', `draining: at most ${timeout / 1000} s`);
    const ended = new Promise<void>((resolve) => {
      this.#done = resolve;
    });
    for (const worker of this.#workers.values()) worker.drain(timeout);
    if (this.#workers.size === 0) this.#done?.();
    const late = setTimeout(() => this.#done?.(), timeout + 2000);
    await ended;
    clearTimeout(late);
    await this.#stop();
  }

  async inspect(): Promise<InspectedState[]> {
    const states = await Promise.all([...this.#workers.values()].map((worker) => worker.inspect()));
    return states.filter((state) => state !== undefined);
  }

  async #reload(reason: string): Promise<void> {
    const before = this.#watch.look();
    try {
      const loaded = this.#options.load();
      const config = await this.#resolvePorts(loaded, this.#config);
      await this.#apply(loaded, config, before);
      this.#reloads.add();
      this.#lastReloadError = '';
      this.#logger.write('info', `configuration ${this.#version} is in force: ${reason}`);
    } catch (error) {
      this.#reloadFailures.add();
      this.#lastReloadError = messageOf(error);
      this.#logger.write(
        'error',
        `the new configuration was refused, number ${this.#version} stays: ${messageOf(error)}`,
      );
      // What was just refused may be mended in a file that the running configuration does not name.
      if (error instanceof ConfigurationError)
        this.#watchFiles(
          error.diagnostics.map(({ file }) => file),
          before,
        );
    }
  }

  /** Prepares a configuration in all workers, and puts it in force when all could. */
  async #apply(loaded: LoadedConfig, config: Config, before: ReadonlyMap<string, string>): Promise<void> {
    const version = this.#version + 1;
    const workers = [...this.#workers.values()];
    const directories = directoriesOf(loaded);
    const results = await Promise.all(workers.map((worker) => worker.prepare(version, config, directories)));
    const failed = results.find((result) => 'faults' in result);
    if (failed !== undefined && 'faults' in failed) {
      for (const worker of workers) worker.discard(version);
      throw new ConfigurationError(failed.faults.map((fault) => locate(fault, loaded)));
    }
    const files = results.flatMap((result) => ('files' in result ? result.files : []));
    const faults = (await Promise.all(workers.map((worker) => worker.commit(version)))).flat();
    if (faults.length > 0) throw new ConfigurationError(faults.map((fault) => locate(fault, loaded)));
    this.#version = version;
    this.#configVersion.set(version);
    this.#config = config;
    this.#loaded = loaded;
    this.#files = files;
    this.#watchFiles([], before);
  }

  #watchFiles(further: readonly (string | undefined)[], before: ReadonlyMap<string, string>): void {
    if (this.#options.watch === false) return;
    const all = [...(this.#loaded?.origin.files ?? []), ...this.#files, ...further];
    this.#watch.set(all.filter((file) => file !== undefined && file !== '-') as string[], before);
  }

  #spawn(index: number): void {
    this.#sharedMemory ??= createSharedMemory(this.#config.shared_memory);
    const startedAt = performance.now();
    const worker = new WorkerHandle(
      this.#options.workerUrl,
      index,
      this.#config,
      this.#sharesAddresses,
      this.#sharedMemory,
      this.#ticketKeys,
      this.#plugins,
      (ended, reason) => this.#onWorkerEnd(ended, reason, startedAt),
    );
    this.#workers.set(index, worker);
  }

  #onWorkerEnd(worker: WorkerHandle, reason: string, startedAt: number): void {
    this.#retired.add(worker);
    this.#workers.delete(worker.index);
    if (this.#draining || this.#version === 0) {
      if (this.#workers.size === 0) this.#done?.();
      return;
    }
    const filter = worker.runningFilter;
    const place = filter === undefined ? '' : ` in filter ${filter}`;
    this.#logger.write('critical', `worker ${worker.index} ended (${reason})${place}: it is replaced`);
    this.#metrics
      .counter('weir_worker_restarts_total', 'Workers that were replaced, with the filter that they were in.', {
        filter: filter ?? '',
      })
      .add();
    const early = performance.now() - startedAt < EARLY_DEATH ? (this.#early.get(worker.index) ?? 0) + 1 : 0;
    this.#early.set(worker.index, early);
    // The first death costs no pause: the filter may fail once in a while only.
    const pause = early < 2 ? 0 : Math.min(MAX_PAUSE, 100 * 2 ** early);
    setTimeout(() => void this.#replace(worker.index), pause);
  }

  async #replace(index: number): Promise<void> {
    if (this.#draining || this.#workers.has(index)) return;
    await this.#reloading;
    this.#spawn(index);
    const worker = this.#workers.get(index) as WorkerHandle;
    const result = await worker.prepare(this.#version, this.#config, directoriesOf(this.#loaded));
    const faults = 'faults' in result ? result.faults : await worker.commit(this.#version);
    if (faults.length === 0) this.#logger.write('info', `worker ${index} serves again`);
    else worker.terminate(`it could not take the configuration: ${faults.map(({ message }) => message).join('; ')}`);
  }

  #checkWorkers(): void {
    const now = performance.now();
    for (const worker of this.#workers.values()) {
      const stuck = worker.stuckFor(now);
      if (worker.ended === undefined && stuck > this.#config.watchdog_timeout) {
        worker.terminate(`stuck for ${(stuck / 1000).toFixed(1)} s`);
      }
    }
  }

  /**
   * Sees to it that new addresses are free (workers share them, so that the system would not say it), and gives port 0 a
   * number that all workers can take.
   */
  async #resolvePorts(loaded: LoadedConfig, running: Config | undefined): Promise<Config> {
    const { config, origin } = loaded;
    const listeners = [];
    for (const [i, listener] of config.listeners.entries()) {
      const known = running?.listeners.find(({ name, address }) => {
        const samePort = listener.address.port === 0 || listener.address.port === address.port;
        return (
          samePort && address.host === listener.address.host && (listener.address.port !== 0 || name === listener.name)
        );
      });
      try {
        const port = known?.address.port ?? (await findPort(listener.address));
        listeners.push({ ...listener, address: { ...listener.address, port } });
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const why = code === 'EADDRINUSE' ? 'the address is in use by another program' : messageOf(error);
        const message = `can't listen on ${formatAddress(listener.address)}: ${why}`;
        throw new ConfigurationError([origin.diagnose(['listeners', i, 'address'], message)]);
      }
    }
    return { ...config, listeners };
  }

  async #stop(): Promise<void> {
    this.#draining = true;
    clearInterval(this.#watchdog);
    this.#watch.close();
    await this.#admin?.close();
    for (const worker of this.#workers.values()) worker.terminate('the supervisor stops');
    await this.#plugins.close();
  }
}

function directoriesOf({ config, origin }: LoadedConfig): Directories {
  return {
    listeners: config.listeners.map((_, i) => origin.directoryOf('listeners', i)),
    clusters: config.clusters.map((_, i) => origin.directoryOf('clusters', i)),
  };
}

/** A worker knows the path of a value; where that stands is known here. */
function locate(fault: Diagnostic, { origin }: LoadedConfig): Diagnostic {
  const { path, ...diagnostic } = fault;
  if (path === undefined) return diagnostic;
  const at = origin.diagnose(path, fault.message, fault.hint);
  if (fault.file === undefined) return at;
  const named = [at.file, at.line, at.column].filter((part) => part !== undefined).join(':');
  return { ...diagnostic, hint: fault.hint ?? (named === '' ? undefined : `loaded by ${named}`) };
}

/**
 * The port to listen on; one that is free where 0 is asked for. A socket that listens only to see whether the address is free would
 * take connections and drop them, so a given port is asked by connecting to it; what else is wrong with the address the workers say.
 * @throws Error with code EADDRINUSE
 */
function findPort({ host, port }: Address): Promise<number> {
  return port === 0 ? freePort(host) : checkUnused(host, port).then(() => port);
}

function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port: 0, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function checkUnused(host: string, port: number): Promise<void> {
  const local = localAddress(host);
  if (local === undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const socket = connect({ host: local, port });
    socket.once('connect', () => {
      socket.destroy();
      reject(Object.assign(new Error('the address is in use'), { code: 'EADDRINUSE' }));
    });
    socket.once('error', () => resolve());
  });
}

/** Where a program on this machine reaches `host`; `undefined` when it is not this machine's. */
function localAddress(host: string): string | undefined {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '::1';
  if (host.startsWith('127.') || host === '::1') return host;
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some(({ address }) => address === host) ? host : undefined;
}
