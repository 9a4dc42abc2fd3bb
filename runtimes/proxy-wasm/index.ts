/** The Proxy-Wasm runtime: modules for ABI 0.1.0, 0.2.0 and 0.2.1, as Envoy and its relatives run them. */
import {
  type FailurePolicy,
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  type Stream,
  type StreamFilter,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { isCoreModule, WasmFormatError } from '../shared/wasm/binary.ts';
import { DEFAULT_INSTRUCTIONS, DEFAULT_MEMORY, type WasmModule } from '../shared/wasm/module.ts';
import { readCode } from './code.ts';
import type { RootContext } from './context.ts';
import { hooksOf, type ModuleFilter } from './filter.ts';
import { faultsOf, type Machine } from './machine.ts';
import { type MachineSlot, Machines } from './machines.ts';
import { OPTIONS, type PluginSettings, readOptions } from './options.ts';

export function createProxyWasmRuntime(): FilterRuntime {
  const machines = new Machines();
  return {
    name: 'proxy-wasm',
    options: OPTIONS,
    // Any module that no other runtime has taken: what is missing is then told.
    sniff: ({ path, bytes }) => path.endsWith('.wasm') && isCoreModule(bytes),
    load: (spec, host) => load(machines, spec, host),
    close: () => machines.close(),
  };
}

async function load(machines: Machines, spec: FilterSpec, host: FilterHost): Promise<StreamFilterFactory> {
  const options = readOptions(spec);
  const bytes = await readCode(spec, host, options.code);
  const { memory = DEFAULT_MEMORY, instructions = DEFAULT_INSTRUCTIONS } = spec.limits;
  let module: WasmModule;
  try {
    module = machines.compile(bytes, { memory, instructions });
  } catch (error) {
    if (!(error instanceof WasmFormatError)) throw error;
    throw new FilterConfigError(`${spec.use || spec.name}: ${error.message}`);
  }
  const faults = faultsOf(module);
  if (faults.length > 0) {
    throw new FilterConfigError(`${spec.use || spec.name} can't be run as a Proxy-Wasm module: ${faults.join('; ')}`, {
      hint: 'weir inspect FILE shows what a module imports and exports',
    });
  }
  const { rootId, vmId, configuration, allowStopIteration, failOpen } = options;
  const plugin: PluginSettings = { name: spec.name, rootId, vmId, configuration, allowStopIteration, host };
  const slot = machines.slot(module, options, host);
  return new PluginFactory(slot, plugin, failOpen);
}

class PluginFactory implements StreamFilterFactory {
  readonly failure: FailurePolicy;
  readonly clearsRouteCache = true;
  readonly #slot: MachineSlot;
  readonly #plugin: PluginSettings;
  #root: RootContext;
  #machine: Machine;
  #hooks: object;

  constructor(slot: MachineSlot, plugin: PluginSettings, failOpen: boolean | undefined) {
    // As Envoy answers for a module that failed.
    this.failure = {
      status: 503,
      body: '',
      ...(failOpen === undefined ? {} : { onError: failOpen ? 'fail_open' : 'fail_closed' }),
    };
    this.#slot = slot;
    this.#plugin = plugin;
    this.#root = slot.add(plugin);
    this.#machine = this.#root.machine;
    this.#hooks = hooksOf(this.#machine);
  }

  create(stream: Stream): StreamFilter {
    if (this.#machine.failed !== undefined) {
      this.#root = this.#slot.reopen(this.#plugin);
      this.#machine = this.#root.machine;
      this.#hooks = hooksOf(this.#machine);
    }
    const filter = Object.create(this.#hooks) as ModuleFilter;
    filter.root = this.#root;
    filter.stream = stream;
    filter.context = undefined;
    return filter;
  }

  close(): void {
    this.#root.end();
    this.#slot.release();
  }
}
