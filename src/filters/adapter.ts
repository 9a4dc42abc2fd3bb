/** The filter adapter: a config entry names what to run, the adapter finds which runtime runs it. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type Extensions,
  FilterConfigError,
  type FilterRuntime,
  type FilterSpec,
  type Json,
  type StreamFilterFactory,
} from '../abi/index.ts';
import { filterName } from '../config/check.ts';
import { nearest } from '../config/diagnostics.ts';
import { EXTENSION_KEYS, type ExtensionConfig, FILTER_KEYS, type FilterConfig } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import type { EntryHost } from './filter-host.ts';
import { FilterLoadError } from './load-error.ts';

export interface LoadedFilter {
  factory: StreamFilterFactory;
  /** The runtime's name. */
  runtime: string;
}

/** The key of an entry that a failure is about, when it is not `config`. */
type Blamed = 'use' | 'runtime' | 'source';

const NO_LIMITS = { instructions: undefined, memory: undefined, time: 5000 };

export class FilterAdapter {
  readonly #runtimes: readonly FilterRuntime[];
  readonly #named = new Map<string, Promise<FilterRuntime>>();
  readonly #blamed = new WeakMap<object, Blamed>();

  /** @param runtimes asked in this order whether they run a file. */
  constructor(runtimes: readonly FilterRuntime[]) {
    this.#runtimes = runtimes;
  }

  /** The names of the runtimes that are there. */
  get names(): string[] {
    return this.#runtimes.map((runtime) => runtime.name);
  }

  /**
   * Makes the factory of an entry.
   * @param directory what relative paths start from.
   * @throws FilterConfigError
   */
  async load(config: FilterConfig, directory: string, host: EntryHost): Promise<LoadedFilter> {
    const { runtime, spec } = await this.#find(config, FILTER_KEYS, directory, host);
    return { factory: await runtime.load(spec, host), runtime: runtime.name };
  }

  /**
   * Makes an extension of another kind.
   * @param what the kind as an error message names it.
   * @param path of the entry below its listener.
   * @throws FilterLoadError
   */
  async loadExtension<K extends keyof Extensions>(
    kind: K,
    what: string,
    config: ExtensionConfig,
    directory: string,
    host: EntryHost,
    path: readonly (string | number)[],
  ): Promise<Extensions[K]> {
    try {
      const { runtime, spec } = await this.#find(config, EXTENSION_KEYS, directory, host);
      const create = runtime.extensions?.[kind];
      if (create === undefined) throw this.#blame('use', `the runtime \`${runtime.name}\` has no ${what}`);
      return (await create(spec, host)) as Extensions[K];
    } catch (error) {
      const detail =
        error instanceof FilterConfigError ? error : new FilterConfigError(messageOf(error), { cause: error });
      if (detail.option !== undefined) throw new FilterLoadError(path, detail, detail.option);
      const below = detail.path.length > 0 ? ['config', ...detail.path] : [this.blames(error) ?? 'use'];
      throw new FilterLoadError([...path, ...below], detail);
    }
  }

