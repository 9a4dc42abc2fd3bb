/** Host objects in Lua: userdata with a metatable per kind, whose methods are checked for the right kind and a live object. */
import { type LuaFunction, type LuaState, lauxlib, lua, to_luastring } from 'fengari';
import { raise } from './values.ts';

/** What a script gets hold of dies when it yields or its hook returns (Envoy: "object used outside of proper scope"). */
export interface Scope {
  /** Counts up at each of these. */
  epoch: number;
}

/** A method: `self` is the object, arguments begin at stack index 2. Returns the number of results it pushed. */
export type Method<T> = (L: LuaState, self: T) => number;

/** One kind of object in one Lua state. */
export class ObjectKind<T extends object> {
  readonly #name: string;
  readonly #metatable: number;

  constructor(L: LuaState, name: string, methods: Readonly<Record<string, Method<T>>>, pairs?: Method<T>) {
    this.#name = name;
    lua.lua_createtable(L, 0, 4);
    lua.lua_createtable(L, 0, 16);
    for (const [key, method] of Object.entries(methods)) {
      lua.lua_pushcclosure(L, this.#wrap(key, method), 0);
      lua.lua_setfield(L, -2, to_luastring(key));
    }
    lua.lua_setfield(L, -2, to_luastring('__index'));
    if (pairs !== undefined) {
      lua.lua_pushcclosure(L, this.#wrap('pairs', pairs), 0);
      lua.lua_setfield(L, -2, to_luastring('__pairs'));
    }
    // getmetatable() must not hand the methods out to be changed.
    lua.lua_pushboolean(L, false);
    lua.lua_setfield(L, -2, to_luastring('__metatable'));
    this.#metatable = lauxlib.luaL_ref(L, lua.LUA_REGISTRYINDEX);
  }

  /** Pushes `value` as an object that lives as long as `scope` stays as it is. */
  push(L: LuaState, value: T, scope: Scope): void {
    const userdata = lua.lua_newuserdata(L, 0);
    userdata.object = { kind: this, value, scope, epoch: scope.epoch };
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, this.#metatable);
    lua.lua_setmetatable(L, -2);
  }

  #wrap(name: string, method: Method<T>): LuaFunction {
    return (L) => {
      const userdata = lua.lua_touserdata(L, 1);
      const object = userdata?.object;
      if (object?.kind !== this)
        return raise(L, `calling '${name}' on bad self (${this.#name} expected): use ':' and not '.'`);
      if (object.epoch !== object.scope.epoch) return raise(L, 'object used outside of proper scope');
      try {
        return method(L, object.value as T);
      } catch (error) {
        // fengari's own errors are no Error objects and go on.
        if (error instanceof Error) return raise(L, error.message);
        throw error;
      }
    };
  }
}
