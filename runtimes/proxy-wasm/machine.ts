/** One running instance of a module: its contexts, the calls into it, and what becomes of it when one fails. */
import { ExtensionError, FilterConfigError, type Log } from '../../src/abi/index.ts';
import { type Fuel, INSTRUCTIONS_PER_CALL, type WasmModule } from '../shared/wasm/module.ts';
import { trapError } from '../shared/wasm/trap.ts';
import { ABI_MARKERS } from './constants.ts';
import { type Context, RootContext, StreamContext } from './context.ts';
import { hostFunctions, unknownImports } from './host/index.ts';
import { GuestMemory } from './memory.ts';
import type { MachineSettings, PluginSettings } from './options.ts';

/** How many bytes given to the module are worth a host call. */
const BYTES_PER_CALL = 4096;

type Export = (...args: number[]) => number;

/** The callbacks that a module may export. Source: Proxy-Wasm ABI specification 0.2.1, "Callbacks". */
export const CALLBACKS = [
  'proxy_on_context_create',
  'proxy_on_vm_start',
  'proxy_on_configure',
  'proxy_on_tick',
  'proxy_on_request_headers',
  'proxy_on_request_body',
  'proxy_on_request_trailers',
  'proxy_on_response_headers',
  'proxy_on_response_body',
  'proxy_on_response_trailers',
  'proxy_on_http_call_response',
  'proxy_on_grpc_receive_initial_metadata',
  'proxy_on_grpc_receive',
  'proxy_on_grpc_receive_trailing_metadata',
  'proxy_on_grpc_close',
  'proxy_on_queue_ready',
  'proxy_on_foreign_function',
  'proxy_on_done',
  'proxy_on_log',
  'proxy_on_delete',
] as const;
export type Callback = (typeof CALLBACKS)[number];

/** The module asked to end. */
export class ProcExit extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`proc_exit(${code})`);
    this.code = code;
  }
}

/** The version of the ABI that a module says it follows. */
export function abiVersion(exportNames: readonly string[]): string | undefined {
  const marker = exportNames.find((name) => ABI_MARKERS[name] !== undefined);
  return marker === undefined ? undefined : ABI_MARKERS[marker];
}

/** What keeps a module from being used here, in words; empty when nothing does. */
export function faultsOf(module: WasmModule): string[] {
  const names = module.exportNames;
  const faults: string[] = [];
  if (abiVersion(names) === undefined) {
    faults.push(`it exports no ABI version that is known (${Object.keys(ABI_MARKERS).join(', ')})`);
  }
  if (!module.exports.some(({ name, kind }) => name === 'memory' && kind === 'memory'))
    faults.push('it does not export its memory');
  if (!names.includes('proxy_on_memory_allocate') && !names.includes('malloc')) {
    faults.push('it exports no allocator (proxy_on_memory_allocate or malloc)');
  }
  const unknown = unknownImports(module.imports);
  if (unknown.length > 0) faults.push(`it imports what this host does not have: ${unknown.join(', ')}`);
  return faults;
}

export class Machine {
  readonly module: WasmModule;
  readonly settings: MachineSettings;
  readonly version: string;
  readonly memory = new GuestMemory();
  /** For lines of the module while no plugin runs. */
  readonly log: Log;
  /** Why it can't be called any more. */
  failed: ExtensionError | undefined;
  /** While the module's own start functions run, only WASI and the log are there. */
  starting = true;
  /** The context whose callback runs. */
  current: Context | undefined;
  /** What host functions work on; the module may change it. */
  effective: Context | undefined;
  readonly roots: RootContext[] = [];
  readonly #exports: Record<string, Export | undefined>;
  #fuel: Fuel | undefined;
  /** Live streams, each at its number's place; larger when two would meet. A Map would keep ended streams alive for long. */
  #streams: (StreamContext | undefined)[] = new Array(64).fill(undefined);
  #nextId = 1;
  #calls = 0;
  #depth = 0;
  #hostCalls = 0;
  readonly #maxHostCalls: number;
  /** What the module asked for that would run other filters: done once it has returned. */
  #later: (() => void)[] = [];
  #onFailure: (() => void) | undefined;
  #started = false;
  /** What runs is a plugin's start, which has a larger budget. */
  #configuring = false;

