/** How a library of native functions is declared, and put into a script's globals. */
import { LuaTable } from '../vm/table.ts';
import { LuaFunction, type LuaValue, type NativeFunction, type WaitingFunction } from '../vm/values.ts';

export type Library = ReadonlyMap<string, LuaValue>;

export function native(s: NativeFunction, g: WaitingFunction | null = null): LuaFunction {
  return new LuaFunction(s, g);
}

/** Functions, and values such as `math.pi`. */
export function library(members: Readonly<Record<string, NativeFunction | LuaFunction | number>>): Library {
  return new Map(
    Object.entries(members).map(([name, member]) => [name, typeof member === 'function' ? native(member) : member]),
  );
}

/** A table of its own for every script: what one does to it no other sees. */
export function tableOf(members: Library): LuaTable {
  const table = new LuaTable();
  for (const [name, value] of members) table.set(name, value);
  return table;
}
