/** The machine that compiled scripts run on: one for all scripts of a data plane, since only one of them runs at a time. */
import { ArgumentError, ChunkRegistry, type Frame, LuaError, NativeError, placeOf, ScriptAbort } from './errors.ts';
import { Meter, NATIVE_DEPTH } from './meter.ts';
import { formatNumber, parseNumber } from './numbers.ts';
import { LuaTable } from './table.ts';
import {
  addressOf,
  HostObject,
  type LuaCoroutine,
  LuaFunction,
  type LuaValue,
  type Results,
  TailCall,
  typeOf,
} from './values.ts';

/** Frames of JavaScript that are looked through for the place of an error; and for a traceback. */
const PLACE_FRAMES = 24;
const TRACE_FRAMES = 120;
/** Instructions that finding the place of an error costs, about 13 µs. */
const ERROR_COST = 300;

export class Vm {
  readonly meter = new Meter();
  readonly chunks = new ChunkRegistry();
  /** The metatable of strings of the running script. */
  stringMeta = new LuaTable();
  /** The running coroutine; `undefined` for the hook itself. */
  coroutine: LuaCoroutine | undefined = undefined;

  /** Calls a script's function, or any value with `__call`, from a native function; nothing in it can wait. */
  callFromNative(callee: LuaValue, args: LuaValue[]): Results {
    return callFromNative(this, this.#callee(callee), args);
  }

  callFromNativeWaiting(callee: LuaValue, args: LuaValue[]): Generator<unknown, Results, Results> {
    return callFromNativeWaiting(this, this.#callee(callee), args);
  }

  #callee(value: LuaValue): LuaFunction {
    if (value instanceof LuaFunction) return value;
    if (this.metamethod(value, '__call') !== undefined) return this.callable(value);
    throw new LuaError(`attempt to call a ${typeOf(value)} value`, this.traceback());
  }

  /** The function to call for `value`. */
  callable(value: LuaValue): LuaFunction {
    if (value instanceof LuaFunction) return value;
    const handler = this.metamethod(value, '__call');
    if (handler instanceof LuaFunction) {
      const { g } = handler;
      return new LuaFunction(
        (...args) => handler.s(value, ...args),
        g === null ? null : (...args) => g.call(handler, value, ...args),
      );
    }
    throw this.operandError('call', value, 0);
  }

  metatable(value: LuaValue): LuaTable | undefined {
    if (value instanceof LuaTable) return value.meta;
    if (typeof value === 'string') return this.stringMeta;
    return value instanceof HostObject && value.value instanceof LuaTable && value.kind.name === 'proxy'
      ? value.value
      : undefined;
  }

  metamethod(value: LuaValue, event: string): LuaValue {
    return this.metatable(value)?.str(event);
  }

  /** `attempt to index local 'x' (a nil value)`; `operand` says which of the site's names is meant. */
  operandError(verb: string, value: LuaValue, operand: number): LuaError {
    const frames = this.#frames(true);
    const frame = frames[0];
    const name = frame === undefined || frame === 'native' ? undefined : frame.site.names[operand];
    const what = name === undefined ? `a ${typeOf(value)} value` : `${name} (a ${typeOf(value)} value)`;
    return new LuaError(`${placeOf(frame)}attempt to ${verb} ${what}`, frames);
  }

  /** An error of an operation of the script itself. */
  operationError(message: string): LuaError {
    const frames = this.#frames(true);
    return new LuaError(placeOf(frames[0]) + message, frames);
  }

  /** An error of a native function, with the place of its caller (`level` 1) or of that one's caller (2). */
  nativeError(message: string, level = 1): LuaError {
    const frames = this.#frames();
    return new LuaError((level > 0 ? placeOf(frames[level - 1]) : '') + message, frames);
  }

  /** `bad argument #1 to 'insert' (...)`; `argument` counts from 1, with `self`. */
  argumentError(argument: number, detail: string): LuaError {
    const frames = this.#frames();
    const frame = frames[0];
    const called = frame === undefined || frame === 'native' ? undefined : frame.site.names[0];
    const name = called === undefined ? '?' : called.slice(called.indexOf("'") + 1, -1);
    const number = called?.startsWith('method ') === true ? argument - 1 : argument;
    const text =
      number === 0 ? `calling '${name}' on bad self (${detail})` : `bad argument #${number} to '${name}' (${detail})`;
    return new LuaError(placeOf(frame) + text, frames);
  }

  /** What a `catch` around a script caught, as an error that scripts see; what they may not see goes on. */
  caught(error: unknown): LuaError {
    if (error instanceof LuaError) return error;
    if (isStackOverflow(error)) return new LuaError('stack overflow');
    throw error;
  }

  /** What a method of a host object threw, with the place of its caller. */
  fromHost(error: unknown): unknown {
    if (error instanceof NativeError) return this.nativeError(error.message);
    return error instanceof ArgumentError ? this.argumentError(error.argument, error.detail) : error;
  }

  /** The running functions, for a traceback. */
  traceback(): Frame[] {
    this.meter.charge(ERROR_COST);
    return this.chunks.frames(TRACE_FRAMES, false);
  }

  /** A used-up depth. */
  overflow(): never {
    // A script that catches this in a loop pays for it.
    this.meter.charge(100);
    throw this.operationError('stack overflow');
  }

  #frames(operation = false): Frame[] {
    this.meter.charge(ERROR_COST);
    return this.chunks.frames(PLACE_FRAMES, operation);
  }

