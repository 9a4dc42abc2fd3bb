/** The runtime of dynamically loaded modules: a `.ts` or `.js` file that exports `createStreamFilterFactory`. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import {
  type CreateStreamFilterFactory,
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  type SourcePosition,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';

const EXPORT = 'createStreamFilterFactory';

export function createModuleRuntime(): FilterRuntime {
  return {
    name: 'module',
    sniff: ({ path }) => /\.[mc]?[tj]s$/.test(path),
    load,
  };
}

async function load(spec: FilterSpec, host: FilterHost): Promise<StreamFilterFactory> {
  const { file } = spec;
  if (file === undefined) throw new FilterConfigError('a module needs the path of a file in `use:`');
  let loaded: Record<string, unknown>;
  try {
    // The version of a file is a part of its URL: a changed file is another module, an unchanged one is not loaded again.
    loaded = await import(`${pathToFileURL(file).href}?${digest(file)}`);
  } catch (error) {
    throw loadFailure(spec.use, error);
  }
  const create = loaded[EXPORT];
  if (typeof create !== 'function') {
    throw new FilterConfigError(`${spec.use} does not export a function ${EXPORT}`, {
      hint: `export function ${EXPORT}(config, host) { return { create: (stream) => ({ ... }) } }`,
    });
  }
  let factory: StreamFilterFactory;
  try {
    factory = await (create as CreateStreamFilterFactory)(spec.config, host);
  } catch (error) {
    if (isFilterConfigError(error)) throw error;
    throw new FilterConfigError(`${EXPORT} failed: ${describe(error)}`, { position: positionOf(error), cause: error });
  }
  if (typeof factory?.create !== 'function') {
    throw new FilterConfigError(`${EXPORT} of ${spec.use} returned no factory: it has no method \`create\``);
  }
  return factory;
}

function digest(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('base64url').slice(0, 16);
}

/** The module may have another copy of the class: its name counts. */
function isFilterConfigError(error: unknown): error is FilterConfigError {
  return (
    error instanceof FilterConfigError ||
    (error instanceof Error && error.name === 'FilterConfigError' && 'path' in error)
  );
}

function loadFailure(use: string, error: unknown): FilterConfigError {
  return new FilterConfigError(`can't load ${use}: ${describe(error)}`, { position: positionOf(error), cause: error });
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message.split('\n')[0]}` : String(error);
}

/** Where an error comes from; a syntax error's stack begins with `file:line`. */
function positionOf(error: unknown): SourcePosition | undefined {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const match = /(?:file:\/\/)(\/[^\s:?]+)(?:\?[^\s:]*)?:([0-9]+)(?::([0-9]+))?/.exec(stack);
  if (match === null) return undefined;
  const [, file = '', line, column] = match;
  return {
    file,
    line: Number(line),
    column: column === undefined ? undefined : Number(column),
    frame: frameOf(file, Number(line)),
  };
}

function frameOf(file: string, line: number): string | undefined {
  try {
    return `  ${line} | ${readFileSync(file, 'utf8').split('\n')[line - 1] ?? ''}`;
  } catch {
    return undefined;
  }
}
