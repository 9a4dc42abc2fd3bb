/** Host objects in fengari: userdata whose methods are those of the kind, and the ways of values between the two. */
import { type LuaState, lauxlib, lua, to_luastring } from 'fengari';
import { HostFunction, type Kind, Wait } from '../api/kind.ts';
import { ArgumentError, NativeError } from '../vm/errors.ts';
import { LuaTable } from '../vm/table.ts';
import { HostObject, LuaFunction, type LuaValue, type Results } from '../vm/values.ts';
import { bytesOf, raise, textOf } from './values.ts';

/** What a method of a host object does when the script has to wait. */
export type OnWait = (L: LuaState, wait: Wait) => number;

const MAX_DEPTH = 100;
const MAX_ENTRIES = 100_000;

export class FengariObjects {
  readonly #L: LuaState;
  readonly #onWait: OnWait;
  readonly #metatables = new Map<object, number>();
  /** One userdata for each object, so that it is equal to itself. */
  readonly #pushed = new WeakMap<HostObject, (L: LuaState) => void>();

  constructor(L: LuaState, onWait: OnWait) {
    this.#L = L;
    this.#onWait = onWait;
  }

  /** Pushes a value of Weir. */
  push(L: LuaState, value: LuaValue): void {
    lua.lua_checkstack(L, 8);
    switch (typeof value) {
      case 'undefined':
        lua.lua_pushnil(L);
        return;
      case 'boolean':
        lua.lua_pushboolean(L, value);
        return;
      case 'number':
        if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) lua.lua_pushinteger(L, value);
        else lua.lua_pushnumber(L, value);
        return;
      case 'string':
        lua.lua_pushlstring(L, bytesOf(value), value.length);
        return;
      default:
        if (value instanceof LuaTable) this.#pushTable(L, value);
        else if (value instanceof HostObject) this.#pushObject(L, value);
        else throw new Error('a value of a compiled script came to fengari');
    }
  }

  /** Pushes results and gives their number. */
  pushResults(L: LuaState, results: Results): number {
    if (!Array.isArray(results)) {
      this.push(L, results);
      return 1;
    }
    for (const value of results) this.push(L, value);
    return results.length;
  }

  pushFunction(L: LuaState, call: (args: LuaValue[]) => Results | Wait | HostFunction): void {
    lua.lua_pushcclosure(L, (state) => this.#call(state, 1, call), 0);
  }

  /** The value at `index` for Weir. Tables are copied. */
  read(L: LuaState, index: number, depth = 0): LuaValue {
    switch (lua.lua_type(L, index)) {
      case lua.LUA_TBOOLEAN:
        return lua.lua_toboolean(L, index);
      case lua.LUA_TNUMBER:
        return lua.lua_tonumber(L, index);
      case lua.LUA_TSTRING:
        return textOf(lua.lua_tolstring(L, index) as Uint8Array);
      case lua.LUA_TTABLE:
        return this.#readTable(L, index, depth);
      case lua.LUA_TFUNCTION:
        return FOREIGN_FUNCTION;
      default: {
        const object = lua.lua_touserdata(L, index)?.object;
        return object instanceof HostObject ? object : undefined;
      }
    }
  }

  #readTable(L: LuaState, index: number, depth: number): LuaTable {
    if (depth > MAX_DEPTH) throw new NativeError('the table is nested too deeply, or holds itself');
    const table = new LuaTable();
    const at = index < 0 ? lua.lua_gettop(L) + index + 1 : index;
    let count = 0;
    lua.lua_checkstack(L, 8);
    lua.lua_pushnil(L);
    while (lua.lua_next(L, at) !== 0) {
      if (++count > MAX_ENTRIES) throw new NativeError('the table is too large');
      const key = this.read(L, -2, depth + 1);
      if (key !== undefined) table.set(key, this.read(L, -1, depth + 1));
      lua.lua_pop(L, 1);
    }
    return table;
  }

  #pushTable(L: LuaState, table: LuaTable): void {
    lua.lua_createtable(L, table.arr.length, table.live);
    for (let cursor = table.advance(0); cursor !== 0; cursor = table.advance(cursor)) {
      this.push(L, table.keyAt(cursor));
      this.push(L, table.valueAt(cursor));
      lua.lua_rawset(L, -3);
    }
  }

  #pushObject(L: LuaState, object: HostObject): void {
    const again = this.#pushed.get(object);
    if (again !== undefined) {
      again(L);
      return;
    }
    const kind = object.kind as Kind<unknown>;
    let metatable = this.#metatables.get(kind);
    if (metatable === undefined) {
      metatable = this.#metatable(kind);
      this.#metatables.set(kind, metatable);
    }
    lua.lua_newuserdata(L, 0).object = object;
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, metatable);
    lua.lua_setmetatable(L, -2);
    this.#pushed.set(object, lua.lua_toproxy(L, -1));
  }

  #metatable(kind: Kind<unknown>): number {
    const L = this.#L;
    lua.lua_createtable(L, 0, 4);
    lua.lua_createtable(L, 0, 16);
    for (const [name, method] of kind.declared) {
      lua.lua_pushcclosure(
        L,
        (state) => this.#call(state, 2, (args) => method(kind.valueOf(this.read(state, 1), name), args)),
        0,
      );
      lua.lua_setfield(L, -2, to_luastring(name));
    }
    lua.lua_setfield(L, -2, to_luastring('__index'));
    const pairs = kind.declaredPairs;
    if (pairs !== undefined) {
      this.pushFunction(L, (args) => {
        const step = pairs(kind.valueOf(args[0], 'pairs'));
        return new HostFunction(() => step());
      });
      lua.lua_setfield(L, -2, to_luastring('__pairs'));
    }
    // getmetatable() must not hand the methods out to be changed.
    lua.lua_pushboolean(L, false);
    lua.lua_setfield(L, -2, to_luastring('__metatable'));
    return lauxlib.luaL_ref(L, lua.LUA_REGISTRYINDEX);
  }

  #call(L: LuaState, first: number, call: (args: LuaValue[]) => Results | Wait | HostFunction): number {
    let results: Results | Wait | HostFunction;
    try {
      const args: LuaValue[] = [];
      for (let i = first; i <= lua.lua_gettop(L); i++) args.push(this.read(L, i));
      results = call(args);
    } catch (error) {
      if (error instanceof NativeError) return raise(L, error.message);
      if (error instanceof ArgumentError) return lauxlib.luaL_argerror(L, error.argument, bytesOf(error.detail));
      throw error;
    }
    if (results instanceof Wait) return this.#onWait(L, results);
    if (results instanceof HostFunction) {
      const { call: inner } = results;
      this.pushFunction(L, inner);
      return 1;
    }
    return this.pushResults(L, results);
  }
}

/** A function of a script that was given to a method which takes none: only its type matters. */
const FOREIGN_FUNCTION = new LuaFunction(() => undefined, null);
