/** Functions of tables. Sources: Lua 5.1 reference manual, section 5.5; LuaJIT (`pack`, `unpack`, `move`). */
import { formatNumber } from '../vm/numbers.ts';
import { ENTRY_SIZE, LuaTable, TABLE_SIZE } from '../vm/table.ts';
import { type LuaValue, NONE, truthy, typeOf } from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';
import { unpack } from './base.ts';
import { type Library, library } from './library.ts';

type Less = (a: LuaValue, b: LuaValue) => boolean;

export function createTable(vm: Vm, less: Less): Library {
  const { meter } = vm;
  const put = (table: LuaTable, index: number, value: LuaValue) => {
    if (table.set(index, value)) meter.allocate(ENTRY_SIZE);
  };
  return library({
    concat(...args) {
      const table = vm.table(args, 0);
      const separator = args[1] === undefined ? '' : vm.string(args, 1);
      const from = vm.optionalInteger(args, 2, 1);
      const to = vm.optionalInteger(args, 3, table.length());
      const parts: string[] = [];
      let length = 0;
      for (let i = from; i <= to; i++) {
        const value = table.get(i);
        if (typeof value !== 'string' && typeof value !== 'number') {
          throw vm.nativeError(`invalid value (${typeOf(value)}) at index ${i} in table for 'concat'`);
        }
        const text = typeof value === 'string' ? value : formatNumber(value);
        length += text.length + separator.length;
        meter.charge(1);
        if (length > meter.maxString) meter.checkString(length);
        parts.push(text);
      }
      meter.checkString(length);
      return parts.join(separator);
    },
    insert(...args) {
      const table = vm.table(args, 0);
      const length = table.length();
      if (args.length === 2) {
        put(table, length + 1, args[1]);
        return NONE;
      }
      if (args.length !== 3) throw vm.nativeError("wrong number of arguments to 'insert'");
      const at = vm.integer(args, 1);
      if (at >= 1 && at <= length) {
        meter.charge((length - at) >> 4);
        table.insertAt(at, args[2]);
        meter.allocate(ENTRY_SIZE);
      } else put(table, at, args[2]);
      return NONE;
    },
    remove(...args) {
      const table = vm.table(args, 0);
      const length = table.length();
      const at = vm.optionalInteger(args, 1, length);
      if (args[1] === undefined ? length === 0 : at < 1 || at > length) return args[1] === undefined ? undefined : NONE;
      meter.charge((length - at) >> 4);
      return table.removeAt(at);
    },
    sort(...args) {
      const table = vm.table(args, 0);
      const by = args[1] === undefined ? undefined : vm.function(args, 1);
      const before: Less = by === undefined ? less : (a, b) => truthy(vm.first(vm.callFromNative(by, [a, b])));
      sort(vm, table, before);
      return NONE;
    },
    maxn(...args) {
      const table = vm.table(args, 0);
      let max = table.length();
      for (let cursor = table.advance(0); cursor !== 0; cursor = table.advance(cursor)) {
        const key = table.keyAt(cursor);
        if (typeof key === 'number' && key > max) max = key;
      }
      return max;
    },
    getn: (...args) => vm.table(args, 0).length(),
    foreach(...args) {
      const table = vm.table(args, 0);
      const visit = vm.function(args, 1);
      for (let cursor = table.advance(0); cursor !== 0; cursor = table.advance(cursor)) {
        meter.charge(1);
        const result = vm.first(vm.callFromNative(visit, [table.keyAt(cursor), table.valueAt(cursor)]));
        if (result !== undefined) return result;
      }
      return NONE;
    },
    foreachi(...args) {
      const table = vm.table(args, 0);
      const visit = vm.function(args, 1);
      for (let i = 1; i <= table.length(); i++) {
        meter.charge(1);
        const result = vm.first(vm.callFromNative(visit, [i, table.get(i)]));
        if (result !== undefined) return result;
      }
      return NONE;
    },
    pack(...args) {
      const table = new LuaTable();
      meter.allocate(TABLE_SIZE + args.length * 8);
      const count = args.length;
      table.fill(args);
      table.set('n', count);
      return table;
    },
    unpack: (...args) => unpack(vm, args),
    move(...args) {
      const source = vm.table(args, 0);
      const [from, to, at] = [vm.integer(args, 1), vm.integer(args, 2), vm.integer(args, 3)];
      const target = args[4] === undefined ? source : vm.table(args, 4);
      const backwards = at > from && at <= to && target === source;
      for (let i = 0; i <= to - from; i++) {
        meter.charge(1);
        const offset = backwards ? to - from - i : i;
        put(target, at + offset, source.get(from + offset));
      }
      return target;
    },
  });
}

/** Merge sort: bounded by n log n whatever the comparison says, and the comparison is never asked of values that are not there. */
function sort(vm: Vm, table: LuaTable, before: Less): void {
  const { meter } = vm;
  let from: LuaValue[] = [];
  for (let i = 1; i <= table.length(); i++) from.push(table.get(i));
  let to = new Array<LuaValue>(from.length);
  const { length } = from;
  meter.allocate(length * 16);
  for (let width = 1; width < length; width *= 2) {
    for (let start = 0; start < length; start += 2 * width) {
      const middle = Math.min(start + width, length);
      const end = Math.min(start + 2 * width, length);
      let [left, right] = [start, middle];
      for (let i = start; i < end; i++) {
        meter.charge(1);
        // Stable: the right one goes first only when it is less.
        const takeRight = left >= middle || (right < end && before(from[right], from[left]));
        to[i] = takeRight ? from[right++] : from[left++];
      }
    }
    [from, to] = [to, from];
  }
  for (let i = 0; i < length; i++) table.set(i + 1, from[i]);
}
