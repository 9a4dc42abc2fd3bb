/** How host objects are declared, once for both engines: methods get their object and arguments, and say by what they return if the script waits. */
import { ArgumentError, NativeError, ScriptAbort } from '../vm/errors.ts';
import { formatNumber, parseNumber } from '../vm/numbers.ts';
import { LuaTable } from '../vm/table.ts';
import {
  type HostKind,
  HostObject,
  LuaFunction,
  type LuaValue,
  type Results,
  type Scope,
  typeOf,
} from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';

/** What a script waits for; `never`: it has answered and does not go on. */
export type Waits = 'never' | 'body' | 'chunk' | 'trailers' | 'call';

export class Wait {
  readonly what: Waits;
  /** For a call: resolves to what the method returns. */
  readonly call: Promise<() => Results> | undefined;

  constructor(what: Waits, call?: Promise<() => Results>) {
    this.what = what;
    this.call = call;
  }
}

/** A function of Weir that a method returns, such as an iterator. */
export class HostFunction {
  readonly call: (args: LuaValue[]) => Results | Wait;
  readonly waits: boolean;

  constructor(call: (args: LuaValue[]) => Results | Wait, waits = false) {
    this.call = call;
    this.waits = waits;
  }
}

export type MethodResult = Results | Wait | HostFunction;
export type Method<T> = (self: T, args: LuaValue[]) => MethodResult;
export type Methods<T> = Readonly<Record<string, Method<T>>>;
/** Gives the entries of an object one by one, and then nothing. */
export type Pairs<T> = (self: T) => () => [LuaValue, LuaValue] | undefined;

export class Kind<T> implements HostKind {
  readonly name: string;
  /** As they were declared. */
  readonly declared: ReadonlyMap<string, Method<T>>;
  readonly declaredPairs: Pairs<T> | undefined;
  /** For compiled scripts. */
  readonly methods: ReadonlyMap<LuaValue, LuaFunction>;
  readonly pairs: LuaFunction | undefined;
  readonly #vm: Vm;

  /** @param waiting names of the methods that can wait. */
  constructor(vm: Vm, name: string, methods: Methods<T>, pairs?: Pairs<T>, waiting: readonly string[] = []) {
    this.#vm = vm;
    this.name = name;
    this.declared = new Map(Object.entries(methods));
    this.declaredPairs = pairs;
    this.methods = new Map(
      [...this.declared].map(([key, method]) => [key, this.#compile(key, method, waiting.includes(key))]),
    );
    this.pairs = pairs === undefined ? undefined : this.#compilePairs(pairs);
  }

  /** An object that lives as long as `scope` stays as it is. */
  create(value: T, scope: Scope): HostObject {
    return new HostObject(this, value, scope);
  }

  /** The object's value. @throws NativeError when it is of another kind, or dead. */
  valueOf(object: LuaValue, method: string): T {
    if (!(object instanceof HostObject) || object.kind !== this) {
      throw new NativeError(`calling '${method}' on bad self (${this.name} expected): use ':' and not '.'`);
    }
    if (object.epoch !== object.scope.epoch) throw new NativeError('object used outside of proper scope');
    return object.value as T;
  }

  #compile(name: string, method: Method<T>, waits: boolean): LuaFunction {
    const vm = this.#vm;
    const call = (object: LuaValue, args: LuaValue[]): Results | Wait => {
      try {
        return fromHost(vm, method(this.valueOf(object, name), args));
      } catch (error) {
        throw vm.fromHost(error);
      }
    };
    return waits
      ? waiting(vm, (args) => call(args[0], args.slice(1)))
      : plain((object, args) => call(object, args) as Results);
  }

  #compilePairs(pairs: Pairs<T>): LuaFunction {
    return new LuaFunction((object) => {
      try {
        const step = pairs(this.valueOf(object, 'pairs'));
        const iterator = new LuaFunction(() => {
          try {
            return step();
          } catch (error) {
            throw this.#vm.fromHost(error);
          }
        }, null);
        return [iterator, undefined, undefined];
      } catch (error) {
        throw this.#vm.fromHost(error);
      }
    }, null);
  }
}

function plain(call: (object: LuaValue, args: LuaValue[]) => Results): LuaFunction {
  return new LuaFunction((object, ...args) => call(object, args), null);
}

function waiting(vm: Vm, call: (args: LuaValue[]) => Results | Wait): LuaFunction {
  return new LuaFunction(
    (...args) => {
      const results = call(args);
      if (!(results instanceof Wait)) return results;
      if (results.what === 'never') throw new ScriptAbort('responded', 'the script has answered');
      throw vm.nativeError('attempt to yield across C-call boundary', 0);
    },
    function* (...args): Generator<unknown, Results, Results> {
      const results = call(args);
      return results instanceof Wait ? yield results : results;
    },
  );
}

/** A function of Weir as a compiled script calls it. */
export function asLuaFunction(vm: Vm, host: HostFunction): LuaFunction {
  return fromHost(vm, host) as LuaFunction;
}

function fromHost(vm: Vm, result: MethodResult): Results | Wait {
  if (!(result instanceof HostFunction)) return result;
  const guarded = (args: LuaValue[]) => {
    try {
      return result.call(args);
    } catch (error) {
      throw vm.fromHost(error);
    }
  };
  if (result.waits) return waiting(vm, guarded);
  return new LuaFunction((...args) => guarded(args) as Results, null);
}

/** A function of Weir that is not a method: `weir.sha256` and the like. */
export function hostFunction(vm: Vm, call: (args: LuaValue[]) => Results): LuaFunction {
  return asLuaFunction(vm, new HostFunction(call));
}

/** Checks of a method's arguments; `i` counts from 0 and without `self`. */

export function string(args: readonly LuaValue[], i: number): string {
  const value = args[i];
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return formatNumber(value);
  throw wrongType(args, i, 'string');
}

export function number(args: readonly LuaValue[], i: number): number {
  const value = args[i];
  const parsed = typeof value === 'string' ? parseNumber(value) : value;
  if (typeof parsed === 'number') return parsed;
  throw wrongType(args, i, 'number');
}

/** A number without its fraction. */
export function integer(args: readonly LuaValue[], i: number): number {
  return Math.trunc(number(args, i));
}

export function table(args: readonly LuaValue[], i: number): LuaTable {
  const value = args[i];
  if (value instanceof LuaTable) return value;
  throw wrongType(args, i, 'table');
}

export function wrongType(args: readonly LuaValue[], i: number, expected: string): ArgumentError {
  const actual = i < args.length ? typeOf(args[i]) : 'no value';
  // Argument 1 is `self`.
  return new ArgumentError(i + 2, `${expected} expected, got ${actual}`);
}
