/** Lua source to a JavaScript function: parse, resolve, generate, compile. */
import { url as inspectorUrl } from 'node:inspector';
import { compileFunction } from 'node:vm';
import type { Chunk } from 'luaparse';
import { CHUNK_PREFIX, chunkId } from '../vm/errors.ts';
import type { ChunkInfo, Environment, LuaFunction } from '../vm/values.ts';
import { Emitter, sitesByLine } from './emitter.ts';
import { UnknownOperator } from './expressions.ts';
import { LuaSyntaxError, parseLua } from './parse.ts';
import { resolve } from './scope.ts';
import { sourceMapComment } from './source-map.ts';
import { Statements } from './statements.ts';

/** A compiled source; `load` makes its main function for one environment. */
export class CompiledChunk implements ChunkInfo {
  readonly name: string;
  readonly sites: ChunkInfo['sites'];
  /** The name of its generated code. */
  readonly file: string;
  readonly #factory: (runtime: object, chunk: ChunkInfo) => (environment: Environment) => LuaFunction;

  constructor(
    name: string,
    sites: ChunkInfo['sites'],
    file: string,
    factory: (runtime: object, chunk: ChunkInfo) => (environment: Environment) => LuaFunction,
  ) {
    this.name = name;
    this.sites = sites;
    this.file = file;
    this.#factory = factory;
  }

  load(runtime: object, environment: Environment): LuaFunction {
    return this.#factory(runtime, this)(environment);
  }
}

let count = 0;

/**
 * @param source one character per byte.
 * @param name as `loadstring` takes it; the source itself by default.
 * @param names of what the generated code may use of the runtime.
 * @param debugged a debugger is to show the script: its text goes along as a source map.
 * @throws LuaSyntaxError
 */
export function compileLua(
  source: string,
  name: string,
  names: readonly string[],
  debugged = isDebugged(),
): CompiledChunk {
  const chunk = parseLua(source);
  const { text, sites } = guard(() => generate(chunk, names));
  const lines = sitesByLine(text, sites);
  count++;
  const file = `${CHUNK_PREFIX}${count}`;
  const map = debugged ? sourceMapComment(`${file}.lua`, Buffer.from(source, 'latin1').toString('utf8'), lines) : '';
  const factory = guard(() => compileFunction(text + map, ['R', 'C'], { filename: file }));
  return new CompiledChunk(chunkId(name), lines, file, factory as never);
}

/** Node was started with `--inspect`, or a debugger was opened since. */
function isDebugged(): boolean {
  return inspectorUrl() !== undefined;
}

function generate(chunk: Chunk, names: readonly string[]) {
  const scopes = resolve(chunk);
  const out = new Emitter();
  const main = new Statements(out, scopes).functionValue(chunk, 'main');
  const keys = out.keys.map((list, i) => `const K${i}=${list};`).join('');
  return { text: `"use strict";const {${names.join(',')}}=R;${keys}return E=>${main}`, sites: out.sites };
}

function guard<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UnknownOperator) throw new LuaSyntaxError(error.message, error.line);
    if (error instanceof RangeError) throw new LuaSyntaxError('chunk has too many syntax levels', 1);
    throw error;
  }
}
