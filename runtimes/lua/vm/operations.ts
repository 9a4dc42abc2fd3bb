/** What generated code calls where JavaScript's own operators are not enough. Source: Lua 5.1 reference manual, section 2.8. */
import type { LuaError } from './errors.ts';
import { formatNumber, parseNumber } from './numbers.ts';
import { ENTRY_SIZE, LuaTable, TABLE_SIZE } from './table.ts';
import { HostObject, LuaFunction, type LuaValue, listOf, type Results, TailCall, truthy, typeOf } from './values.ts';
import type { Vm } from './vm.ts';

/** `__index` chains longer than this are loops. */
const MAX_CHAIN = 100;
/** A string's concatenation costs this much more than its bytes. */
const STRING_SIZE = 32;

export function createOperations(vm: Vm) {
  const { meter } = vm;

  function index(object: LuaValue, key: LuaValue): LuaValue {
    if (object instanceof LuaTable) {
      const value = typeof key === 'string' ? object.str(key) : object.get(key);
      return value !== undefined || object.meta === undefined ? value : indexMeta(object, key);
    }
    if (object instanceof HostObject && object.kind.name !== 'proxy') return object.kind.methods.get(key);
    return indexMeta(object, key);
  }

  function indexMeta(object: LuaValue, key: LuaValue): LuaValue {
    let current = object;
    for (let i = 0; i < MAX_CHAIN; i++) {
      if (current instanceof LuaTable) {
        const value = current.get(key);
        if (value !== undefined || current.meta === undefined) return value;
      } else if (current instanceof HostObject && current.kind.name !== 'proxy') return current.kind.methods.get(key);
      const handler = vm.metamethod(current, '__index');
      if (handler === undefined) {
        if (current instanceof LuaTable) return undefined;
        throw vm.operandError('index', current, 0);
      }
      if (handler instanceof LuaFunction) return vm.first(invoke(handler, [current, key]));
      current = handler;
    }
    throw vm.operationError('loop in gettable');
  }

  /** `index` with a key that is known to be a number. */
  function indexNumber(object: LuaValue, key: number): LuaValue {
    if (object instanceof LuaTable) {
      const value = object.arr[key - 1];
      if (value !== undefined) return value;
    }
    return index(object, key);
  }

  /** `setIndex` with a key that is known to be a number. */
  function setIndexNumber(object: LuaValue, key: number, value: LuaValue): void {
    if (object instanceof LuaTable && object.meta === undefined && value !== undefined) {
      const { arr } = object;
      const i = key - 1;
      if (i >= 0 && i < arr.length && (i | 0) === i) {
        arr[i] = value;
        return;
      }
    }
    setIndex(object, key, value);
  }

  function setIndex(object: LuaValue, key: LuaValue, value: LuaValue): void {
    if (object instanceof LuaTable && object.meta === undefined) {
      if (typeof key !== 'string') checkKey(key);
      if (object.set(key, value)) grow(ENTRY_SIZE);
      return;
    }
    setIndexMeta(object, key, value);
  }

  function setIndexMeta(object: LuaValue, key: LuaValue, value: LuaValue): void {
    let current = object;
    for (let i = 0; i < MAX_CHAIN; i++) {
      const handler = vm.metamethod(current, '__newindex');
      if (current instanceof LuaTable) {
        if (handler === undefined || current.get(key) !== undefined) {
          checkKey(key);
          if (current.set(key, value)) grow(ENTRY_SIZE);
          return;
        }
      } else if (handler === undefined) throw vm.operandError('index', current, 0);
      if (handler instanceof LuaFunction) {
        invoke(handler, [current, key, value]);
        return;
      }
      current = handler;
    }
    throw vm.operationError('loop in settable');
  }

  function checkKey(key: LuaValue): void {
    if (key === undefined) throw vm.operationError('table index is nil');
    if (Number.isNaN(key)) throw vm.operationError('table index is NaN');
  }

  function grow(bytes: number): void {
    meter.mem -= bytes;
    if (meter.mem < 0) meter.collect();
  }

  /** Calls a metamethod. */
  function invoke(handler: LuaFunction, args: LuaValue[]): Results {
    let results = handler.s(...args);
    while (results instanceof TailCall) results = results.callee.s(...results.args);
    return results;
  }

  function callable(value: LuaValue): LuaFunction {
    return value instanceof LuaFunction ? value : vm.callable(value);
  }

  // Results of calls.

  function first(results: LuaValue[]): LuaValue {
    return results instanceof TailCall ? vm.first(finish(results)) : results[0];
  }

  function finish(call: TailCall): Results {
    let results: Results = call;
    while (results instanceof TailCall) results = results.callee.s(...results.args);
    return results;
  }

  function* finishWaiting(call: TailCall): Generator<unknown, Results, Results> {
    let results: Results = call;
    while (results instanceof TailCall) {
      const { callee, args }: TailCall = results;
      results = callee.g === null ? callee.s(...args) : yield* callee.g(...args);
    }
    return results;
  }

  function all(results: Results): LuaValue[] {
    if (results instanceof TailCall) results = finish(results);
    return listOf(results);
  }

  /** A waiting function, called where nothing can wait. */
  function runToEnd(this: LuaFunction, ...args: LuaValue[]): Results {
    const step = (this.g as NonNullable<LuaFunction['g']>)(...args).next(undefined);
    if (step.done === true) return step.value;
    throw vm.nativeError('attempt to yield across C-call boundary', 0);
  }

  return {
    ...createArithmetic(vm, invoke),
    ...createComparison(vm, invoke),
    index,
    indexNumber,
    setIndex,
    setIndexNumber,
    invoke,
    callable,
    first,
    finish,
    finishWaiting,
    all,
    runToEnd,

    /** A table of the listed values, and of the results that follow them. */
    list(values: LuaValue[]): LuaTable {
      const table = new LuaTable();
      table.arr = values;
      const { arr } = table;
      let { length } = arr;
      while (length > 0 && arr[length - 1] === undefined) length--;
      arr.length = length;
      grow(TABLE_SIZE + values.length * 8);
      return table;
    },

    table(): LuaTable {
      grow(TABLE_SIZE);
      return new LuaTable();
    },

    /** The length of a table or a string. */
    len(value: LuaValue): LuaValue {
      if (typeof value === 'string') return value.length;
      const handler = vm.metamethod(value, '__len');
      if (handler instanceof LuaFunction) return vm.first(invoke(handler, [value]));
      if (value instanceof LuaTable) return value.length();
      throw vm.operandError('get length of', value, 0);
    },

    /** A value of a numeric `for`. */
    forNumber(value: LuaValue, what: string): number {
      const number = typeof value === 'string' ? parseNumber(value) : value;
      if (typeof number === 'number') return number;
      throw vm.operationError(`'for' ${what} must be a number`);
    },
  };
}

