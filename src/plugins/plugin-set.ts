/** All plugins of a process: one for each distinct specification, shared by all who ask for it. */
import type { Plugin, PluginSpec } from '../abi/index.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { Guardian } from './guardian.ts';
import { PluginLease, type PluginSource } from './lease.ts';
import { ManagedPlugin, type PluginReport } from './managed-plugin.ts';

export class PluginSet implements PluginSource {
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #plugins = new Map<string, ManagedPlugin>();
  readonly #leases = new Map<PluginLease, ManagedPlugin>();
  readonly #stopping = new Set<Promise<void>>();
  #guardian: Guardian | undefined;
  #nextId = 1;

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger;
    this.#metrics = metrics;
  }

  get reports(): PluginReport[] {
    return [...this.#plugins.values()].map((plugin) => plugin.report);
  }

  open(spec: PluginSpec): PluginLease {
    const key = JSON.stringify(spec);
    const plugin = this.#plugins.get(key) ?? this.#create(key, spec);
    plugin.users++;
    const report: Plugin['report'] = (process, answered) => plugin.noteCall(process, answered);
    const lease: PluginLease = new PluginLease(report, () => this.#release(lease, key, plugin));
    this.#leases.set(lease, plugin);
    lease.update(plugin.status);
    return lease;
  }

  /** The plugins of that name: two versions of one may run during a reload. */
  named(name: string): ManagedPlugin[] {
    return [...this.#plugins.values()].filter(({ spec }) => spec.name === name);
  }

  /** Stops all of them. */
  async close(): Promise<void> {
    for (const plugin of this.#plugins.values()) this.#stop(plugin);
    this.#plugins.clear();
    await Promise.all(this.#stopping);
    this.#dismissGuardian();
  }

  #create(key: string, spec: PluginSpec): ManagedPlugin {
    this.#guardian ??= new Guardian();
    const onChange = () => {
      for (const [lease, its] of this.#leases) if (its === plugin) lease.update(plugin.status);
    };
    const plugin: ManagedPlugin = new ManagedPlugin(
      spec,
      this.#guardian,
      this.#logger,
      this.#metrics,
      () => this.#nextId++,
      onChange,
    );
    this.#plugins.set(key, plugin);
    return plugin;
  }

  #release(lease: PluginLease, key: string, plugin: ManagedPlugin): void {
    this.#leases.delete(lease);
    if (--plugin.users > 0 || this.#plugins.get(key) !== plugin) return;
    this.#plugins.delete(key);
    this.#stop(plugin);
  }

  #dismissGuardian(): void {
    this.#guardian?.close();
    this.#guardian = undefined;
  }

  #stop(plugin: ManagedPlugin): void {
    const stopping = plugin.close().finally(() => {
      this.#stopping.delete(stopping);
      if (this.#plugins.size === 0 && this.#stopping.size === 0) this.#dismissGuardian();
    });
    this.#stopping.add(stopping);
  }
}