  /** The first of `results`. */
  first(results: Results): LuaValue {
    return Array.isArray(results) ? results[0] : results;
  }

  tostring(value: LuaValue): string {
    switch (typeof value) {
      case 'string':
        return value;
      case 'number':
        return formatNumber(value);
      case 'undefined':
        return 'nil';
      case 'boolean':
        return value ? 'true' : 'false';
      default:
        return this.#describe(value);
    }
  }

  #describe(value: LuaTable | LuaFunction | LuaCoroutine | HostObject): string {
    const handler = this.metamethod(value, '__tostring');
    if (handler !== undefined) {
      const text = this.first(this.callFromNative(handler, [value]));
      if (typeof text === 'number') return formatNumber(text);
      if (typeof text !== 'string') throw this.nativeError("'tostring' must return a string to 'print'");
      return text;
    }
    const builtin = value instanceof LuaFunction && value.chunk === undefined ? 'builtin: ' : '';
    return `${typeOf(value)}: ${builtin}${addressOf(value)}`;
  }

  // Arguments of native functions. `i` counts from 0.

  string(args: readonly LuaValue[], i: number): string {
    const value = args[i];
    if (typeof value === 'string') return value;
    if (typeof value === 'number') return formatNumber(value);
    throw this.typeError(args, i, 'string');
  }

  number(args: readonly LuaValue[], i: number): number {
    const value = args[i];
    if (typeof value === 'number') return value;
    const number = typeof value === 'string' ? parseNumber(value) : undefined;
    if (number === undefined) throw this.typeError(args, i, 'number');
    return number;
  }

  /** A number without its fraction. */
  integer(args: readonly LuaValue[], i: number): number {
    const number = Math.trunc(this.number(args, i));
    return Number.isNaN(number) ? 0 : number;
  }

  optionalInteger(args: readonly LuaValue[], i: number, otherwise: number): number {
    return args[i] === undefined ? otherwise : this.integer(args, i);
  }

  table(args: readonly LuaValue[], i: number): LuaTable {
    const value = args[i];
    if (value instanceof LuaTable) return value;
    throw this.typeError(args, i, 'table');
  }

  function(args: readonly LuaValue[], i: number): LuaFunction {
    const value = args[i];
    if (value instanceof LuaFunction) return value;
    throw this.typeError(args, i, 'function');
  }

  any(args: readonly LuaValue[], i: number): LuaValue {
    if (i >= args.length) throw this.argumentError(i + 1, 'value expected');
    return args[i];
  }

  typeError(args: readonly LuaValue[], i: number, expected: string): LuaError {
    const actual = i < args.length ? typeOf(args[i]) : 'no value';
    return this.argumentError(i + 1, `${expected} expected, got ${actual}`);
  }
}

/** These two have their names, since frames are told by them. */
function callFromNative(vm: Vm, callee: LuaFunction, args: LuaValue[]): Results {
  const { meter } = vm;
  const { depth } = meter;
  meter.depth = depth + NATIVE_DEPTH;
  let results = callee.s(...args);
  while (results instanceof TailCall) results = results.callee.s(...results.args);
  meter.depth = depth;
  return results;
}

function* callFromNativeWaiting(vm: Vm, callee: LuaFunction, args: LuaValue[]): Generator<unknown, Results, Results> {
  const { meter } = vm;
  meter.depth += NATIVE_DEPTH;
  let results = callee.g === null ? callee.s(...args) : yield* callee.g(...args);
  while (results instanceof TailCall) {
    const { callee: next, args: rest } = results;
    results = next.g === null ? next.s(...rest) : yield* next.g(...rest);
  }
  meter.depth -= NATIVE_DEPTH;
  return results;
}

export function isStackOverflow(error: unknown): boolean {
  return error instanceof RangeError && /call stack/.test(error.message);
}

/** An error as one line of text; `unspecified lua error` for values that are no text, as in Envoy. */
export function errorText(error: LuaError | ScriptAbort): string {
  if (error instanceof ScriptAbort) return error.message;
  if (typeof error.value === 'number') return formatNumber(error.value);
  return typeof error.value === 'string' ? error.value : 'unspecified lua error';
}
