/** How much memory a script's values hold, about: what can be reached from its globals and the variables of its functions. */
import { ENTRY_SIZE, LuaTable, TABLE_SIZE } from '../vm/table.ts';
import { LuaFunction, type LuaValue } from '../vm/values.ts';

const FUNCTION_SIZE = 96;

/** Bytes; the count ends once it is over `limit`. A string counts wherever it is kept. */
export function sizeOf(roots: readonly LuaValue[], limit: number): number {
  const seen = new Set<LuaValue>();
  const queue: LuaValue[] = [...roots];
  let size = 0;
  while (queue.length > 0 && size <= limit) {
    const value = queue.pop();
    if (typeof value === 'string') size += value.length;
    if (typeof value !== 'object' || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof LuaTable) {
      size += TABLE_SIZE + value.arr.length * 8 + (value.keys?.length ?? 0) * ENTRY_SIZE;
      for (const item of value.arr) if (typeof item === 'object' || typeof item === 'string') queue.push(item);
      for (const list of [value.keys, value.vals]) {
        for (const item of list ?? []) if (typeof item === 'object' || typeof item === 'string') queue.push(item);
      }
      if (value.meta !== undefined) queue.push(value.meta);
    } else if (value instanceof LuaFunction) {
      size += FUNCTION_SIZE;
      if (value.environment !== undefined) queue.push(value.environment.t);
      for (const item of value.upvalues?.() ?? []) queue.push(item);
    }
  }
  return size;
}
