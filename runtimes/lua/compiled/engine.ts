/** The default engine: scripts are compiled to JavaScript. One machine and one library serve every script of a data plane. */
import { setFlagsFromString } from 'node:v8';
import { type CompiledChunk, compileLua } from '../compiler/index.ts';
import { LuaSyntaxError } from '../compiler/parse.ts';
import { type ScriptEngine, ScriptFailure, type ScriptSource, type ScriptState } from '../engine.ts';
import { StandardLibrary } from '../lib/index.ts';
import { type Frame, LuaError, ScriptAbort } from '../vm/errors.ts';
import { errorText, isStackOverflow, type Vm } from '../vm/vm.ts';
import { CompiledState } from './state.ts';

/** Compiled sources that are kept for further entries with the same script. */
const MAX_CACHED = 256;

export class CompiledEngine implements ScriptEngine {
  readonly vm: Vm;
  readonly library: StandardLibrary;
  readonly #names: readonly string[];
  /** Scripts by source: a thousand routes with one script hold its code once. */
  readonly #cache = new Map<string, CompiledChunk>();

  constructor(vm: Vm) {
    this.vm = vm;
    // V8 would keep every source that was ever compiled, 2 to 3 KiB each (measured); scripts come and go.
    setFlagsFromString('--no-compilation-cache');
    this.library = new StandardLibrary(vm);
    this.#names = Object.keys(this.library.runtime);
  }

  load(source: ScriptSource): ScriptState {
    return new CompiledState(this, source);
  }

  /** @throws LuaSyntaxError */
  compile(text: string, name: string): CompiledChunk {
    const key = `${name.length} ${name}${text}`;
    let chunk = this.#cache.get(key);
    if (chunk === undefined) {
      chunk = compileLua(text, name, this.#names);
      this.vm.chunks.add(chunk.file, chunk);
    }
    this.#cache.delete(key);
    this.#cache.set(key, chunk);
    if (this.#cache.size > MAX_CACHED) this.#cache.delete(this.#cache.keys().next().value as string);
    return chunk;
  }

  /** What was thrown in a script, for Weir. */
  failure(error: unknown, name?: string): unknown {
    if (error instanceof LuaError || error instanceof ScriptAbort) {
      const budget = error instanceof ScriptAbort && error.reason === 'budget';
      return new ScriptFailure(errorText(error), { budget, ...positionOf(error.traceback) });
    }
    if (error instanceof LuaSyntaxError) {
      const place = name === undefined ? '' : `${name}:${error.line}: `;
      return new ScriptFailure(place + error.message, { line: error.line, column: error.column });
    }
    return isStackOverflow(error) ? new ScriptFailure('stack overflow') : error;
  }
}

function positionOf(frames: readonly Frame[]) {
  const trace = frames
    .filter((frame) => frame !== 'native')
    .map(({ site }, i) => ({ line: site.line, called: i === 0 ? undefined : site.names[0] }));
  return { line: trace[0]?.line, trace };
}
