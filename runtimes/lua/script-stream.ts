/** One hook of a script on one stream: a coroutine that stops where the script waits for a body, a chunk, trailers or a call. */
import { type LuaState, lua, to_luastring } from 'fengari';
import { ExtensionError, type HeaderMap, type SourcePosition, type Stream } from '../../src/abi/index.ts';
import type { Scope } from './objects.ts';
import type { LuaScript } from './script.ts';
import { textOf } from './values.ts';

/** What the coroutine waits for. */
export type Waits = 'nothing' | 'body' | 'chunk' | 'trailers' | 'call';

/** A body, or a piece of it, that a script may replace. */
export interface ScriptBuffer {
  bytes: Uint8Array;
  replaced: boolean;
}

export type Direction = 'request' | 'response';

export class ScriptStream implements Scope {
  readonly script: LuaScript;
  readonly stream: Stream;
  readonly direction: Direction;
  epoch = 0;
  waits: Waits = 'nothing';
  /** The call that it waits for; resolves to what pushes its results. */
  pending: Promise<(L: LuaState) => number> | undefined;
  headers!: HeaderMap;
  /** The headers can't be changed any more. */
  headersContinued = false;
  /** A loop over the headers runs. */
  iterating: HeaderMap | undefined;
  /** All of the body has come. */
  ended = false;
  /** Body pieces have gone past the script. */
  bodyPassed = false;
  body: ScriptBuffer | undefined;
  responded = false;
  readonly #co: LuaState;
  #finished = true;

  constructor(script: LuaScript, stream: Stream, direction: Direction) {
    this.script = script;
    this.stream = stream;
    this.direction = direction;
    this.#co = script.takeCoroutine();
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Whether `L` is the coroutine that the hook runs in, and not one that the script made. */
  isMain(L: LuaState): boolean {
    return L === this.#co;
  }

  /** Starts the hook function that `reference` names. @throws ExtensionError */
  start(reference: number): void {
    this.#finished = false;
    lua.lua_rawgeti(this.#co, lua.LUA_REGISTRYINDEX, reference);
    this.script.kinds.handle.push(this.#co, this, HANDLE_SCOPE);
    this.#resume(1);
  }

  /** Goes on with what it waited for; `push` pushes the results. @throws ExtensionError */
  resume(push: (L: LuaState) => number): void {
    if (this.#finished) return;
    this.waits = 'nothing';
    this.#resume(push(this.#co));
  }

  /** The script waits: everything it got from the handle dies. */
  wait(L: LuaState, waits: Waits): number {
    if (!this.isMain(L)) throw new Error('a coroutine of the script itself cannot wait for the stream');
    this.waits = waits;
    this.epoch++;
    this.iterating = undefined;
    return lua.lua_yield(L, 0);
  }

  #resume(count: number): void {
    const { script } = this;
    script.sandbox.refill();
    const status = lua.lua_resume(this.#co, null, count);
    if (status === lua.LUA_YIELD) {
      if (this.responded) this.#finish();
      else if (this.waits === 'nothing') this.#fail('script performed an unexpected yield');
      return;
    }
    this.#finish();
    if (status === lua.LUA_OK) {
      script.returnCoroutine(this.#co);
      return;
    }
    const isText = lua.lua_type(this.#co, -1) === lua.LUA_TSTRING;
    this.#fail(isText ? textOf(lua.lua_tolstring(this.#co, -1) as Uint8Array) : 'unspecified lua error');
  }

  #finish(): void {
    this.#finished = true;
    this.waits = 'nothing';
    this.epoch++;
  }

  #fail(message: string): never {
    this.#finish();
    this.stream.log.error(`script log: ${message}`);
    const { exhausted } = this.script.sandbox;
    throw new ExtensionError(exhausted ? 'budget' : 'threw', message, { position: this.script.positionOf(message) });
  }
}

/** The handle itself lives as long as its hook. */
const HANDLE_SCOPE: Scope = { epoch: 0 };

/** Where a message of Lua (`[string "..."]:3: text`) points to. */
export function positionIn(message: string, file: string, source: string): SourcePosition | undefined {
  const match = /^\[string "[^\n]*?"\]:([0-9]+):/.exec(message);
  if (match === null) return undefined;
  const line = Number(match[1]);
  const text = source.split('\n')[line - 1];
  return { file, line, frame: text === undefined ? undefined : `  ${line} | ${text}` };
}

/** The name of a chunk is its text, as in Envoy. */
export function chunkName(source: Uint8Array): Uint8Array {
  return source.length > 0 ? source : to_luastring('?');
}
