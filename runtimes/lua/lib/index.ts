/** The standard library of compiled scripts: made once for a machine, put into each script's own tables. */
import { createRuntime } from '../vm/runtime.ts';
import { LuaTable } from '../vm/table.ts';
import type { LuaFunction, LuaValue } from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';
import { createBase } from './base.ts';
import { createBit } from './bit.ts';
import { createCoroutines } from './coroutine.ts';
import { type Library, tableOf } from './library.ts';
import { createMath } from './math.ts';
import { createOs } from './os.ts';
import { createString } from './string.ts';
import { createTable } from './table.ts';

export class StandardLibrary {
  readonly runtime: ReturnType<typeof createRuntime>;
  readonly #base: Library;
  readonly #libraries: ReadonlyMap<string, Library>;

  constructor(vm: Vm) {
    this.#base = createBase(vm);
    this.runtime = createRuntime(vm, this.#base.get('next') as LuaFunction);
    this.#libraries = new Map([
      ['string', createString(vm, this.runtime.index)],
      ['table', createTable(vm, this.runtime.less)],
      ['math', createMath(vm)],
      ['bit', createBit(vm)],
      ['os', createOs(vm)],
      ['coroutine', createCoroutines(vm)],
    ]);
  }

  /** New globals, and the metatable of strings that belongs to them. */
  open(): { globals: LuaTable; stringMeta: LuaTable; loaded: Map<string, LuaValue> } {
    const globals = tableOf(this.#base);
    const loaded = new Map<string, LuaValue>([['_G', globals]]);
    for (const [name, members] of this.#libraries) {
      const table = tableOf(members);
      globals.set(name, table);
      loaded.set(name, table);
    }
    globals.set('_G', globals);
    globals.set('_VERSION', 'Lua 5.1');
    const stringMeta = new LuaTable();
    stringMeta.set('__index', globals.str('string'));
    return { globals, stringMeta, loaded };
  }
}
