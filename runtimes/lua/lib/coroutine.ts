/** Coroutines: generators of JavaScript. What waits for the stream in one waits in the hook as a whole. Source: Lua 5.1 reference manual, section 5.2. */
import { LuaError } from '../vm/errors.ts';
import { MAX_DEPTH, NATIVE_DEPTH } from '../vm/meter.ts';
import { LuaCoroutine, type LuaFunction, type LuaValue, listOf, type Results } from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';
import { type Library, library, native } from './library.ts';

/** What a coroutine yields to whoever resumed it; anything else that is yielded goes on to the hook's driver. */
export class Yielded {
  readonly values: LuaValue[];

  constructor(values: LuaValue[]) {
    this.values = values;
  }
}

/** Bytes that a coroutine is counted as. */
const COROUTINE_SIZE = 1000;

type Step = IteratorResult<unknown, Results>;

export function createCoroutines(vm: Vm): Library {
  function make(args: readonly LuaValue[]): LuaCoroutine {
    const body = vm.function(args, 0);
    vm.meter.allocate(COROUTINE_SIZE);
    return new LuaCoroutine(body);
  }

  /** Goes on with a coroutine until it yields, waits or ends. */
  function advance(co: LuaCoroutine, values: Results): Step {
    const { meter, coroutine: outer } = vm;
    const { depth } = meter;
    co.iterator ??= vm.callFromNativeWaiting(co.body, values as LuaValue[]);
    vm.coroutine = co;
    co.status = 'running';
    if (outer !== undefined) outer.status = 'normal';
    meter.depth += co.depth + NATIVE_DEPTH;
    if (meter.depth > MAX_DEPTH) vm.overflow();
    try {
      return co.iterator.next(values);
    } catch (error) {
      co.status = 'dead';
      throw error;
    } finally {
      co.depth = Math.max(0, meter.depth - depth - NATIVE_DEPTH);
      meter.depth = depth;
      vm.coroutine = outer;
      if (outer !== undefined) outer.status = 'running';
    }
  }

  function begin(co: LuaCoroutine): void {
    if (co.status === 'suspended') return;
    const what = co.status === 'normal' ? 'non-suspended' : co.status;
    throw new LuaError(`cannot resume ${what} coroutine`);
  }

  function finish(co: LuaCoroutine, step: Step): LuaValue[] {
    if (step.done === true) {
      co.status = 'dead';
      return listOf(step.value);
    }
    co.status = 'suspended';
    return (step.value as Yielded).values;
  }

  function resume(co: LuaCoroutine, args: LuaValue[]): LuaValue[] {
    begin(co);
    const step = advance(co, args);
    if (step.done !== true && !(step.value instanceof Yielded)) {
      co.status = 'dead';
      throw vm.nativeError('attempt to yield across C-call boundary', 0);
    }
    return finish(co, step);
  }

  function* resumeWaiting(co: LuaCoroutine, args: LuaValue[]): Generator<unknown, LuaValue[], Results> {
    begin(co);
    let step = advance(co, args);
    while (step.done !== true && !(step.value instanceof Yielded)) {
      const results: Results = yield step.value;
      step = advance(co, results);
    }
    return finish(co, step);
  }

  const coroutine = (args: readonly LuaValue[]): LuaCoroutine => {
    if (args[0] instanceof LuaCoroutine) return args[0];
    throw vm.argumentError(1, 'coroutine expected');
  };
  const failed = (error: unknown): LuaValue[] => [false, vm.caught(error).value];

  return library({
    create: (...args) => make(args),
    resume: native(
      (...args) => {
        const co = coroutine(args);
        try {
          return [true, ...resume(co, args.slice(1))];
        } catch (error) {
          return failed(error);
        }
      },
      function* resume(...args) {
        const co = coroutine(args);
        try {
          return [true, ...(yield* resumeWaiting(co, args.slice(1)))];
        } catch (error) {
          return failed(error);
        }
      },
    ),
    wrap(...args) {
      const co = make(args);
      return native(
        (...values) => resume(co, values),
        (...values) => resumeWaiting(co, values),
      );
    },
    yield: native(
      () => {
        throw vm.nativeError('attempt to yield across C-call boundary', 0);
      },
      function* (...args): Generator<unknown, Results, Results> {
        return yield new Yielded(args);
      },
    ),
    status: (...args) => coroutine(args).status,
    // Hooks run in a coroutine, as in Envoy.
    running: () => [vm.coroutine ?? mainOf(vm), false],
    isyieldable: () => true,
  });
}

const mains = new WeakMap<Vm, LuaCoroutine>();

/** What `coroutine.running` gives for the hook itself. */
function mainOf(vm: Vm): LuaCoroutine {
  let main = mains.get(vm);
  if (main === undefined) {
    main = new LuaCoroutine(native(() => undefined) as LuaFunction);
    main.status = 'running';
    mains.set(vm, main);
  }
  return main;
}
