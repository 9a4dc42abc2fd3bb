/** A compiled module with its budgets: the same for everyone who loads the same bytes with the same limits. */
import { createHash } from 'node:crypto';
import { addBudgets, type Budgeted } from './budget.ts';

/** Bytes; instructions of one callback, and of what runs when a module is started and configured. */
export const DEFAULT_MEMORY = 64 * 1024 * 1024;
export const DEFAULT_INSTRUCTIONS = 20_000_000;
/** A host call is worth so many instructions, so that a loop of them ends too. */
export const INSTRUCTIONS_PER_CALL = 200;
const START_FACTOR = 100;
const MAX_FUEL = 2 ** 31 - 1;

export interface WasmLimits {
  memory: number;
  /** Of one callback. */
  instructions: number;
}

export class WasmModule {
  readonly module: WebAssembly.Module;
  /** SHA-256 of the original bytes, in hex. */
  readonly digest: string;
  readonly limits: WasmLimits;
  readonly exports: readonly { name: string; kind: string }[];
  readonly imports: readonly { module: string; name: string; kind: string }[];
  readonly #budgeted: Budgeted;

  /** @throws WasmFormatError */
  constructor(bytes: Uint8Array, digest: string, limits: WasmLimits, isPart = false) {
    this.digest = digest;
    this.limits = limits;
    this.#budgeted = addBudgets(bytes, { memory: limits.memory, start: startFuel(limits), isPart });
    this.module = new WebAssembly.Module(this.#budgeted.bytes);
    this.exports = WebAssembly.Module.exports(this.module).filter(({ name }) => name !== this.#budgeted.fuelExport);
    this.imports = WebAssembly.Module.imports(this.module);
  }

  get exportNames(): string[] {
    return this.exports.map(({ name }) => name);
  }

  /** A place of the running code as a place in the original file. */
  originalOffset(offset: number): number {
    return this.#budgeted.originalOffset(offset);
  }

  fuelOf(instance: WebAssembly.Instance): Fuel {
    return new Fuel(instance.exports[this.#budgeted.fuelExport] as WebAssembly.Global, this.limits);
  }
}

/** The instructions that an instance may still run. */
export class Fuel {
  readonly #global: WebAssembly.Global;
  readonly #perCall: number;
  readonly #start: number;

  constructor(global: WebAssembly.Global, limits: WasmLimits) {
    this.#global = global;
    this.#perCall = Math.min(limits.instructions, MAX_FUEL);
    this.#start = startFuel(limits);
  }

  /** For one callback. */
  refill(): void {
    this.#global.value = this.#perCall;
  }
  /** For starting and configuring. */
  refillForStart(): void {
    this.#global.value = this.#start;
  }
  /** The next check in the module traps. */
  drain(): void {
    this.#global.value = -1;
  }
  get isEmpty(): boolean {
    return this.#global.value < 0;
  }
}

function startFuel(limits: WasmLimits): number {
  return Math.min(limits.instructions * START_FACTOR, MAX_FUEL);
}

/** What was made of a file, by its content and limits. What nobody uses any more can be collected. */
export class ByContent<T extends object> {
  readonly #made = new Map<string, WeakRef<T>>();

  /** @param digest SHA-256 of the file, in hex. */
  get(digest: string, limits: WasmLimits): T | undefined {
    return this.#made.get(keyOf(digest, limits))?.deref();
  }

  set(digest: string, limits: WasmLimits, made: T): void {
    for (const [key, ref] of this.#made) if (ref.deref() === undefined) this.#made.delete(key);
    this.#made.set(keyOf(digest, limits), new WeakRef(made));
  }
}

function keyOf(digest: string, { memory, instructions }: WasmLimits): string {
  return `${digest} ${memory} ${instructions}`;
}

/** SHA-256 in hex. */
export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The modules of one runtime. */
export class WasmModules {
  readonly #known = new ByContent<WasmModule>();

  /** @throws WasmFormatError */
  get(bytes: Uint8Array, limits: WasmLimits): WasmModule {
    const digest = digestOf(bytes);
    const known = this.#known.get(digest, limits);
    if (known !== undefined) return known;
    const made = new WasmModule(bytes, digest, limits);
    this.#known.set(digest, limits, made);
    return made;
  }
}
