/** The basic functions. Sources: Lua 5.1 reference manual, section 5.1; LuaJIT's "Extensions" with Lua 5.2's. */

import { LuaError } from '../vm/errors.ts';
import { formatNumber, parseInBase, parseNumber } from '../vm/numbers.ts';
import { ENTRY_SIZE, LuaTable } from '../vm/table.ts';
import {
  HostObject,
  LuaFunction,
  type LuaValue,
  listOf,
  NONE,
  PROXY_KIND,
  type Results,
  truthy,
  typeOf,
} from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';
import { type Library, library, native } from './library.ts';

/** `unpack` refuses more, as Lua does (LUAI_MAXCSTACK). */
const MAX_UNPACK = 7997;

export function createBase(vm: Vm): Library {
  const next = native((...args) => {
    const table = vm.table(args, 0);
    const cursor = table.cursorOf(args[1]);
    if (cursor === undefined) throw vm.nativeError("invalid key to 'next'");
    const following = table.advance(cursor);
    return following === 0 ? undefined : [table.keyAt(following), table.valueAt(following)];
  });
  const ipairsStep = native((table, i) => {
    const index = (i as number) + 1;
    const value = (table as LuaTable).get(index);
    return value === undefined ? undefined : [index, value];
  });

  return library({
    next,
    assert(...args) {
      const value = vm.any(args, 0);
      if (truthy(value)) return args;
      // LuaJIT puts the place before a text, as `error` does.
      if (args.length === 1) throw vm.nativeError('assertion failed!');
      if (typeof args[1] === 'string') throw vm.nativeError(args[1]);
      throw new LuaError(args[1], vm.traceback());
    },
    error(value, level) {
      const at = level === undefined ? 1 : vm.integer([value, level], 1);
      if (at > 0 && typeof value === 'string') throw vm.nativeError(value, at);
      if (at > 0 && typeof value === 'number') throw vm.nativeError(formatNumber(value), at);
      throw new LuaError(value, vm.traceback());
    },
    getmetatable(...args) {
      const value = vm.any(args, 0);
      if (value instanceof HostObject && value.kind !== PROXY_KIND) return false;
      const meta = vm.metatable(value);
      return meta?.str('__metatable') ?? meta;
    },
    setmetatable(...args) {
      const table = vm.table(args, 0);
      const meta = args[1];
      if (args.length < 2 || (meta !== undefined && !(meta instanceof LuaTable)))
        throw vm.argumentError(2, 'nil or table expected');
      if (table.meta?.str('__metatable') !== undefined) throw vm.nativeError('cannot change a protected metatable');
      table.meta = meta;
      return table;
    },
    rawget: (...args) => vm.table(args, 0).get(vm.any(args, 1)),
    rawset(...args) {
      const table = vm.table(args, 0);
      const key = vm.any(args, 1);
      const value = vm.any(args, 2);
      if (key === undefined) throw vm.nativeError('table index is nil');
      if (Number.isNaN(key)) throw vm.nativeError('table index is NaN');
      if (table.set(key, value)) vm.meter.allocate(ENTRY_SIZE);
      return table;
    },
    rawequal: (...args) => vm.any(args, 0) === vm.any(args, 1),
    rawlen(...args) {
      const value = args[0];
      if (typeof value === 'string') return value.length;
      if (value instanceof LuaTable) return value.length();
      throw vm.argumentError(1, 'table or string expected');
    },
    pairs(...args) {
      const value = vm.any(args, 0);
      if (value instanceof HostObject && value.kind.pairs !== undefined) return value.kind.pairs.s(value);
      const handler = vm.metamethod(value, '__pairs');
      if (handler !== undefined) return listOf(vm.callFromNative(handler, [value])).slice(0, 3);
      return [next, vm.table(args, 0), undefined];
    },
    ipairs(...args) {
      const handler = vm.metamethod(args[0], '__ipairs');
      if (handler !== undefined) return listOf(vm.callFromNative(handler, [args[0]])).slice(0, 3);
      return [ipairsStep, vm.table(args, 0), 0];
    },
    select(...args) {
      if (args[0] === '#') return args.length - 1;
      const n = vm.integer(args, 0);
      if (n < 0) {
        if (-n >= args.length) throw vm.argumentError(1, 'index out of range');
        return args.slice(n);
      }
      if (n === 0) throw vm.argumentError(1, 'index out of range');
      return args.slice(n);
    },
    tonumber(...args) {
      const value = vm.any(args, 0);
      if (args[1] === undefined)
        return typeof value === 'string' ? parseNumber(value) : typeof value === 'number' ? value : undefined;
      const base = vm.integer(args, 1);
      if (base !== 10) vm.string(args, 0);
      if (base < 2 || base > 36) throw vm.argumentError(2, 'base out of range');
      if (base !== 10) return parseInBase(vm.string(args, 0), base);
      return typeof value === 'string' ? parseNumber(value) : typeof value === 'number' ? value : undefined;
    },
    tostring: (...args) => vm.tostring(vm.any(args, 0)),
    type: (...args) => typeOf(vm.any(args, 0)),
    unpack: (...args) => unpack(vm, args),
    newproxy(value) {
      if (value instanceof HostObject && value.kind === PROXY_KIND)
        return new HostObject(PROXY_KIND, value.value, FOREVER);
      return new HostObject(PROXY_KIND, value === true ? new LuaTable() : undefined, FOREVER);
    },
    getfenv(...args) {
      const fn = args[0];
      if (fn instanceof LuaFunction && fn.environment !== undefined) return fn.environment.t;
      throw vm.argumentError(1, 'a function of Lua, or level 1, expected');
    },
    setfenv(...args) {
      const fn = args[0];
      const table = vm.table(args, 1);
      if (!(fn instanceof LuaFunction) || fn.environment === undefined) {
        throw vm.nativeError("'setfenv' cannot change environment of given object");
      }
      fn.environment.t = table;
      return fn;
    },
    pcall: native(
      (...args) => {
        vm.any(args, 0);
        const { depth } = vm.meter;
        try {
          return [true, ...listOf(vm.callFromNative(args[0], args.slice(1)))];
        } catch (error) {
          const { value } = vm.caught(error);
          vm.meter.depth = depth;
          return [false, value];
        }
      },
      function* pcall(...args) {
        vm.any(args, 0);
        const { depth } = vm.meter;
        try {
          return [true, ...listOf(yield* vm.callFromNativeWaiting(args[0], args.slice(1)))];
        } catch (error) {
          const { value } = vm.caught(error);
          vm.meter.depth = depth;
          return [false, value];
        }
      },
    ),
    xpcall: native(
      (...args) => {
        const { depth } = vm.meter;
        try {
          return [true, ...listOf(vm.callFromNative(args[0], args.slice(2)))];
        } catch (error) {
          return handle(vm, error, args[1], depth);
        }
      },
      function* xpcall(...args) {
        const { depth } = vm.meter;
        try {
          return [true, ...listOf(yield* vm.callFromNativeWaiting(args[0], args.slice(2)))];
        } catch (error) {
          return handle(vm, error, args[1], depth);
        }
      },
    ),
    /** Collection is JavaScript's; the count is what the measure of memory knows. */
    collectgarbage(option) {
      if (option === 'count') return vm.meter.allocated / 1024;
      return option === undefined ||
        option === 'collect' ||
        option === 'stop' ||
        option === 'restart' ||
        option === 'step'
        ? 0
        : NONE;
    },
  });
}

const FOREVER = { epoch: 0 };

/** Calls `xpcall`'s message handler; an error in it is one more error. */
function handle(vm: Vm, error: unknown, handler: LuaValue, depth: number): Results {
  const { value } = vm.caught(error);
  vm.meter.depth = depth;
  try {
    const results = vm.callFromNative(handler, [value]);
    return [false, ...listOf(results)];
  } catch (second) {
    return [false, vm.caught(second).value];
  }
}

export function unpack(vm: Vm, args: LuaValue[]): LuaValue[] {
  const table = vm.table(args, 0);
  const from = vm.optionalInteger(args, 1, 1);
  const to = vm.optionalInteger(args, 2, table.length());
  if (from > to) return NONE;
  if (to - from >= MAX_UNPACK) throw vm.nativeError('too many results to unpack');
  const values: LuaValue[] = [];
  for (let i = from; i <= to; i++) values.push(table.get(i));
  return values;
}
