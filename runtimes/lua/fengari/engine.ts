/** The engine for scripts that ask for Lua 5.3: fengari, an interpreter. */
import { type LuaState, lauxlib, lua, to_luastring } from 'fengari';
import { RESOLUTIONS } from '../api/handle.ts';
import { jsonToLua } from '../api/json.ts';
import type { HostFunction, Wait } from '../api/kind.ts';
import {
  type Activation,
  type Hook,
  type ScriptEngine,
  ScriptFailure,
  type ScriptSource,
  type ScriptState,
} from '../engine.ts';
import { tableOf } from '../lib/library.ts';
import type { HostObject, Results } from '../vm/values.ts';
import { FengariObjects } from './objects.ts';
import { Sandbox } from './sandbox.ts';
import { bytesOf, raise, textOf } from './values.ts';

/** What `require` gives without a file. */
const LIBRARIES = ['_G', 'string', 'table', 'math', 'utf8', 'coroutine', 'os'];
/** Coroutines that wait to be used again. */
const MAX_SPARE = 256;

export class FengariEngine implements ScriptEngine {
  load(source: ScriptSource): ScriptState {
    return new FengariState(source);
  }
}

class FengariState implements ScriptState {
  readonly sandbox: Sandbox;
  readonly objects: FengariObjects;
  /** What the running hook waits for. */
  wait: Wait | undefined;
  /** The coroutine that the running hook is in. */
  main: LuaState | undefined;
  readonly #spare: LuaState[] = [];

  constructor(source: ScriptSource) {
    this.sandbox = new Sandbox(source.limits, source.log);
    const { L } = this.sandbox;
    this.objects = new FengariObjects(L, (state, wait) => this.#onWait(state, wait));
    this.objects.push(L, tableOf(new Map(Object.entries(RESOLUTIONS))));
    lua.lua_setglobal(L, to_luastring('EnvoyTimestampResolution'));
    this.objects.push(L, tableOf(new Map([['config', jsonToLua(source.library.config)]])));
    const { functions, tables } = source.library;
    this.#addFunctions(functions);
    for (const [name, members] of tables) {
      lua.lua_createtable(L, 0, members.size);
      this.#addFunctions(members);
      lua.lua_setfield(L, -2, to_luastring(name));
    }
    lua.lua_setglobal(L, to_luastring('weir'));
    this.#addRequire(source);
    this.sandbox.refill();
    const text = bytesOf(source.text);
    // The name of a chunk is its text, as in Envoy.
    const name = text.length > 0 ? text : to_luastring('?');
    let status = lauxlib.luaL_loadbufferx(L, text, text.length, name, to_luastring('t'));
    if (status === lua.LUA_OK) status = lua.lua_pcall(L, 0, 0, 0);
    if (status !== lua.LUA_OK) throw this.failure(L);
  }

  hook(name: string): Hook | undefined {
    const { L } = this.sandbox;
    if (lua.lua_getglobal(L, to_luastring(name)) !== lua.LUA_TFUNCTION) {
      lua.lua_pop(L, 1);
      return undefined;
    }
    const reference = lauxlib.luaL_ref(L, lua.LUA_REGISTRYINDEX);
    return { begin: () => new FengariActivation(this, reference) };
  }

  close(): void {
    this.#spare.length = 0;
  }

  /** A coroutine to run a hook in. Coroutines are kept by JavaScript alone; Lua's stack must not hold them. */
  takeCoroutine(): LuaState {
    const spare = this.#spare.pop();
    if (spare !== undefined) return spare;
    const { L } = this.sandbox;
    const co = lua.lua_newthread(L);
    lua.lua_pop(L, 1);
    return co;
  }

  /** A coroutine whose hook has returned. */
  returnCoroutine(co: LuaState): void {
    lua.lua_settop(co, 0);
    if (this.#spare.length < MAX_SPARE) this.#spare.push(co);
  }

  /** What stands on the stack, as an error. */
  failure(L: LuaState): ScriptFailure {
    const type = lua.lua_type(L, -1);
    const isText = type === lua.LUA_TSTRING || type === lua.LUA_TNUMBER;
    const message = isText ? textOf(lua.lua_tolstring(L, -1) as Uint8Array) : 'unspecified lua error';
    const line = /^\[string "[^\n]*?"\]:([0-9]+):/.exec(message)?.[1];
    return new ScriptFailure(message, {
      budget: this.sandbox.exhausted,
      line: line === undefined ? undefined : Number(line),
    });
  }

  /** Into the table on top of the stack. */
  #addFunctions(members: ReadonlyMap<string, HostFunction>): void {
    const { L } = this.sandbox;
    for (const [name, { call }] of members) {
      this.objects.pushFunction(L, call);
      lua.lua_setfield(L, -2, to_luastring(name));
    }
  }

  #onWait(L: LuaState, wait: Wait): number {
    if (L !== this.main) return raise(L, 'a coroutine of the script itself cannot wait for the stream');
    this.wait = wait;
    return lua.lua_yield(L, 0);
  }

