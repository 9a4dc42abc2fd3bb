/** Plugins run beside the main thread; workers use them through messages. This file has both ends. */
import type { PluginSpec } from '../abi/index.ts';
import { PluginLease, type PluginSource, type PluginStatus } from '../plugins/lease.ts';
import type { PluginSet } from '../plugins/plugin-set.ts';
import type { FromPluginUser } from './messages.ts';

/** Milliseconds for which the plugins of a worker that died stay: the worker that replaces it wants them again. */
const INHERITANCE_TIME = 5000;

/** In a worker. */
export class RemotePlugins implements PluginSource {
  readonly #send: (message: FromPluginUser) => void;
  readonly #leases = new Map<number, PluginLease>();
  #next = 1;

  constructor(send: (message: FromPluginUser) => void) {
    this.#send = send;
  }

  open(spec: PluginSpec): PluginLease {
    const id = this.#next++;
    const lease = new PluginLease(
      (process, answered) => this.#send({ type: 'report-call', lease: id, process, answered }),
      () => {
        this.#leases.delete(id);
        this.#send({ type: 'close-plugin', lease: id });
      },
    );
    this.#leases.set(id, lease);
    this.#send({ type: 'open-plugin', lease: id, spec });
    return lease;
  }

  onStatus(lease: number, status: PluginStatus): void {
    this.#leases.get(lease)?.update(status);
  }
}

/** In the main thread, one for each worker. */
export class PluginUser {
  readonly #plugins: PluginSet;
  readonly #tell: (lease: number, status: PluginStatus) => void;
  readonly #leases = new Map<number, PluginLease>();

  constructor(plugins: PluginSet, tell: (lease: number, status: PluginStatus) => void) {
    this.#plugins = plugins;
    this.#tell = tell;
  }

  onMessage(message: FromPluginUser): void {
    const lease = this.#leases.get(message.lease);
    switch (message.type) {
      case 'open-plugin': {
        const { lease: id, spec } = message;
        const opened = this.#plugins.open(spec);
        this.#leases.set(id, opened);
        opened.onChange(() => this.#tell(id, opened.status));
        this.#tell(id, opened.status);
        break;
      }
      case 'report-call':
        lease?.report(message.process, message.answered);
        break;
      case 'close-plugin':
        this.#leases.delete(message.lease);
        lease?.close();
        break;
    }
  }

  /** The worker has ended. */
  close(): void {
    const left = [...this.#leases.values()];
    this.#leases.clear();
    setTimeout(() => {
      for (const lease of left) lease.close();
    }, INHERITANCE_TIME).unref();
  }
}
