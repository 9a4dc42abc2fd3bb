/** A compiled script with its globals: what runs in it runs under its budgets, and its memory is measured. */
import type { Log } from '../../../src/abi/index.ts';
import { RESOLUTIONS } from '../api/handle.ts';
import { jsonToLua } from '../api/json.ts';
import { asLuaFunction, hostFunction, Wait } from '../api/kind.ts';
import { type Activation, type Hook, ScriptFailure, type ScriptSource, type ScriptState } from '../engine.ts';
import { Yielded } from '../lib/coroutine.ts';
import { tableOf } from '../lib/library.ts';
import { chunkId, ScriptAbort } from '../vm/errors.ts';
import type { Budget } from '../vm/meter.ts';
import { LuaTable } from '../vm/table.ts';
import { type HostObject, LuaFunction, type LuaValue, NONE, type Results, TailCall } from '../vm/values.ts';
import type { CompiledEngine } from './engine.ts';
import { addLoaders } from './loaders.ts';
import { sizeOf } from './measure.ts';

/** Milliseconds. */
const MAX_DELAY = 24 * 60 * 60 * 1000;
const MAX_TIMERS = 1000;

export class CompiledState implements ScriptState {
  readonly engine: CompiledEngine;
  readonly globals: LuaTable;
  readonly #stringMeta: LuaTable;
  readonly #budget: Budget;
  readonly #hooks: LuaFunction[] = [];
  readonly #loaded: Map<string, LuaValue>;
  readonly #timers = new Map<NodeJS.Timeout, LuaFunction>();
  /** Bytes that hooks have allocated since memory was last measured. */
  #allocated = 0;

  /** @throws ScriptFailure when the script does not compile, or fails while it is loaded. */
  constructor(engine: CompiledEngine, source: ScriptSource) {
    this.engine = engine;
    const { vm } = engine;
    const { globals, stringMeta, loaded } = engine.library.open();
    this.globals = globals;
    this.#stringMeta = stringMeta;
    this.#loaded = loaded;
    const { instructions, memory, time } = source.limits;
    this.#budget = { instructions, memory, time };
    const { log } = source;
    globals.set(
      'print',
      hostFunction(vm, (args) => {
        log.info(`script log: ${args.map((value) => vm.tostring(value)).join('\t')}`);
        return [];
      }),
    );
    globals.set('EnvoyTimestampResolution', tableOf(new Map(Object.entries(RESOLUTIONS))));
    globals.set('weir', this.#weirTable(source));
    addLoaders(engine, globals, loaded, source);
    this.#guard(() => {
      const main = engine.compile(source.text, source.text).load(engine.library.runtime, { t: globals });
      vm.callFromNative(main, []);
    }, source.text);
    this.leave();
  }

  hook(name: string): Hook | undefined {
    const fn = this.globals.str(name);
    if (!(fn instanceof LuaFunction)) return undefined;
    this.#hooks.push(fn);
    return { begin: () => new CompiledActivation(this, fn) };
  }

  close(): void {
    for (const timer of this.#timers.keys()) clearTimeout(timer);
    this.#timers.clear();
    this.#hooks.length = 0;
  }

  /** Makes this script the running one. */
  enter(): void {
    const { vm } = this.engine;
    vm.stringMeta = this.#stringMeta;
    vm.coroutine = undefined;
    vm.meter.refill(this.#budget);
  }

  /** After a run: memory is measured when as much was allocated as it may hold. @throws ScriptFailure when it holds more. */
  leave(): void {
    this.#allocated += this.engine.vm.meter.allocated;
    if (this.#allocated < this.#budget.memory) return;
    const size = sizeOf(
      [this.globals, this.#stringMeta, ...this.#hooks, ...this.#timers.values(), ...this.#loaded.values()],
      this.#budget.memory,
    );
    this.#allocated = Math.min(size, this.#budget.memory >> 1);
    if (size > this.#budget.memory) {
      throw new ScriptFailure(
        `memory budget exceeded: the script's globals hold more than ${this.#budget.memory} bytes`,
        {
          budget: true,
          exhausted: true,
        },
      );
    }
  }

  /** `weir.timer(ms, fn)`: calls `fn` once, under the budget of a hook; the function may set the timer again. */
  #timer(log: Log): LuaFunction {
    const { vm } = this.engine;
    return new LuaFunction((...args) => {
      const delay = vm.number(args, 0);
      const fn = vm.function(args, 1);
      if (!(delay >= 0 && delay <= MAX_DELAY)) throw vm.argumentError(1, 'milliseconds of up to a day expected');
      if (this.#timers.size >= MAX_TIMERS) throw vm.nativeError('too many timers');
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#runTimer(fn, log);
      }, delay);
      timer.unref();
      this.#timers.set(timer, fn);
      return NONE;
    }, null);
  }

  #runTimer(fn: LuaFunction, log: Log): void {
    this.enter();
    try {
      this.engine.vm.callFromNative(fn, []);
      this.leave();
    } catch (error) {
      const failure = this.engine.failure(error);
      if (!(failure instanceof ScriptFailure)) throw failure;
      log.error(`script log: ${failure.message}`);
    }
  }

  #weirTable({ library, log }: ScriptSource): LuaTable {
    const table = new LuaTable();
    table.set('config', jsonToLua(library.config));
    const { vm } = this.engine;
    for (const [name, host] of library.functions) table.set(name, asLuaFunction(vm, host));
    for (const [name, members] of library.tables) {
      table.set(name, tableOf(new Map([...members].map(([key, host]) => [key, asLuaFunction(vm, host)]))));
    }
    table.set('timer', this.#timer(log));
    return table;
  }

  #guard(run: () => void, name: string): void {
    this.enter();
    try {
      run();
    } catch (error) {
      // It may have set timers.
      this.close();
      throw this.engine.failure(error, chunkId(name));
    }
  }
}

type Running = Generator<unknown, Results, Results>;

class CompiledActivation implements Activation {
  readonly #state: CompiledState;
  readonly #fn: LuaFunction;
  #iterator: Running | undefined;

  constructor(state: CompiledState, fn: LuaFunction) {
    this.#state = state;
    this.#fn = fn;
  }

  start(handle: HostObject): Wait | undefined {
    return this.#advance(this.#fn, [handle], undefined);
  }

  resume(results: Results): Wait | undefined {
    return this.#advance(undefined, [], results);
  }

  /** Calls `fn`, or goes on with what it waited for. */
  #advance(fn: LuaFunction | undefined, args: LuaValue[], results: Results): Wait | undefined {
    const { engine } = this.#state;
    this.#state.enter();
    let value: unknown;
    try {
      value = fn === undefined ? this.#step(results) : this.#call(fn, args);
    } catch (error) {
      if (error instanceof ScriptAbort && error.reason === 'responded') return undefined;
      throw engine.failure(error);
    }
    this.#state.leave();
    if (value === undefined || value instanceof Wait) return value;
    if (value instanceof Yielded) throw new ScriptFailure('script performed an unexpected yield');
    throw new Error('a script waits for something unknown');
  }

  #call(fn: LuaFunction, args: LuaValue[]): unknown {
    if (fn.g === null) return this.#ended(fn.s(...args));
    this.#iterator = fn.g(...args);
    return this.#step(undefined);
  }

  #step(results: Results): unknown {
    const step = (this.#iterator as Running).next(results);
    return step.done === true ? this.#ended(step.value) : step.value;
  }

  /** A hook ends, or goes on with the call that it made in tail position. */
  #ended(results: Results): unknown {
    return results instanceof TailCall ? this.#call(results.callee, results.args) : undefined;
  }
}
