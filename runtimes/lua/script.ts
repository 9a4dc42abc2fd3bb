/** A loaded script: its Lua state, its two hooks, and coroutines to run them in. */
import { type LuaState, lauxlib, lua, to_luastring } from 'fengari';
import { FilterConfigError, type FilterHost, type FilterSpec, type SourcePosition } from '../../src/abi/index.ts';
import { createKinds, type Kinds } from './api.ts';
import { Sandbox } from './sandbox.ts';
import { chunkName, positionIn } from './script-stream.ts';
import { pushJson, textOf } from './values.ts';

/** Coroutines that wait to be used again. */
const MAX_SPARE = 256;

export class LuaScript {
  readonly name: string;
  readonly sandbox: Sandbox;
  readonly kinds: Kinds;
  /** Registry places of `envoy_on_request` and `envoy_on_response`; `undefined` where the script has none. */
  readonly onRequest: number | undefined;
  readonly onResponse: number | undefined;
  readonly #file: string;
  readonly #source: string;
  readonly #spare: LuaState[] = [];
  /** Coroutines are kept by JavaScript alone; Lua's stack must not hold them. */
  readonly #L: LuaState;

  /** @throws FilterConfigError when the script does not compile, or fails while it is loaded. */
  constructor(spec: FilterSpec, source: Uint8Array, host: FilterHost) {
    this.name = spec.name;
    this.#file = spec.file ?? spec.name;
    this.#source = new TextDecoder().decode(source);
    this.sandbox = new Sandbox(spec.limits, host.log);
    const { L } = this.sandbox;
    this.#L = L;
    this.kinds = createKinds(L);
    lua.lua_createtable(L, 0, 1);
    pushJson(L, spec.config);
    lua.lua_setfield(L, -2, to_luastring('config'));
    lua.lua_setglobal(L, to_luastring('weir'));
    this.#run(source);
    this.onRequest = this.#hook('envoy_on_request');
    this.onResponse = this.#hook('envoy_on_response');
    if (this.onRequest === undefined && this.onResponse === undefined) {
      host.log.warn('the script has neither envoy_on_request() nor envoy_on_response(): it does nothing');
    }
  }

  /** A coroutine to run a hook in. */
  takeCoroutine(): LuaState {
    const spare = this.#spare.pop();
    if (spare !== undefined) return spare;
    const co = lua.lua_newthread(this.#L);
    lua.lua_pop(this.#L, 1);
    return co;
  }

  /** A coroutine whose hook has returned. */
  returnCoroutine(co: LuaState): void {
    lua.lua_settop(co, 0);
    if (this.#spare.length < MAX_SPARE) this.#spare.push(co);
  }

  positionOf(message: string): SourcePosition | undefined {
    return positionIn(message, this.#file, this.#source);
  }

  #run(source: Uint8Array): void {
    const L = this.#L;
    this.sandbox.refill();
    let status = lauxlib.luaL_loadbufferx(L, source, source.length, chunkName(source), to_luastring('t'));
    if (status === lua.LUA_OK) status = lua.lua_pcall(L, 0, 0, 0);
    if (status === lua.LUA_OK) return;
    const text =
      lua.lua_type(L, -1) === lua.LUA_TSTRING
        ? textOf(lua.lua_tolstring(L, -1) as Uint8Array)
        : 'unspecified lua error';
    throw new FilterConfigError(`script load error: ${text}`, { position: this.positionOf(text) });
  }

  #hook(name: string): number | undefined {
    const L = this.#L;
    const isFunction = lua.lua_getglobal(L, to_luastring(name)) === lua.LUA_TFUNCTION;
    if (isFunction) return lauxlib.luaL_ref(L, lua.LUA_REGISTRYINDEX);
    lua.lua_pop(L, 1);
    return undefined;
  }
}