  /** @throws FilterConfigError when the module can't be started. */
  constructor(module: WasmModule, settings: MachineSettings, log: Log) {
    this.module = module;
    this.settings = settings;
    this.log = log;
    this.version = abiVersion(module.exportNames) as string;
    this.#maxHostCalls = Math.max(1000, Math.ceil(module.limits.instructions / INSTRUCTIONS_PER_CALL));
    let instance: WebAssembly.Instance;
    try {
      instance = new WebAssembly.Instance(module.module, hostFunctions(this, module.imports));
    } catch (error) {
      throw new FilterConfigError(`the module can't be started: ${this.#toError(error).message}`);
    }
    this.#fuel = module.fuelOf(instance);
    const exports: Record<string, Export | undefined> = Object.create(null);
    for (const [name, value] of Object.entries(instance.exports)) {
      if (typeof value === 'function') exports[name] = value as Export;
    }
    for (const name of CALLBACKS) if (!this.allows(name)) exports[name] = undefined;
    this.#exports = exports;
    const allocate = exports.malloc ?? (exports.proxy_on_memory_allocate as Export);
    this.memory.attach(instance.exports.memory as WebAssembly.Memory, allocate);
    this.#start();
  }

  has(callback: Callback): boolean {
    return this.#exports[callback] !== undefined;
  }

  /** Whether the entry's list of capabilities has it. */
  allows(name: string): boolean {
    return this.settings.capabilities === undefined || this.settings.capabilities.has(name);
  }

  /** Called once when the machine fails. */
  set onFailure(callback: () => void) {
    this.#onFailure = callback;
  }

