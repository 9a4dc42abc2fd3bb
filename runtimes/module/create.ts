/** Loads a module and calls its function. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  ABI_VERSION,
  FilterConfigError,
  type FilterHost,
  type FilterSpec,
  type SourcePosition,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { importFrom, type ModuleLoader } from './loader.ts';

/** What of an entry says which module it is, and its configuration. */
export type ModuleSpec = Pick<FilterSpec, 'use' | 'file' | 'directory' | 'config'>;

/** The factory of a filter. @throws FilterConfigError */
export function createFactory(loader: ModuleLoader, spec: ModuleSpec, host: FilterHost): Promise<StreamFilterFactory> {
  return createExport(loader, spec, host, 'createStreamFilterFactory', 'create', '(stream) => ({ ... })');
}

/**
 * What the exported function `name` makes.
 * @param method what its result must have.
 * @param sample that method, for the hint.
 * @throws FilterConfigError
 */
export async function createExport<T>(
  loader: ModuleLoader,
  spec: ModuleSpec,
  host: FilterHost,
  name: string,
  method: string,
  sample: string,
): Promise<T> {
  let loaded: Record<string, unknown>;
  try {
    loaded = await load(loader, spec, (file) => host.watch(file));
  } catch (error) {
    throw loadFailure(spec.use, error);
  }
  const { abiVersion = ABI_VERSION } = loaded;
  if (abiVersion !== ABI_VERSION) {
    throw new FilterConfigError(
      `${spec.use} was written for version ${abiVersion} of the ABI; this is version ${ABI_VERSION}`,
      {
        hint: 'its `abiVersion` says so: take the version of the module that goes with this Weir',
      },
    );
  }
  const exported = loaded[name];
  if (typeof exported !== 'function') {
    throw new FilterConfigError(`${spec.use} does not export a function ${name}`, {
      hint: `export function ${name}(config, host) { return { ${method}: ${sample} } }`,
    });
  }
  let made: T;
  try {
    made = await (exported as (config: FilterSpec['config'], host: FilterHost) => T | Promise<T>)(spec.config, host);
  } catch (error) {
    if (isFilterConfigError(error)) throw error;
    throw new FilterConfigError(`${name} failed: ${describe(error)}`, { position: positionOf(error), cause: error });
  }
  if (typeof (made as Record<string, unknown> | undefined)?.[method] !== 'function') {
    throw new FilterConfigError(`${name} of ${spec.use} returned nothing with a method \`${method}\``);
  }
  return made;
}

/** A file, or a package by its name as a file in the configuration's folder would import it. */
async function load(loader: ModuleLoader, { use, file, directory }: ModuleSpec, watch: (file: string) => void) {
  if (file !== undefined) return loader.load(file, watch);
  if (use === '') throw new FilterConfigError('a module needs a path or the name of a package in `use:`');
  const parent = pathToFileURL(join(directory, 'weir.yaml')).href;
  let entry: string;
  try {
    entry = createRequire(parent).resolve(use);
  } catch {
    // It has no entry for `require`, or there is no such package: Node says which.
    return importFrom(use, parent);
  }
  return loader.load(entry, watch);
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
export function positionOf(error: unknown): SourcePosition | undefined {
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
