/** A worker: a data plane in a thread of its own that does what the supervisor says. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { FilterRuntime } from '../abi/index.ts';
import type { InspectedState } from '../admin/admin-server.ts';
import { type ConfigPath, ConfigurationError, type Diagnostic } from '../config/diagnostics.ts';
import type { LoadedConfig } from '../config/load.ts';
import { formatAddress } from '../config/values.ts';
import { messageOf } from '../errors.ts';
import { createLogger } from '../observability/logger.ts';
import { DataPlane, type Prepared } from '../proxy.ts';
import type { Directories, FromWorker, ToWorker, WorkerData } from './messages.ts';
import { RemotePlugins } from './plugin-relay.ts';

/** Runs this thread as a worker; it ends when its listeners have drained or the supervisor ends it. */
export function runWorker(runtimes: readonly FilterRuntime[]): void {
  new WorkerThread(parentPort as MessagePort, workerData as WorkerData, runtimes).start();
}

class WorkerThread {
  readonly #port: MessagePort;
  readonly #plane: DataPlane;
  readonly #plugins = new RemotePlugins((message) => this.#send(message));
  readonly #prepared = new Map<number, Prepared>();
  #reportedMetrics = 0;

  constructor(port: MessagePort, data: WorkerData, runtimes: readonly FilterRuntime[]) {
    this.#port = port;
    const heartbeat = new Int32Array(data.shared, 0, 1);
    const logger = createLogger(data.log.level, data.log.format);
    this.#plane = new DataPlane({
      runtimes,
      logger,
      mark: new Int32Array(data.shared, Int32Array.BYTES_PER_ELEMENT, 1),
      onTick: () => Atomics.add(heartbeat, 0, 1),
      sharedMemory: data.sharedMemory,
      ticketKeys: data.ticketKeys,
      plugins: this.#plugins,
      shared: data.sharesAddresses,
    });
    // A promise that a filter forgot must not cost the other streams their worker.
    process.on('unhandledRejection', (reason) => {
      logger.write('error', `unhandled rejection in a filter: ${messageOf(reason)}`);
    });
  }

  start(): void {
    this.#port.on('message', (message: ToWorker) => void this.#onMessage(message));
  }

  async #onMessage(message: ToWorker): Promise<void> {
    switch (message.type) {
      case 'prepare':
        await this.#prepare(message.version, message);
        break;
      case 'commit':
        await this.#commit(message.version);
        break;
      case 'discard': {
        const prepared = this.#prepared.get(message.version);
        this.#prepared.delete(message.version);
        if (prepared !== undefined) this.#plane.discard(prepared);
        break;
      }
      case 'inspect':
        this.#send({ type: 'inspected', id: message.id, state: this.#state() });
        break;
      case 'plugin':
        this.#plugins.onStatus(message.lease, message.status);
        break;
      case 'drain':
        await this.#plane.drain(message.timeout);
        this.#port.close();
        break;
    }
  }

  async #prepare(
    version: number,
    { config, directories }: Pick<LoadedConfig, 'config'> & { directories: Directories },
  ) {
    const origin = {
      files: [],
      directoryOf: (kind: 'listeners' | 'clusters', i: number) => directories[kind][i] as string,
      diagnose: (path: ConfigPath, message: string, hint?: string): Diagnostic => ({ path, message, hint }),
    };
    try {
      const prepared = await this.#plane.prepare({ config, origin });
      this.#prepared.set(version, prepared);
      this.#report();
      this.#send({ type: 'prepared', version, files: prepared.files });
    } catch (error) {
      this.#fail(version, error);
    }
  }

  async #commit(version: number): Promise<void> {
    const prepared = this.#prepared.get(version);
    if (prepared === undefined) return;
    this.#prepared.delete(version);
    try {
      await this.#plane.commit(prepared);
      this.#report();
      this.#send({ type: 'committed', version });
    } catch (error) {
      this.#fail(version, error);
    }
  }

  #fail(version: number, error: unknown): void {
    const faults = error instanceof ConfigurationError ? error.diagnostics : [{ message: messageOf(error) }];
    this.#send({ type: 'failed', version, faults });
  }

  /** Tells where metrics are, and what the filters' marks mean, when there are new ones. */
  #report(): void {
    const { pages, descriptors } = this.#plane.metrics;
    if (descriptors.length === this.#reportedMetrics) return;
    this.#reportedMetrics = descriptors.length;
    this.#send({ type: 'metrics', pages, descriptors });
    this.#send({ type: 'filters', names: this.#plane.filterNames });
  }

  #state(): InspectedState {
    return {
      listeners: this.#plane.listeners.map((listener) => ({
        name: listener.name,
        address: listener.key,
        connections: listener.connectionCount,
      })),
      clusters: [...this.#plane.clusters.values()].map((cluster) => ({
        name: cluster.name,
        endpoints: cluster.endpoints.map(({ address, weight, active, pool }) => ({
          address: formatAddress(address),
          weight,
          active,
          connections: pool.size,
          idle: pool.idleCount,
          pending: pool.pendingCount,
        })),
      })),
    };
  }

  #send(message: FromWorker): void {
    this.#port.postMessage(message);
  }
}
