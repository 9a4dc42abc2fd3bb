/** One Lua state: the safe part of the standard library, and an instruction budget that no `pcall` gets around. */
import { type LuaFunction, type LuaState, lauxlib, lua, lualib, to_luastring } from 'fengari';
import type { Log } from '../../../src/abi/index.ts';
import type { ScriptLimits } from '../engine.ts';
import { raise, textOf } from './values.ts';

/** The hook looks at the budget once in so many instructions. */
const STEP = 500;
export const BUDGET_MESSAGE = 'instruction budget exceeded';

const LIBRARIES: readonly (readonly [string, LuaFunction])[] = [
  ['_G', lualib.luaopen_base],
  ['table', lualib.luaopen_table],
  ['string', lualib.luaopen_string],
  ['math', lualib.luaopen_math],
  ['utf8', lualib.luaopen_utf8],
  ['coroutine', lualib.luaopen_coroutine],
];
/** Globals that reach the file system, load bytecode, or reach past the sandbox. */
const REMOVED = ['dofile', 'loadfile', 'collectgarbage'];

export class Sandbox {
  readonly L: LuaState;
  readonly #budget: number;
  #left: number;
  /** The running hook has used its budget up: every `pcall` and `resume` passes the error on. */
  exhausted = false;

  constructor(limits: ScriptLimits, log: Log) {
    this.#budget = limits.instructions;
    this.#left = limits.instructions;
    const L = lauxlib.luaL_newstate();
    this.L = L;
    for (const [name, open] of LIBRARIES) {
      lauxlib.luaL_requiref(L, to_luastring(name), open, 1);
      lua.lua_pop(L, 1);
    }
    for (const name of REMOVED) {
      lua.lua_pushnil(L);
      lua.lua_setglobal(L, to_luastring(name));
    }
    this.#setGlobal('load', (state) => this.#load(state));
    this.#setGlobal('loadstring', (state) => this.#load(state));
    this.#setGlobal('print', (state) => print(state, log));
    this.#setGlobal('pcall', (state) => this.#pcall(state));
    this.#setGlobal('xpcall', (state) => this.#xpcall(state));
    this.#openOs();
    this.#guardCoroutines();
    this.#removeField('string', 'dump');
    lua.lua_getglobal(L, to_luastring('table'));
    lua.lua_getfield(L, -1, to_luastring('unpack'));
    lua.lua_setglobal(L, to_luastring('unpack'));
    lua.lua_pop(L, 1);
    lua.lua_sethook(L, (state) => this.#count(state), lua.LUA_MASKCOUNT, STEP);
  }

  /** A hook begins: it has the whole budget. */
  refill(): void {
    this.#left = this.#budget;
    this.exhausted = false;
  }

  #count(L: LuaState): void {
    this.#left -= STEP;
    if (this.#left > 0) return;
    this.exhausted = true;
    raise(L, BUDGET_MESSAGE);
  }

  #setGlobal(name: string, fn: LuaFunction): void {
    lua.lua_pushcclosure(this.L, fn, 0);
    lua.lua_setglobal(this.L, to_luastring(name));
  }

