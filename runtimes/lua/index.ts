/** The Lua runtime: scripts with Envoy's calling convention, in a sandbox with budgets; compiled (Lua 5.1) or interpreted (5.3). */
import { resolve } from 'node:path';
import {
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  type Json,
  type Stream,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { createKinds, type Kinds } from './api/index.ts';
import { CompiledEngine } from './compiled/engine.ts';
import type { ScriptEngine } from './engine.ts';
import { FengariEngine } from './fengari/engine.ts';
import { createLuaFilter, type LuaFactory } from './lua-filter.ts';
import {
  type DataSource,
  type LuaOptions,
  OPTIONS,
  ROUTE_OPTIONS,
  type RouteOptions,
  type RouteScripts,
  readOptions,
  readRouteOptions,
} from './options.ts';
import { LuaScript, readScript, type ScriptText } from './script.ts';
import { Vm } from './vm/vm.ts';

export function createLuaRuntime(): FilterRuntime {
  const vm = new Vm();
  const kinds = createKinds(vm);
  const engines = { '5.1': new CompiledEngine(vm), '5.3': new FengariEngine() };
  return {
    name: 'lua',
    options: OPTIONS,
    sniff: ({ path }) => path.endsWith('.lua'),
    load: (spec, host) => new Scripts(spec, host, kinds, engines),
  };
}

/** The scripts of one entry: the default one, those that routes choose by name, and those that routes bring. */
class Scripts implements StreamFilterFactory, LuaFactory, RouteScripts {
  readonly clearsRouteCache: boolean;
  readonly routeOptions = ROUTE_OPTIONS;
  readonly hooks = { request: false, response: false, log: false };
  readonly #spec: FilterSpec;
  readonly #host: FilterHost;
  readonly #options: LuaOptions;
  readonly #engine: ScriptEngine;
  readonly #kinds: Kinds;
  readonly #default: LuaScript | undefined;
  readonly #named = new Map<string, LuaScript>();
  /** By the settings of a route, as they are in the configuration. */
  readonly #routes = new Map<object, { options: RouteOptions; script: LuaScript | undefined }>();

  constructor(spec: FilterSpec, host: FilterHost, kinds: Kinds, engines: Record<LuaOptions['lua'], ScriptEngine>) {
    this.#spec = spec;
    this.#host = host;
    this.#kinds = kinds;
    this.#options = readOptions(spec.options, (path) => resolve(spec.directory, path));
    this.#engine = engines[this.#options.lua];
    const text = this.#defaultText();
    this.#default = text === undefined ? undefined : this.#load(text);
    for (const [name, source] of this.#options.source_codes)
      this.#named.set(name, this.#load(this.#textOf(source, name)));
    this.clearsRouteCache = this.#options.clear_route_cache && this.hooks.request;
  }

  create(stream: Stream) {
    return createLuaFilter(this, stream);
  }

  settingsOf(stream: Stream): RouteOptions | undefined {
    return stream.routeSettings === undefined ? undefined : this.#routes.get(stream.routeSettings)?.options;
  }

  scriptOf(stream: Stream): LuaScript | undefined {
    const options = stream.routeSettings;
    const route = options === undefined ? undefined : this.#routes.get(options);
    if (route?.script !== undefined) return route.script;
    // With `envoy_compat`, a name that no source has runs nothing.
    return route?.options.name === undefined ? this.#default : this.#named.get(route.options.name);
  }

  validateRouteSettings(given: Readonly<Record<string, Json>>): void {
    const options = readRouteOptions(given);
    const { name, source_code } = options;
    if (name !== undefined && !this.#named.has(name) && !this.#options.envoy_compat) {
      const known = [...this.#named.keys()];
      const hint = known.length > 0 ? `source_codes: ${known.join(', ')}` : 'the entry has no `source_codes:`';
      throw new FilterConfigError(`there is no script ${JSON.stringify(name)}`, { option: 'name', hint });
    }
    const script = source_code === undefined ? undefined : this.#load(this.#textOf(source_code, 'source_code'));
    this.#routes.set(given, { options, script });
  }

  close(): void {
    this.#default?.close();
    for (const script of this.#named.values()) script.close();
    for (const { script } of this.#routes.values()) script?.close();
  }

  #load(text: ScriptText): LuaScript {
    const script = new LuaScript(
      {
        spec: this.#spec,
        host: this.#host,
        options: this.#options,
        engine: this.#engine,
        kinds: this.#kinds,
        routes: this,
      },
      text,
    );
    this.hooks.request ||= script.onRequest !== undefined;
    this.hooks.response ||= script.onResponse !== undefined;
    this.hooks.log ||= script.onLog !== undefined;
    return script;
  }

  #defaultText(): ScriptText | undefined {
    const { file, source, name } = this.#spec;
    const { default_source_code, source_codes } = this.#options;
    const given = [file, source, default_source_code].filter((each) => each !== undefined);
    if (given.length > 1) {
      throw new FilterConfigError('give one of use, source and default_source_code, not two', {
        option: 'default_source_code',
      });
    }
    if (file !== undefined) return readScript(file);
    if (source !== undefined) return { bytes: new TextEncoder().encode(source), file: name };
    if (default_source_code !== undefined) return this.#textOf(default_source_code, name);
    if (source_codes.size > 0) return undefined;
    throw new FilterConfigError('a Lua filter needs a file in `use:`, or a script in `source:`');
  }

  #textOf(source: DataSource, name: string): ScriptText {
    if ('inline_string' in source) return { bytes: new TextEncoder().encode(source.inline_string), file: name };
    const file = resolve(this.#spec.directory, source.filename);
    this.#host.watch(file);
    return readScript(file);
  }
}
