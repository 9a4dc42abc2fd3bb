/** A compiled script with its globals: what runs in it runs under its budgets, and its memory is measured. */
import { RESOLUTIONS } from '../api/handle.ts';
import { jsonToLua } from '../api/json.ts';
import { hostFunction, Wait } from '../api/kind.ts';
import { type Activation, type Hook, ScriptFailure, type ScriptSource, type ScriptState } from '../engine.ts';
import { Yielded } from '../lib/coroutine.ts';
import { tableOf } from '../lib/library.ts';
import { chunkId, ScriptAbort } from '../vm/errors.ts';
import type { Budget } from '../vm/meter.ts';
import { LuaTable } from '../vm/table.ts';
import { type HostObject, LuaFunction, type LuaValue, type Results, TailCall } from '../vm/values.ts';
import type { CompiledEngine } from './engine.ts';
import { addLoaders } from './loaders.ts';
import { sizeOf } from './measure.ts';

export class CompiledState implements ScriptState {
  readonly engine: CompiledEngine;
  readonly globals: LuaTable;
  readonly #stringMeta: LuaTable;
  readonly #budget: Budget;
  readonly #hooks: LuaFunction[] = [];
  readonly #loaded: Map<string, LuaValue>;
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
      [this.globals, this.#stringMeta, ...this.#hooks, ...this.#loaded.values()],
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

  #weirTable({ library }: ScriptSource): LuaTable {
    const table = new LuaTable();
    table.set('config', jsonToLua(library.config));
    for (const [name, call] of library.functions) table.set(name, hostFunction(this.engine.vm, call));
    return table;
  }

  #guard(run: () => void, name: string): void {
    this.enter();
    try {
      run();
    } catch (error) {
      throw this.engine.failure(error, chunkId(name));
    }
  }
}

class CompiledActivation implements Activation {
  readonly #state: CompiledState;
  readonly #fn: LuaFunction;
  #iterator: Generator<unknown, Results, Results> | undefined;

  constructor(state: CompiledState, fn: LuaFunction) {
    this.#state = state;
    this.#fn = fn;
  }

  start(handle: HostObject): Wait | undefined {
    const { vm } = this.#state.engine;
    return this.#step(() => {
      if (this.#fn.g === null) {
        let results = this.#fn.s(handle);
        if (results instanceof TailCall) results = vm.callFromNative(results.callee, results.args);
        return undefined;
      }
      this.#iterator = run(this.#fn, handle);
      return this.#iterator.next(undefined);
    });
  }

  resume(results: Results): Wait | undefined {
    return this.#step(() => this.#iterator?.next(results));
  }

  #step(advance: () => IteratorResult<unknown, Results> | undefined): Wait | undefined {
    const { engine } = this.#state;
    this.#state.enter();
    let step: IteratorResult<unknown, Results> | undefined;
    try {
      step = advance();
    } catch (error) {
      if (error instanceof ScriptAbort && error.reason === 'responded') return undefined;
      throw engine.failure(error);
    }
    this.#state.leave();
    if (step === undefined || step.done === true) return undefined;
    if (step.value instanceof Wait) return step.value;
    if (step.value instanceof Yielded) throw new ScriptFailure('script performed an unexpected yield');
    throw new Error('a script waits for something unknown');
  }
}

/** A hook, with the calls in tail position at its end. */
function* run(fn: LuaFunction, handle: HostObject): Generator<unknown, Results, Results> {
  let results = yield* (fn.g as NonNullable<LuaFunction['g']>)(handle);
  while (results instanceof TailCall) {
    const { callee, args }: TailCall = results;
    results = callee.g === null ? callee.s(...args) : yield* callee.g(...args);
  }
  return results;
}