  /** `require` of modules from the listed folders. */
  #addRequire(source: ScriptSource): void {
    const { L } = this.sandbox;
    lua.lua_createtable(L, 0, 4);
    const loaded = lauxlib.luaL_ref(L, lua.LUA_REGISTRYINDEX);
    const require = (state: LuaState): number => {
      const name = lauxlib.luaL_checklstring(state, 1);
      lua.lua_settop(state, 1);
      lua.lua_rawgeti(state, lua.LUA_REGISTRYINDEX, loaded);
      if (lua.lua_getfield(state, 2, name) !== lua.LUA_TNIL) return 1;
      lua.lua_pop(state, 1);
      if (LIBRARIES.includes(textOf(name))) return lua.lua_getglobal(state, name) === lua.LUA_TNIL ? 0 : 1;
      const module = source.findModule(textOf(name));
      if (module === undefined) {
        return raise(state, `module '${textOf(name)}' not found: list its folder in the filter's \`modules:\``);
      }
      const text = bytesOf(module.text);
      if (
        lauxlib.luaL_loadbufferx(state, text, text.length, to_luastring(`@${module.file}`), to_luastring('t')) !==
        lua.LUA_OK
      ) {
        return raise(
          state,
          `error loading module '${textOf(name)}': ${textOf(lua.lua_tolstring(state, -1) as Uint8Array)}`,
        );
      }
      lua.lua_pushvalue(state, 1);
      lua.lua_call(state, 1, 1);
      if (lua.lua_type(state, -1) === lua.LUA_TNIL) {
        lua.lua_pop(state, 1);
        lua.lua_pushboolean(state, true);
      }
      lua.lua_pushvalue(state, -1);
      lua.lua_setfield(state, 2, name);
      return 1;
    };
    lua.lua_pushcclosure(L, require, 0);
    lua.lua_setglobal(L, to_luastring('require'));
  }
}

class FengariActivation implements Activation {
  readonly #state: FengariState;
  readonly #reference: number;
  readonly #co: LuaState;

  constructor(state: FengariState, reference: number) {
    this.#state = state;
    this.#reference = reference;
    this.#co = state.takeCoroutine();
  }

  start(handle: HostObject): Wait | undefined {
    lua.lua_rawgeti(this.#co, lua.LUA_REGISTRYINDEX, this.#reference);
    this.#state.objects.push(this.#co, handle);
    return this.#resume(1);
  }

  resume(results: Results): Wait | undefined {
    return this.#resume(this.#state.objects.pushResults(this.#co, results));
  }

  #resume(count: number): Wait | undefined {
    const state = this.#state;
    state.sandbox.refill();
    state.wait = undefined;
    state.main = this.#co;
    const status = lua.lua_resume(this.#co, null, count);
    state.main = undefined;
    if (status === lua.LUA_YIELD) {
      if (state.wait === undefined) throw new ScriptFailure('script performed an unexpected yield');
      return state.wait;
    }
    if (status !== lua.LUA_OK) throw state.failure(this.#co);
    state.returnCoroutine(this.#co);
    return undefined;
  }
}
