/** The runtime of dynamically loaded modules: a `.ts` or `.js` file that exports a function with the fixed name of its kind of extension. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import {
  type CertificateProvider,
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  type SourcePosition,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';

export function createModuleRuntime(): FilterRuntime {
  return {
    name: 'module',
    sniff: ({ path }) => /\.[mc]?[tj]s$/.test(path),
    load: (spec, host) =>
      create<StreamFilterFactory>(spec, host, 'createStreamFilterFactory', 'create', '(stream) => ({ ... })'),
    extensions: {
      certificateProvider: (spec, host) =>
        create<CertificateProvider>(
          spec,
          host,
          'createCertificateProvider',
          'provide',
          '(serverName, listener) => ({ chain, key })',
        ),
    },
  };
}

/**
 * Loads the module and calls its function.
 * @param method what its result must have.
 * @param sample that method, for the hint.
 */
async function create<T>(spec: FilterSpec, host: FilterHost, name: string, method: string, sample: string): Promise<T> {
  const { file } = spec;
  if (file === undefined) throw new FilterConfigError('a module needs the path of a file in `use:`');
  let loaded: Record<string, unknown>;
  try {
    // The version of a file is a part of its URL: a changed file is another module, an unchanged one is not loaded again.
    loaded = await import(`${pathToFileURL(file).href}?${digest(file)}`);
  } catch (error) {
    throw loadFailure(spec.use, error);
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
