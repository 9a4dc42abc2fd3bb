/** The part of fengari that is used here. Source: the Lua 5.3 reference manual, sections 4 and 5. */
declare module 'fengari' {
  export type LuaString = Uint8Array;
  export interface LuaState {
    readonly __luaState: never;
  }
  /** The block that a userdata stands for: in JavaScript an object without prototype. */
  export interface Userdata {
    object?: unknown;
  }
  export type LuaFunction = (L: LuaState) => number;
  export function to_luastring(text: string): LuaString;
  export const lua: {
    LUA_OK: number;
    LUA_YIELD: number;
    LUA_MULTRET: number;
    LUA_MASKCOUNT: number;
    LUA_REGISTRYINDEX: number;
    LUA_TNONE: number;
    LUA_TNIL: number;
    LUA_TBOOLEAN: number;
    LUA_TNUMBER: number;
    LUA_TSTRING: number;
    LUA_TTABLE: number;
    LUA_TFUNCTION: number;
    lua_newthread(L: LuaState): LuaState;
    lua_resume(L: LuaState, from: LuaState | null, nargs: number): number;
    lua_yield(L: LuaState, nresults: number): number;
    lua_pcallk(
      L: LuaState,
      nargs: number,
      nresults: number,
      msgh: number,
      ctx: number,
      k: LuaContinuation | null,
    ): number;
    lua_call(L: LuaState, nargs: number, nresults: number): void;
    lua_pcall(L: LuaState, nargs: number, nresults: number, msgh: number): number;
    lua_error(L: LuaState): number;
    lua_sethook(L: LuaState, hook: ((L: LuaState) => void) | null, mask: number, count: number): void;
    lua_gettop(L: LuaState): number;
    lua_settop(L: LuaState, index: number): void;
    lua_pop(L: LuaState, n: number): void;
    lua_insert(L: LuaState, index: number): void;
    lua_replace(L: LuaState, index: number): void;
    lua_remove(L: LuaState, index: number): void;
    lua_pushvalue(L: LuaState, index: number): void;
    lua_pushnil(L: LuaState): void;
    lua_pushboolean(L: LuaState, value: boolean): void;
    lua_pushnumber(L: LuaState, value: number): void;
    lua_pushinteger(L: LuaState, value: number): void;
    lua_pushlstring(L: LuaState, text: LuaString, length: number): void;
    lua_pushcclosure(L: LuaState, fn: LuaFunction, upvalues: number): void;
    lua_upvalueindex(i: number): number;
    lua_createtable(L: LuaState, narr: number, nrec: number): void;
    lua_newuserdata(L: LuaState, size: number): Userdata;
    lua_touserdata(L: LuaState, index: number): Userdata | null;
    /** A function that pushes the value at `index` again. */
    lua_toproxy(L: LuaState, index: number): (L: LuaState) => void;
    lua_setmetatable(L: LuaState, index: number): void;
    lua_getmetatable(L: LuaState, index: number): number;
    lua_setfield(L: LuaState, index: number, key: LuaString): void;
    lua_getfield(L: LuaState, index: number, key: LuaString): number;
    lua_setglobal(L: LuaState, key: LuaString): void;
    lua_getglobal(L: LuaState, key: LuaString): number;
    lua_rawgeti(L: LuaState, index: number, n: number): number;
    lua_rawseti(L: LuaState, index: number, n: number): void;
    lua_rawset(L: LuaState, index: number): void;
    lua_rawlen(L: LuaState, index: number): number;
    lua_next(L: LuaState, index: number): number;
    lua_type(L: LuaState, index: number): number;
    lua_toboolean(L: LuaState, index: number): boolean;
    lua_tonumber(L: LuaState, index: number): number;
    lua_tointeger(L: LuaState, index: number): number;
    lua_tolstring(L: LuaState, index: number): LuaString | null;
    lua_isinteger(L: LuaState, index: number): boolean;
    lua_status(L: LuaState): number;
    lua_tothread(L: LuaState, index: number): LuaState | null;
    lua_xmove(from: LuaState, to: LuaState, n: number): void;
    lua_checkstack(L: LuaState, n: number): boolean;
  };
  export type LuaContinuation = (L: LuaState, status: number, ctx: number) => number;
  export const lauxlib: {
    luaL_newstate(): LuaState;
    luaL_requiref(L: LuaState, name: LuaString, open: LuaFunction, global: number): void;
    luaL_loadbufferx(L: LuaState, text: LuaString, size: number, name: LuaString, mode: LuaString): number;
    luaL_error(L: LuaState, format: LuaString, ...values: unknown[]): number;
    luaL_argerror(L: LuaState, arg: number, message: LuaString): number;
    luaL_checklstring(L: LuaState, arg: number): LuaString;
    luaL_checknumber(L: LuaState, arg: number): number;
    luaL_checkinteger(L: LuaState, arg: number): number;
    luaL_checktype(L: LuaState, arg: number, type: number): void;
    luaL_checkany(L: LuaState, arg: number): void;
    luaL_ref(L: LuaState, index: number): number;
    luaL_tolstring(L: LuaState, index: number): LuaString;
    luaL_traceback(L: LuaState, of: LuaState, message: LuaString | null, level: number): void;
  };
  export const lualib: {
    luaopen_base: LuaFunction;
    luaopen_table: LuaFunction;
    luaopen_string: LuaFunction;
    luaopen_math: LuaFunction;
    luaopen_utf8: LuaFunction;
    luaopen_coroutine: LuaFunction;
  };
}
