/** What a running hook has left of its budgets. Generated code counts `n`, `mem` and `depth` itself. */
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ScriptAbort } from './errors.ts';

/** Instructions between two looks at the clock. */
const SLICE = 100_000;
/** Calls within calls. A frame of generated code takes up to about 400 bytes of a worker's 4 MiB stack; its size is weighed in. */
export const MAX_DEPTH = 4000;
/** Calls that a native function makes into a script count more: their frames are larger. */
export const NATIVE_DEPTH = 8;
/** From this depth on, tail calls return to their caller's caller first. */
export const TAIL_DEPTH = 100;

export interface Budget {
  /** Instructions of one run. */
  readonly instructions: number;
  /** Bytes. */
  readonly memory: number;
  /** Milliseconds of one run. */
  readonly time: number;
}

export class Meter {
  /** Instructions left of this slice. */
  n = 0;
  /** Bytes that may be allocated until memory is looked at. */
  mem = 0;
  depth = 0;
  /** The longest string that may be made. */
  maxString = 0;
  #budget: Budget = { instructions: 0, memory: 0, time: 0 };
  #left = 0;
  #deadline = 0;
  /** Bytes of heap when memory was first looked at in this run. */
  #heap: number | undefined;
  #quanta = 0;
  #spent: ScriptAbort | undefined;

  /** A hook begins, or goes on. */
  refill(budget: Budget): void {
    this.#budget = budget;
    this.#left = budget.instructions;
    this.n = 0;
    this.mem = budget.memory;
    this.maxString = budget.memory;
    this.#deadline = 0;
    this.#heap = undefined;
    this.#quanta = 0;
    this.depth = 0;
    this.#spent = undefined;
    this.#slice();
  }

  /** Bytes that the run has allocated, by the count. */
  get allocated(): number {
    return this.#quanta * this.#budget.memory + (this.#budget.memory - this.mem);
  }

  /** `n` is below 0: the next slice, or the end. */
  trip(): void {
    if (this.#spent !== undefined) throw this.#spent;
    this.#left += Math.min(this.n, 0);
    if (this.#left <= 0) this.abort('instruction budget exceeded');
    const now = performance.now();
    if (this.#deadline === 0) this.#deadline = now + this.#budget.time;
    else if (now > this.#deadline) this.abort('time budget exceeded');
    this.#slice();
  }

  /** So much work of a native function. */
  charge(instructions: number): void {
    this.n -= instructions;
    if (this.n < 0) this.trip();
  }

  /** So many bytes of a value that was, or is about to be, made. */
  allocate(bytes: number): void {
    this.mem -= bytes;
    if (this.mem < 0) this.collect();
  }

  /** A string of so many bytes is about to be made. */
  checkString(length: number): void {
    if (length > this.maxString) this.abort('memory budget exceeded');
    this.allocate(length);
  }

  /**
   * The count has reached the budget. It counts garbage too, so the heap is looked at; where it grew by more than the budget since
   * the first look of this run, after a full collection. What remains is the run's own, since nothing else runs meanwhile.
   */
  collect(): void {
    if (this.#spent !== undefined) throw this.#spent;
    this.#quanta++;
    this.mem = this.#budget.memory;
    const heap = heapSize();
    if (this.#heap === undefined) this.#heap = heap;
    if (heap - this.#heap < this.#budget.memory) return;
    collectGarbage();
    const live = heapSize();
    if (live - this.#heap > this.#budget.memory) this.abort('memory budget exceeded');
    // The first look saw garbage too.
    this.#heap = Math.min(this.#heap, live);
  }

  abort(message: string): never {
    this.#spent = new ScriptAbort('budget', message);
    // Whatever goes on after this, by a bug, trips at once.
    this.n = -1;
    this.#left = 0;
    throw this.#spent;
  }

  #slice(): void {
    this.n = Math.min(this.#left, SLICE);
    this.#left -= this.n;
  }
}

function heapSize(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

let gc: (() => void) | undefined;

/** V8's full collection, which is not exposed by default. */
function collectGarbage(): void {
  if (gc === undefined) {
    setFlagsFromString('--expose-gc');
    gc = runInNewContext('gc') as () => void;
  }
  gc();
}