  #removeField(library: string, field: string): void {
    lua.lua_getglobal(this.L, to_luastring(library));
    lua.lua_pushnil(this.L);
    lua.lua_setfield(this.L, -2, to_luastring(field));
    lua.lua_pop(this.L, 1);
  }

  /** `load(text [, name])`: source text only. A function as the source, bytecode and other environments are refused. */
  #load(L: LuaState): number {
    const text = lauxlib.luaL_checklstring(L, 1);
    const name = lua.lua_type(L, 2) === lua.LUA_TSTRING ? (lua.lua_tolstring(L, 2) as Uint8Array) : text;
    if (lauxlib.luaL_loadbufferx(L, text, text.length, name, to_luastring('t')) === lua.LUA_OK) return 1;
    lua.lua_pushnil(L);
    lua.lua_insert(L, -2);
    return 2;
  }

  #pcall(L: LuaState): number {
    lauxlib.luaL_checkany(L, 1);
    lua.lua_pushboolean(L, true);
    lua.lua_insert(L, 1);
    const status = lua.lua_pcallk(L, lua.lua_gettop(L) - 2, lua.LUA_MULTRET, 0, 0, (state, code) =>
      this.#afterPcall(state, code, 0),
    );
    return this.#afterPcall(L, status, 0);
  }

  #xpcall(L: LuaState): number {
    const count = lua.lua_gettop(L);
    lauxlib.luaL_checktype(L, 2, lua.LUA_TFUNCTION);
    lua.lua_pushvalue(L, 2);
    lua.lua_pushcclosure(L, (state) => this.#handleMessage(state), 1);
    lua.lua_replace(L, 2);
    lua.lua_pushboolean(L, true);
    lua.lua_pushvalue(L, 1);
    // Below the call: function, handler; then true, function, arguments.
    for (let i = 3; i <= count; i++) lua.lua_pushvalue(L, i);
    const status = lua.lua_pcallk(L, Math.max(0, count - 2), lua.LUA_MULTRET, 2, count, (state, code) =>
      this.#afterPcall(state, code, count),
    );
    return this.#afterPcall(L, status, count);
  }

  /**
   * Calls a script's message handler (the upvalue), but not for a used-up budget: while a hook's error is handled, Lua runs no
   * hooks, and nothing would end the handler.
   */
  #handleMessage(L: LuaState): number {
    if (this.exhausted) return 1;
    lua.lua_pushvalue(L, lua.lua_upvalueindex(1));
    lua.lua_insert(L, 1);
    lua.lua_call(L, lua.lua_gettop(L) - 1, 1);
    return 1;
  }

  /** Results stand above the first `skipped` values; a used-up budget is an error that nobody may catch. */
  #afterPcall(L: LuaState, status: number, skipped: number): number {
    if (status === lua.LUA_OK || status === lua.LUA_YIELD) return lua.lua_gettop(L) - skipped;
    if (this.exhausted) return lua.lua_error(L);
    lua.lua_pushboolean(L, false);
    lua.lua_insert(L, -2);
    return 2;
  }

  /** `coroutine.resume` catches errors as `pcall` does. */
  #guardCoroutines(): void {
    const { L } = this;
    lua.lua_getglobal(L, to_luastring('coroutine'));
    lua.lua_getfield(L, -1, to_luastring('resume'));
    lua.lua_pushcclosure(
      L,
      (state) => {
        const count = lua.lua_gettop(state);
        lua.lua_pushvalue(state, lua.lua_upvalueindex(1));
        lua.lua_insert(state, 1);
        lua.lua_call(state, count, lua.LUA_MULTRET);
        return this.exhausted ? raise(state, BUDGET_MESSAGE) : lua.lua_gettop(state);
      },
      1,
    );
    lua.lua_setfield(L, -2, to_luastring('resume'));
    lua.lua_pop(L, 1);
  }

  /** Of `os`, what only tells the time. */
  #openOs(): void {
    const { L } = this;
    const functions: Readonly<Record<string, LuaFunction>> = {
      time: (state) => {
        lua.lua_pushinteger(state, Math.floor(Date.now() / 1000) | 0);
        return 1;
      },
      clock: (state) => {
        lua.lua_pushnumber(state, performance.now() / 1000);
        return 1;
      },
    };
    lua.lua_createtable(L, 0, 2);
    for (const [name, fn] of Object.entries(functions)) {
      lua.lua_pushcclosure(L, fn, 0);
      lua.lua_setfield(L, -2, to_luastring(name));
    }
    lua.lua_setglobal(L, to_luastring('os'));
  }
}

/** `print` writes to the log. */
function print(L: LuaState, log: Log): number {
  const parts: string[] = [];
  for (let i = 1; i <= lua.lua_gettop(L); i++) {
    parts.push(textOf(lauxlib.luaL_tolstring(L, i)));
    lua.lua_pop(L, 1);
  }
  log.info(`script log: ${parts.join('\t')}`);
  return 0;
}