type Invoke = (handler: LuaFunction, args: LuaValue[]) => Results;

function createArithmetic(vm: Vm, invoke: Invoke) {
  const { meter } = vm;

  function toNumber(value: LuaValue): number | undefined {
    if (typeof value === 'number') return value;
    return typeof value === 'string' ? parseNumber(value) : undefined;
  }

  function binary(event: string, a: LuaValue, b: LuaValue, operate: (a: number, b: number) => number): LuaValue {
    const x = toNumber(a);
    const y = toNumber(b);
    if (x !== undefined && y !== undefined) return operate(x, y);
    const handler = vm.metamethod(a, event) ?? vm.metamethod(b, event);
    if (handler !== undefined) return vm.first(invoke(vm.callable(handler), [a, b]));
    throw x === undefined ? vm.operandError(ARITHMETIC, a, 0) : vm.operandError(ARITHMETIC, b, 1);
  }

  function concat(a: LuaValue, b: LuaValue): LuaValue {
    const x = typeof a === 'string' ? a : typeof a === 'number' ? formatNumber(a) : undefined;
    const y = typeof b === 'string' ? b : typeof b === 'number' ? formatNumber(b) : undefined;
    if (x === undefined || y === undefined) {
      const handler = vm.metamethod(a, '__concat') ?? vm.metamethod(b, '__concat');
      if (handler !== undefined) return vm.first(invoke(vm.callable(handler), [a, b]));
      throw x === undefined ? vm.operandError('concatenate', a, 0) : vm.operandError('concatenate', b, 1);
    }
    const length = x.length + y.length;
    if (length > meter.maxString) meter.abort('memory budget exceeded');
    meter.mem -= length + STRING_SIZE;
    if (meter.mem < 0) meter.collect();
    return x + y;
  }

  return {
    concat,
    mod,
    add: (a: LuaValue, b: LuaValue) => binary('__add', a, b, (x, y) => x + y),
    sub: (a: LuaValue, b: LuaValue) => binary('__sub', a, b, (x, y) => x - y),
    mul: (a: LuaValue, b: LuaValue) => binary('__mul', a, b, (x, y) => x * y),
    div: (a: LuaValue, b: LuaValue) => binary('__div', a, b, (x, y) => x / y),
    modulo: (a: LuaValue, b: LuaValue) => binary('__mod', a, b, mod),
    pow: (a: LuaValue, b: LuaValue) => binary('__pow', a, b, pow),
    minus(a: LuaValue): LuaValue {
      const x = toNumber(a);
      if (x !== undefined) return -x;
      const handler = vm.metamethod(a, '__unm');
      if (handler !== undefined) return vm.first(invoke(vm.callable(handler), [a, a]));
      throw vm.operandError(ARITHMETIC, a, 0);
    },
    power: pow,
  };
}

