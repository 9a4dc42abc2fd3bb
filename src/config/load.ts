/** From files (or an object) to a validated configuration: parse, include, validate, check references. */
import { globSync, readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import type { z } from 'zod';
import { messageOf } from '../errors.ts';
import { checkReferences } from './check.ts';
import { type ConfigPath, ConfigurationError, type Diagnostic, nearest } from './diagnostics.ts';
import { convertMosn, isMosn } from './mosn/index.ts';
import { type Config, configJsonSchema, configSchema } from './schema.ts';
import { ConfigSource } from './source.ts';

/** Where the values of a configuration stand. */
export interface ConfigOrigin {
  /** Every file that was read. */
  readonly files: readonly string[];
  /** The directory that relative paths of that listener or cluster start from. */
  directoryOf(kind: 'listeners' | 'clusters', index: number): string;
  /** `key` points at that key of the mapping at `path` instead of at the value. */
  diagnose(path: ConfigPath, message: string, hint?: string, key?: string): Diagnostic;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly origin: ConfigOrigin;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Loads a file and what it includes.
 * @throws ConfigurationError with every fault that was found.
 */
export function loadConfigFile(file: string, environment: Environment = process.env): LoadedConfig {
  const path = resolve(file);
  return loadConfigText(path, readSource(path, path), environment);
}

/** Loads a text; relative paths start from the directory of `file`, or from the working directory when it is `-`. */
export function loadConfigText(file: string, text: string, environment: Environment = process.env): LoadedConfig {
  const origin = new FileOrigin(new ConfigSource(file, text, environment));
  const value = origin.root.toJS();
  if (isMosn(value)) return loadMosn(value, origin);
  if (isRecord(value)) include(value, origin, environment);
  return validate(value, origin);
}

/** @throws ConfigurationError with every key that has no counterpart. */
function loadMosn(value: unknown, { root, files }: FileOrigin): LoadedConfig {
  const mosn = convertMosn(value, root.directory, (path, message, hint, key) =>
    root.diagnose(path, message, hint, key),
  );
  if (mosn.faults.length > 0) throw new ConfigurationError([...mosn.faults]);
  return validate(mosn.value, {
    files,
    directoryOf: () => root.directory,
    // A key of Weir's is not there to be shown.
    diagnose: (path, message, hint) => root.diagnose(mosn.origin(path), message, hint),
  });
}

/** Validates an object that a program gives; relative paths start from `directory`. */
export function loadConfigObject(value: unknown, directory = process.cwd()): LoadedConfig {
  return validate(value, {
    files: [],
    directoryOf: () => directory,
    diagnose: (path, message, hint) => ({ message: `${path.join('.') || 'configuration'}: ${message}`, hint }),
  });
}

/** Listeners and clusters of included files are appended, so each keeps its file and its own index there. */
class FileOrigin implements ConfigOrigin {
  readonly root: ConfigSource;
  readonly #sources: ConfigSource[];
  readonly #added: Record<'listeners' | 'clusters', { source: ConfigSource; index: number; at: number }[]> = {
    listeners: [],
    clusters: [],
  };

  constructor(root: ConfigSource) {
    this.root = root;
    this.#sources = [root];
  }

  get files(): string[] {
    return this.#sources.map((source) => source.file).filter((file) => file !== '-');
  }

  add(source: ConfigSource, key: 'listeners' | 'clusters', index: number, at: number): void {
    if (!this.#sources.includes(source)) this.#sources.push(source);
    this.#added[key].push({ source, index, at });
  }

  directoryOf(kind: 'listeners' | 'clusters', index: number): string {
    return (this.#added[kind].find((added) => added.at === index)?.source ?? this.root).directory;
  }

  diagnose(path: ConfigPath, message: string, hint?: string, key?: string): Diagnostic {
    const [first, at, ...rest] = path;
    if (first === 'listeners' || first === 'clusters') {
      const added = this.#added[first].find((entry) => entry.at === at);
      if (added !== undefined) return added.source.diagnose([first, added.index, ...rest], message, hint, key);
    }
    return this.root.diagnose(path, message, hint, key);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readSource(path: string, asked: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigurationError([{ file: asked, message: `can't read the configuration: ${messageOf(error)}` }]);
  }
}

function include(value: Record<string, unknown>, origin: FileOrigin, environment: Environment): void {
  if (!Array.isArray(value.include)) return;
  for (const [i, pattern] of value.include.entries()) {
    if (typeof pattern !== 'string') continue;
    const absolute = isAbsolute(pattern) ? pattern : resolve(origin.root.directory, pattern);
    const files = /[*?[{]/.test(pattern) ? globSync(absolute).sort() : [absolute];
    for (const file of files) {
      let text: string;
      try {
        text = readFileSync(file, 'utf8');
      } catch (error) {
        throw new ConfigurationError([
          origin.root.diagnose(['include', i], `can't read the included file: ${messageOf(error)}`),
        ]);
      }
      const source = new ConfigSource(file, text, environment);
      append(value, source, origin);
    }
  }
}

function append(target: Record<string, unknown>, source: ConfigSource, origin: FileOrigin): void {
  const value = source.toJS();
  const wrong = isRecord(value) ? Object.keys(value).find((key) => key !== 'listeners' && key !== 'clusters') : '';
  if (!isRecord(value) || wrong !== undefined) {
    throw new ConfigurationError([
      source.diagnose([], 'an included file holds `listeners:` and `clusters:` and nothing else', undefined, wrong),
    ]);
  }
  for (const key of ['listeners', 'clusters'] as const) {
    const items = value[key];
    if (items === undefined) continue;
    if (!Array.isArray(items)) throw new ConfigurationError([source.diagnose([key], `\`${key}:\` must be a list`)]);
    const list = Array.isArray(target[key]) ? target[key] : [];
    target[key] = list;
    for (const [index, item] of items.entries()) origin.add(source, key, index, list.push(item) - 1);
  }
}

function validate(value: unknown, origin: ConfigOrigin): LoadedConfig {
  const result = configSchema.safeParse(value);
  if (!result.success) throw new ConfigurationError(diagnostics(result.error.issues, [], origin));
  const faults = checkReferences(result.data, origin);
  if (faults.length > 0) throw new ConfigurationError(faults);
  return { config: result.data, origin };
}

type Issue = z.core.$ZodIssue;

function diagnostics(issues: readonly Issue[], base: ConfigPath, origin: ConfigOrigin): Diagnostic[] {
  const suggested = new Set<string>();
  const found: Diagnostic[] = [];
  for (const issue of issues) {
    if (issue.code !== 'unrecognized_keys') continue;
    const path = [...base, ...(issue.path as (string | number)[])];
    const known = knownKeys(path);
    for (const key of issue.keys) {
      const near = nearest(key, known);
      if (near !== undefined) suggested.add([...path, near].join('\0'));
      const hint = near === undefined ? `known keys: ${known.join(', ')}` : `did you mean \`${near}\`?`;
      found.push(origin.diagnose(path, `unknown key \`${key}\``, hint, key));
    }
  }
  for (const issue of issues) {
    const path = [...base, ...(issue.path as (string | number)[])];
    if (issue.code === 'unrecognized_keys') continue;
    // A required key that is missing because it is misspelt was reported above.
    if (issue.code === 'invalid_type' && suggested.has(path.join('\0'))) continue;
    if (issue.code === 'invalid_union') found.push(...diagnostics(closestBranch(issue.errors), path, origin));
    else found.push(origin.diagnose(path, plainMessage(issue, path)));
  }
  return found;
}

/** Of a union's alternatives, the one whose type fits: its faults are the ones that help. */
function closestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] {
  const fitting = branches.find(
    (issues) => !issues.some((issue) => issue.code === 'invalid_type' && issue.path.length === 0),
  );
  return fitting ?? branches.at(-1) ?? [];
}

function plainMessage(issue: Issue, path: ConfigPath): string {
  const message = issue.message.replace(/^Invalid input: /, '');
  if (issue.code === 'invalid_type' && message.endsWith('received undefined')) {
    return `\`${path.at(-1)}\` is missing (${message.replace(', received undefined', '')})`;
  }
  return issue.code === 'custom' ? issue.message : `\`${path.at(-1) ?? 'configuration'}\`: ${message}`;
}

interface SchemaNode {
  properties?: Record<string, SchemaNode>;
  items?: SchemaNode;
  additionalProperties?: SchemaNode | boolean;
  anyOf?: SchemaNode[];
}

/** The keys that the mapping at `path` may have. */
function knownKeys(path: ConfigPath): string[] {
  let nodes: SchemaNode[] = [configJsonSchema() as SchemaNode];
  const widened = () => nodes.flatMap((node) => node.anyOf ?? [node]);
  for (const part of path) {
    nodes = widened().flatMap((node) => {
      const next = typeof part === 'number' ? node.items : (node.properties?.[part] ?? node.additionalProperties);
      return typeof next === 'object' ? [next] : [];
    });
  }
  return widened().flatMap((node) => Object.keys(node.properties ?? {}));
}
