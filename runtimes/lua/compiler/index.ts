/** Lua source to a JavaScript function: parse, resolve, generate, compile. */
import { compileFunction } from 'node:vm';
import type { Chunk } from 'luaparse';
import { CHUNK_PREFIX, chunkId } from '../vm/errors.ts';
import type { ChunkInfo, Environment, LuaFunction } from '../vm/values.ts';
import { Emitter, sitesByLine } from './emitter.ts';
import { UnknownOperator } from './expressions.ts';
import { LuaSyntaxError, parseLua } from './parse.ts';
import { resolve } from './scope.ts';
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
 * @throws LuaSyntaxError
 */
export function compileLua(source: string, name: string, names: readonly string[]): CompiledChunk {
  const chunk = parseLua(source);
  const code = guard(() => generate(chunk, names));
  count++;
  const file = `${CHUNK_PREFIX}${count}`;
  const factory = guard(() => compileFunction(code.text, ['R', 'C'], { filename: file }));
  return new CompiledChunk(chunkId(name), sitesByLine(code.text, code.sites), file, factory as never);
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