const ARITHMETIC = 'perform arithmetic on';

/** `a - floor(a / b) * b`, with a fast way for small integers. */
export function mod(a: number, b: number): number {
  if ((a | 0) === a && (b | 0) === b && b > 0) {
    const rest = a % b;
    // Adding 0 makes 0 of -0.
    return rest < 0 ? rest + b : rest + 0;
  }
  return a - Math.floor(a / b) * b;
}

/** C's `pow`, which differs from JavaScript's in two places. */
export function pow(a: number, b: number): number {
  if (a === 1 || (a === -1 && (b === Infinity || b === -Infinity))) return 1;
  return a ** b;
}

function createComparison(vm: Vm, invoke: Invoke) {
  function equal(a: LuaValue, b: LuaValue): boolean {
    if (a === b) return true;
    if (typeof a !== 'object' || typeof b !== 'object') return false;
    if (a instanceof LuaTable ? !(b instanceof LuaTable) : !(a instanceof HostObject && b instanceof HostObject)) {
      return false;
    }
    const handler = vm.metamethod(a, '__eq');
    return (
      handler !== undefined &&
      handler === vm.metamethod(b, '__eq') &&
      truthy(vm.first(invoke(vm.callable(handler), [a, b])))
    );
  }

  function compare(event: string, a: LuaValue, b: LuaValue): boolean | undefined {
    const handler = vm.metamethod(a, event) ?? vm.metamethod(b, event);
    if (handler === undefined || typeof a === 'string') return undefined;
    return truthy(vm.first(invoke(vm.callable(handler), [a, b])));
  }

  function orderError(a: LuaValue, b: LuaValue): LuaError {
    const [left, right] = [typeOf(a), typeOf(b)];
    const text = left === right ? `two ${left} values` : `${left} with ${right}`;
    return vm.operationError(`attempt to compare ${text}`);
  }

  function less(a: LuaValue, b: LuaValue): boolean {
    if (typeof a === 'number' && typeof b === 'number') return a < b;
    if (typeof a === 'string' && typeof b === 'string') return a < b;
    const result = compare('__lt', a, b);
    if (result === undefined) throw orderError(a, b);
    return result;
  }

  function lessOrEqual(a: LuaValue, b: LuaValue): boolean {
    if (typeof a === 'number' && typeof b === 'number') return a <= b;
    if (typeof a === 'string' && typeof b === 'string') return a <= b;
    const result = compare('__le', a, b);
    if (result !== undefined) return result;
    const reverse = compare('__lt', b, a);
    if (reverse === undefined) throw orderError(a, b);
    return !reverse;
  }

  return { equal, less, lessOrEqual };
}