  /** The runtime of an entry, and the entry as that gets it. */
  async #find(
    config: ExtensionConfig & Partial<FilterConfig>,
    keys: readonly string[],
    directory: string,
    host: EntryHost,
  ) {
    const use = config.use ?? '';
    const file = isFile(use) ? this.#locate(use, resolve(directory, use), host) : undefined;
    const runtime =
      config.runtime === undefined ? this.#sniff(use, file) : await this.#byName(config.runtime, directory);
    const options = this.#options(config, runtime, keys);
    const spec: FilterSpec = {
      name: filterName(config),
      use,
      file,
      source: config.source,
      config: (config.config ?? null) as Json,
      options,
      limits: { ...NO_LIMITS, ...config.limits },
      directory,
    };
    return { runtime, spec };
  }

  /** The key that an error of `load` is about. */
  blames(error: unknown): Blamed | undefined {
    return typeof error === 'object' && error !== null ? this.#blamed.get(error) : undefined;
  }

  close(): void {
    for (const runtime of this.#runtimes) runtime.close?.();
  }

  /** The entry's keys that are the runtime's own. */
  #options(config: ExtensionConfig, runtime: FilterRuntime, keys: readonly string[]): Record<string, Json> {
    const own = runtime.options ?? [];
    const options: Record<string, Json> = {};
    for (const [key, value] of Object.entries(config)) {
      if (keys.includes(key)) continue;
      if (!own.includes(key)) throw unknownKey(key, [...keys, ...own]);
      options[key] = value as Json;
    }
    return options;
  }

  /** The file itself; of a folder the entry that its package.json names. */
  #locate(use: string, path: string, host: EntryHost): string {
    host.watch(path);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) throw this.#blame('use', `there is no file ${use}`, `looked for ${path}`);
    if (stat.isFile()) return path;
    const description = join(path, 'package.json');
    if (!stat.isDirectory() || !existsSync(description)) {
      throw this.#blame('use', `${use} is not a file`, 'a folder needs a package.json that names its entry');
    }
    host.watch(description);
    const entry = resolve(path, this.#entryOf(use, description));
    if (statSync(entry, { throwIfNoEntry: false })?.isFile() !== true) {
      throw this.#blame('use', `the entry of the package ${use} is not there`, `looked for ${entry}`);
    }
    host.watch(entry);
    return entry;
  }

  /** Source: Node, "Packages", package entry points. */
  #entryOf(use: string, description: string): string {
    let manifest: { main?: string; exports?: unknown };
    try {
      manifest = JSON.parse(readFileSync(description, 'utf8'));
    } catch (error) {
      throw this.#blame('use', `the package.json of ${use} can't be read: ${messageOf(error)}`);
    }
    let target = manifest.exports;
    if (isRecord(target) && '.' in target) target = target['.'];
    while (isRecord(target)) target = target.import ?? target.node ?? target.default;
    return typeof target === 'string' ? target : (manifest.main ?? 'index.js');
  }

  #sniff(use: string, file: string | undefined): FilterRuntime {
    if (file === undefined) {
      const runtime = this.#runtimes.find((candidate) => candidate.provides?.(use) === true);
      if (runtime !== undefined) return runtime;
      const builtins = this.#runtimes.flatMap((candidate) => candidate.builtins ?? []);
      const near = nearest(use, builtins);
      const hint =
        near === undefined
          ? `built-in filters: ${builtins.join(', ')}; a file is written ./${use}`
          : `did you mean \`${near}\`?`;
      throw this.#blame('use', `there is no built-in filter \`${use}\``, hint);
    }
    const sniffed = { path: file, bytes: readFileSync(file) };
    const runtime = this.#runtimes.find((candidate) => candidate.sniff(sniffed));
    if (runtime !== undefined) return runtime;
    throw this.#blame('use', `no runtime knows what ${use} is`, `name one: \`runtime:\` ${this.names.join(', ')}`);
  }

  #byName(name: string, directory: string): Promise<FilterRuntime> | FilterRuntime {
    const known = this.#runtimes.find((runtime) => runtime.name === name);
    if (known !== undefined) return known;
    if (!isFile(name)) {
      const near = nearest(name, this.names);
      const hint = near === undefined ? `runtimes: ${this.names.join(', ')}` : `did you mean \`${near}\`?`;
      throw this.#blame('runtime', `there is no runtime \`${name}\``, hint);
    }
    const path = resolve(directory, name);
    const loading = this.#named.get(path) ?? this.#importRuntime(path);
    this.#named.set(path, loading);
    return loading;
  }

  /** A third party's runtime: a module whose default export is a FilterRuntime. */
  async #importRuntime(path: string): Promise<FilterRuntime> {
    let loaded: { default?: FilterRuntime };
    try {
      loaded = await import(pathToFileURL(path).href);
    } catch (error) {
      throw this.#blame('runtime', `can't load the runtime ${path}: ${error instanceof Error ? error.message : error}`);
    }
    if (typeof loaded.default?.load !== 'function') {
      throw this.#blame('runtime', `${path} has no FilterRuntime as its default export`);
    }
    return loaded.default;
  }

  #blame(key: Blamed, message: string, hint?: string): FilterConfigError {
    const error = new FilterConfigError(message, { hint });
    this.#blamed.set(error, key);
    return error;
  }
}

/** A key that nobody reads. */
export function unknownKey(key: string, known: readonly string[]): FilterConfigError {
  const near = nearest(key, known);
  const hint = near === undefined ? `known keys: ${known.join(', ')}` : `did you mean \`${near}\`?`;
  return new FilterConfigError(`unknown key \`${key}\``, { option: key, hint });
}

/** A path has a slash or an extension; a bare name is a built-in. */
function isFile(use: string): boolean {
  // `@scope/package` is a package's name.
  return use !== '' && !use.startsWith('@') && (isAbsolute(use) || use.includes('/') || /\.[A-Za-z0-9]+$/.test(use));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
