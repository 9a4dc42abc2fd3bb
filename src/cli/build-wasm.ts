/** `weir build-wasm FILE.ts...` and `weir dev`: compile filters in AssemblyScript, once or whenever they are saved. */
import { existsSync, statSync, watchFile } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Config } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import { packageFile } from './quickstart.ts';

/** Milliseconds between two looks at a file. */
const WATCH_INTERVAL = 300;

export class BuildError extends Error {
  override readonly name = 'BuildError';
}

interface Compiler {
  main(args: readonly string[]): Promise<{ error: Error | null; stderr: { toString(): string } }>;
}

/**
 * Compiles a filter to the file beside it; returns its path. `import ... from "weir"` finds Weir's library.
 * @throws BuildError with the compiler's messages.
 */
export async function buildWasm(source: string): Promise<string> {
  if (!existsSync(source)) throw new BuildError(`there is no file ${source}`);
  const { main } = await compiler(source);
  const output = source.replace(/\.ts$/, '.wasm');
  if (output === source) throw new BuildError(`${source} is no .ts file`);
  const base = dirname(resolve(source));
  const { error, stderr } = await main([
    basename(source),
    '--baseDir',
    base,
    '--outFile',
    basename(output),
    // A file, since the compiler lists folders from --baseDir but reads what is in them from the working directory.
    '--lib',
    packageFile('wasm/assembly/weir.ts'),
    '-O2',
    '--runtime',
    'incremental',
    '--exportRuntime',
    '--noColors',
  ]);
  if (error !== null) throw new BuildError(`${source}: ${error.message}\n${stderr}`);
  return output;
}

/** The compiler is the user's, or the one of this checkout: Weir does not bring it along. */
async function compiler(source: string): Promise<Compiler> {
  for (const from of [resolve(source), import.meta.url]) {
    for (const folder of createRequire(from).resolve.paths('assemblyscript') ?? []) {
      const file = join(folder, 'assemblyscript/dist/asc.js');
      if (existsSync(file)) return (await import(pathToFileURL(file).href)) as Compiler;
    }
  }
  throw new BuildError('the AssemblyScript compiler is not installed: npm install --save-dev assemblyscript');
}

/** Compiles every `use: X.wasm` that has an `X.ts` beside it, now and whenever that is saved; a reload follows by itself. */
export async function compileOnSave(config: Config, directory: string, logger: Logger): Promise<void> {
  const sources = new Set<string>();
  for (const { filters } of config.listeners) {
    for (const { use } of filters) {
      if (use === undefined || !use.endsWith('.wasm')) continue;
      const source = join(resolve(directory, dirname(use)), `${basename(use, '.wasm')}.ts`);
      if (existsSync(source)) sources.add(source);
    }
  }
  const compile = async (source: string) => {
    try {
      const output = await buildWasm(source);
      logger.write('info', `compiled ${relative(process.cwd(), output)}: ${statSync(output).size} bytes`);
    } catch (error) {
      logger.write('error', `the module that runs stays: ${messageOf(error)}`);
    }
  };
  for (const source of sources) {
    await compile(source);
    watchFile(source, { interval: WATCH_INTERVAL, persistent: false }, () => void compile(source));
  }
}
