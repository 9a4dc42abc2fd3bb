/** The machines of one data plane: entries with the same code and settings share one, and one that failed is made anew. */
import { createHash } from 'node:crypto';
import { ExtensionError, FilterConfigError, type FilterHost } from '../../src/abi/index.ts';
import { Backoff } from '../shared/wasm/backoff.ts';
import { type WasmLimits, type WasmModule, WasmModules } from '../shared/wasm/module.ts';
import type { RootContext } from './context.ts';
import { Machine } from './machine.ts';
import type { MachineSettings, PluginSettings, WasmOptions } from './options.ts';
import { SharedQueues, VmData } from './shared-store.ts';

/** The place of one machine, which is another one after a failure. */
export class MachineSlot {
  readonly #module: WasmModule;
  readonly #settings: MachineSettings;
  readonly #host: FilterHost;
  readonly #onUnused: () => void;
  #machine: Machine | undefined;
  readonly #backoff = new Backoff();
  #users = 0;

  constructor(module: WasmModule, settings: MachineSettings, host: FilterHost, onUnused: () => void) {
    this.#module = module;
    this.#settings = settings;
    this.#host = host;
    this.#onUnused = onUnused;
  }

  /**
   * A context for an entry of a new configuration.
   * @throws FilterConfigError when the module refuses it; what runs already is not touched.
   */
  add(plugin: PluginSettings): RootContext {
    // A plugin that fails to configure takes its machine with it: others that run there must not be hurt.
    if (this.#machine !== undefined && this.#machine.failed === undefined) this.#tryOut(plugin);
    const root = this.#current().openRoot(plugin);
    this.#users++;
    return root;
  }

  /** A context after the machine failed. @throws ExtensionError while it is too early, or when it fails again. */
  reopen(plugin: PluginSettings): RootContext {
    if (this.#machine?.failed !== undefined) this.#backoff.check();
    try {
      return this.#current().openRoot(plugin);
    } catch (error) {
      if (error instanceof FilterConfigError) throw new ExtensionError('threw', error.message, { cause: error });
      throw error;
    }
  }

  release(): void {
    if (--this.#users === 0) this.#onUnused();
  }

  /** The data plane ends: no tick, no answer to a call comes any more. */
  close(): void {
    for (const root of this.#machine?.roots ?? []) root.stop();
  }

  #tryOut(plugin: PluginSettings): void {
    const trial = new Machine(this.#module, this.#settings, this.#host.log);
    trial.openRoot(plugin);
    trial.fail(new ExtensionError('threw', 'this was a trial'));
  }

  #current(): Machine {
    if (this.#machine !== undefined && this.#machine.failed === undefined) return this.#machine;
    let machine: Machine;
    try {
      machine = new Machine(this.#module, this.#settings, this.#host.log);
    } catch (error) {
      this.#backoff.failed(error instanceof Error ? error.message : String(error));
      throw error;
    }
    machine.onFailure = () => this.#backoff.failed(machine.failed?.message ?? '');
    this.#machine = machine;
    return machine;
  }
}

export class Machines {
  readonly #modules = new WasmModules();
  readonly #slots = new Map<string, MachineSlot>();
  #queues: SharedQueues | undefined;

  /** The compiled module. @throws WasmFormatError */
  compile(bytes: Uint8Array, limits: WasmLimits): WasmModule {
    return this.#modules.get(bytes, limits);
  }

  /** The slot for entries with that code and those settings of a machine. */
  slot(module: WasmModule, options: WasmOptions, host: FilterHost): MachineSlot {
    const { vmId, vmConfiguration, environment, capabilities } = options;
    const key = createHash('sha256')
      .update(JSON.stringify([vmId, module.digest, module.limits, environment, [...(capabilities ?? [])]]))
      .update(vmConfiguration)
      .digest('hex');
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    this.#queues ??= new SharedQueues(host);
    const settings: MachineSettings = {
      vmId,
      configuration: vmConfiguration,
      environment,
      capabilities,
      shared: new VmData(host, vmId),
      queues: this.#queues,
    };
    const slot = new MachineSlot(module, settings, host, () => this.#slots.delete(key));
    this.#slots.set(key, slot);
    return slot;
  }

  close(): void {
    for (const slot of this.#slots.values()) slot.close();
    this.#queues?.close();
    this.#slots.clear();
  }
}