  /**
   * Makes a plugin's context and configures it.
   * @throws FilterConfigError when the module refuses it.
   */
  openRoot(plugin: PluginSettings): RootContext {
    const root = new RootContext(this, this.#nextId++, plugin);
    this.roots.push(root);
    try {
      this.#configuring = true;
      this.call(root, 'proxy_on_context_create', 0);
      if (!this.#started) {
        this.#started = true;
        const { length } = this.settings.configuration;
        if (this.has('proxy_on_vm_start') && this.call(root, 'proxy_on_vm_start', length) === 0) {
          throw new FilterConfigError('the module refused to start: proxy_on_vm_start returned false');
        }
      }
      root.configuring = true;
      const { length } = plugin.configuration;
      if (this.has('proxy_on_configure') && this.call(root, 'proxy_on_configure', length) === 0) {
        throw new FilterConfigError('the module refused its configuration: proxy_on_configure returned false');
      }
      root.configuring = false;
    } catch (error) {
      const failure =
        error instanceof FilterConfigError ? new ExtensionError('threw', error.message) : this.#toError(error);
      this.fail(failure);
      if (error instanceof FilterConfigError) throw error;
      throw new FilterConfigError(`the module failed while it was configured: ${failure.message}`, {
        hint: failure.trace[0],
      });
    } finally {
      this.#configuring = false;
    }
    return root;
  }

  openStream(root: RootContext, stream: StreamContext['stream']): StreamContext {
    const context = new StreamContext(this, this.#nextId++, root, stream);
    while (this.#streams[context.id & (this.#streams.length - 1)] !== undefined) this.#widen();
    this.#streams[context.id & (this.#streams.length - 1)] = context;
    this.call(context, 'proxy_on_context_create', root.id, 0, 0);
    return context;
  }

  forget(context: StreamContext): void {
    const at = context.id & (this.#streams.length - 1);
    if (this.#streams[at] === context) this.#streams[at] = undefined;
  }

  find(id: number): Context | undefined {
    const stream = this.#streams[id & (this.#streams.length - 1)];
    if (stream?.id === id) return stream;
    return this.roots.find((root) => root.id === id);
  }

  /** Live streams. */
  get streamCount(): number {
    return this.#streams.reduce((sum, one) => sum + (one === undefined ? 0 : 1), 0);
  }

  /**
   * Calls a callback of the module; 0 when it has none.
   * @throws ExtensionError when it fails; the machine is of no use any more then.
   */
  call(context: Context, callback: Callback, a = 0, b = 0, c = 0, d = 0): number {
    const callee = this.#exports[callback];
    if (callee === undefined) return 0;
    if (this.failed !== undefined)
      throw new ExtensionError('threw', `the module failed before: ${this.failed.message}`);
    const { current: outer, effective } = this;
    this.current = context;
    this.effective = context;
    if (this.#depth++ === 0) {
      if (this.#configuring) this.#fuel?.refillForStart();
      else this.#fuel?.refill();
      this.#hostCalls = 0;
    }
    let result: number;
    try {
      result = callee(context.id, a, b, c, d);
    } catch (error) {
      const failure = this.#toError(error);
      this.fail(failure);
      throw failure;
    } finally {
      this.#depth--;
      this.current = outer;
      this.effective = effective;
    }
    if (this.#later.length > 0 && this.#depth === 0) this.#runLater();
    return result >>> 0;
  }

  /** As `call`, for callbacks that belong to no stream: a failure is logged. */
  callRoot(root: RootContext, callback: Callback, a = 0, b = 0, c = 0, d = 0): void {
    if (this.failed !== undefined || root.closed) return;
    try {
      this.call(root, callback, a, b, c, d);
    } catch (error) {
      if (!(error instanceof ExtensionError)) throw error;
      root.plugin.host.log.error(
        [`the module failed in ${callback}: ${error.message}`, ...error.trace].join('\n  at '),
      );
    }
  }

  /** A number for a call; its last two bits say the kind, as in Envoy. */
  nextCallId(kind: number): number {
    this.#calls = (this.#calls + 1) & 0x1fffffff;
    return (this.#calls << 2) | kind;
  }

  /** Runs `task` when the module has returned. */
  defer(task: () => void): void {
    if (this.#depth === 0) task();
    else this.#later.push(task);
  }

  /** Counts a host call, with so many bytes, against the budget of the running callback. */
  charge(bytes = 0): void {
    this.#hostCalls += 1 + bytes / BYTES_PER_CALL;
    if (this.#hostCalls > this.#maxHostCalls && !this.starting) this.#exhaust();
  }

  /** It can't be called any more; streams that it holds get their policy. */
  fail(error: ExtensionError): void {
    if (this.failed !== undefined) return;
    this.failed = error;
    this.#later = [];
    for (const stream of this.#streams) stream?.machineFailed(error);
    for (const root of this.roots) root.stop();
    this.#onFailure?.();
  }

  #start(): void {
    const { _initialize, main, __main_void, _start } = this.#exports;
    try {
      this.#fuel?.refillForStart();
      if (_initialize !== undefined) {
        _initialize();
        if (main !== undefined) main(0, 0);
        else __main_void?.();
      } else {
        _start?.();
      }
    } catch (error) {
      if (!(error instanceof ProcExit && error.code === 0)) {
        const { message, trace } = this.#toError(error);
        throw new FilterConfigError(`the module failed while it was started: ${message}`, { hint: trace[0] });
      }
    }
    this.starting = false;
  }

  #exhaust(): never {
    // The module could catch what is thrown here; without fuel it does not get far.
    this.#fuel?.drain();
    throw new ExtensionError(
      'budget',
      `the module called the host more than ${this.#maxHostCalls} times in one callback`,
    );
  }

  #runLater(): void {
    while (this.#later.length > 0 && this.failed === undefined) (this.#later.shift() as () => void)();
  }

  #widen(): void {
    const old = this.#streams;
    this.#streams = new Array(old.length * 2).fill(undefined);
    for (const stream of old) {
      if (stream !== undefined) this.#streams[stream.id & (this.#streams.length - 1)] = stream;
    }
  }

  #toError(error: unknown): ExtensionError {
    return trapError(error, this.module, this.#fuel);
  }
}
