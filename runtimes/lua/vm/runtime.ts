/** Everything that generated code may name. */

import { MAX_DEPTH, TAIL_DEPTH } from './meter.ts';
import { createOperations } from './operations.ts';
import { ENTRY_SIZE, LuaTable, TABLE_SIZE } from './table.ts';
import { type Environment, LuaFunction, type LuaValue, NONE, TailCall } from './values.ts';
import type { Vm } from './vm.ts';

/** @param next the library's `next`, which loops over tables do without. */
export function createRuntime(vm: Vm, next: LuaFunction) {
  const operations = createOperations(vm);
  const { meter } = vm;
  return {
    ...operations,
    S: meter,
    F: LuaFunction,
    Tail: TailCall,
    NONE,
    MAX: MAX_DEPTH,
    TAIL: TAIL_DEPTH,
    overflow: () => vm.overflow(),

    getGlobal(environment: Environment, name: string): LuaValue {
      const value = environment.t.str(name);
      return value !== undefined || environment.t.meta === undefined ? value : operations.index(environment.t, name);
    },

    /** Stands for the running function where its environment is meant. */
    levelOne: (environment: Environment) => new LuaFunction(() => NONE, null, undefined, environment),

    setGlobal(environment: Environment, name: string, value: LuaValue): void {
      operations.setIndex(environment.t, name, value);
    },

    isNext: (iterator: LuaValue, table: LuaValue, control: LuaValue): boolean =>
      iterator === next && control === undefined && table instanceof LuaTable,

    /** A table with these string keys. */
    record(keys: readonly string[], values: LuaValue[]): LuaTable {
      const table = new LuaTable();
      table.keys = keys.slice();
      table.vals = values;
      for (const value of values) if (value !== undefined) table.live++;
      meter.allocate(TABLE_SIZE + keys.length * ENTRY_SIZE);
      return table;
    },

    /** A field with a key in a table constructor: it may stand for a listed value that came before it. */
    put(table: LuaTable, list: LuaValue[], key: LuaValue, value: LuaValue): void {
      if (typeof key === 'number' && key >= 1 && key <= list.length && Number.isInteger(key)) list[key - 1] = value;
      else operations.setIndex(table, key, value);
    },

    /** Puts the listed values of a table constructor in place. */
    fill(table: LuaTable, values: LuaValue[]): LuaTable {
      meter.allocate(values.length * 8);
      table.fill(values);
      return table;
    },
  };
}
