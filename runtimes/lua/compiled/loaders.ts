/** `loadstring`, `load` and `require`. Sources: Lua 5.1 reference manual, sections 5.1 and 5.3; LuaJIT (`load` of a string, with an environment). */
import { hostFunction } from '../api/kind.ts';
import { LuaSyntaxError } from '../compiler/parse.ts';
import type { ScriptSource } from '../engine.ts';
import { chunkId, NativeError } from '../vm/errors.ts';
import { LuaTable } from '../vm/table.ts';
import { LuaFunction, type LuaValue, type Results } from '../vm/values.ts';
import type { CompiledEngine } from './engine.ts';

/** Instructions that compiling costs: a source at all, and each byte of it. */
const COMPILE_BASE = 10_000;
const COMPILE_COST = 20;

export function addLoaders(
  engine: CompiledEngine,
  globals: LuaTable,
  loaded: Map<string, LuaValue>,
  source: ScriptSource,
): void {
  const { vm } = engine;

  function compile(text: string, name: string, environment: LuaTable): Results {
    vm.meter.charge(COMPILE_BASE + text.length * COMPILE_COST);
    vm.meter.allocate(text.length * COMPILE_COST);
    try {
      return engine.compile(text, name).load(engine.library.runtime, { t: environment });
    } catch (error) {
      if (!(error instanceof LuaSyntaxError)) throw error;
      return [undefined, `${chunkId(name)}:${error.line}: ${error.message}`];
    }
  }

  /** The pieces that a function gives, one after the other. */
  function readAll(reader: LuaFunction): string {
    let text = '';
    for (;;) {
      const piece = vm.first(vm.callFromNative(reader, []));
      if (piece === undefined || piece === '') return text;
      if (typeof piece !== 'string') throw vm.nativeError('reader function must return a string');
      text += piece;
      vm.meter.checkString(text.length);
    }
  }

  const load = new LuaFunction((...args) => {
    const text = args[0] instanceof LuaFunction ? readAll(args[0]) : vm.string(args, 0);
    const name = args[1] === undefined ? (args[0] instanceof LuaFunction ? '=(load)' : text) : vm.string(args, 1);
    const environment = args[3] instanceof LuaTable ? args[3] : globals;
    return compile(text, name, environment);
  }, null);
  globals.set('load', load);
  globals.set('loadstring', load);

  const loading = new Set<string>();
  globals.set(
    'require',
    hostFunction(vm, (args) => {
      const name = vm.string(args, 0);
      if (loaded.has(name)) return loaded.get(name);
      if (loading.has(name)) throw new NativeError(`loop or previous error loading module '${name}'`);
      const module = source.findModule(name);
      if (module === undefined) {
        throw new NativeError(`module '${name}' not found: list its folder in the filter's \`modules:\``);
      }
      const compiled = compile(module.text, `@${module.file}`, globals);
      if (Array.isArray(compiled)) {
        throw new NativeError(`error loading module '${name}': ${String(compiled[1])}`);
      }
      loading.add(name);
      let value: LuaValue;
      try {
        value = vm.first(vm.callFromNative(compiled, [name]));
      } finally {
        loading.delete(name);
      }
      loaded.set(name, value ?? true);
      return value ?? true;
    }),
  );
}
