/** Settings of a Lua entry besides its `config:`, and of routes. Source: Envoy, `envoy.extensions.filters.http.lua.v3`. */
import { FilterConfigError, type Json, type Stream } from '../../src/abi/index.ts';
import type { LuaScript } from './script.ts';

/** Keys of an entry. */
export const OPTIONS = [
  'lua',
  'modules',
  'default_source_code',
  'source_codes',
  'stat_prefix',
  'clear_route_cache',
  'filter_context',
  'envoy_compat',
  'shared',
] as const;
/** Keys of a route's or virtual host's settings for this filter. */
export const ROUTE_OPTIONS = ['name', 'source_code', 'filter_context'] as const;

/** Envoy's DataSource. */
export type DataSource = { inline_string: string } | { filename: string };

export interface LuaOptions {
  /** `5.1` (LuaJIT with Lua 5.2's extensions, the default) or `5.3`. */
  lua: '5.1' | '5.3';
  /** Folders of modules for `require`, absolute. */
  modules: string[];
  default_source_code: DataSource | undefined;
  /** Scripts that routes choose by name. */
  source_codes: ReadonlyMap<string, DataSource>;
  stat_prefix: string;
  /** Match the route again after a change of headers; default true. */
  clear_route_cache: boolean;
  filter_context: Json | undefined;
  /** Scripts that share data name the same; default: the filter's name. */
  shared: string | undefined;
  /** Refuse what Envoy refuses, where Weir can do more. */
  envoy_compat: boolean;
}

export interface RouteOptions {
  name?: string;
  source_code?: DataSource;
  filter_context?: Json;
}

/** @throws FilterConfigError */
export function readOptions(given: Readonly<Record<string, Json>>, resolve: (path: string) => string): LuaOptions {
  const lua = given.lua ?? '5.1';
  if (lua !== '5.1' && lua !== '5.3' && lua !== 5.1 && lua !== 5.3) {
    throw refuse('lua', `there is no Lua ${JSON.stringify(lua)}`, 'write "5.1" or "5.3"');
  }
  return {
    lua: String(lua) as '5.1' | '5.3',
    modules: strings(given.modules ?? [], 'modules').map(resolve),
    default_source_code: dataSource(given.default_source_code, 'default_source_code'),
    source_codes: new Map(
      Object.entries(record(given.source_codes ?? {}, 'source_codes')).map(([name, source]) => [
        name,
        dataSource(source, 'source_codes') as DataSource,
      ]),
    ),
    stat_prefix: text(given.stat_prefix ?? '', 'stat_prefix'),
    clear_route_cache: flag(given.clear_route_cache ?? true, 'clear_route_cache'),
    filter_context: given.filter_context,
    shared: given.shared === undefined ? undefined : text(given.shared, 'shared'),
    envoy_compat: flag(given.envoy_compat ?? false, 'envoy_compat'),
  };
}

/** @throws FilterConfigError */
export function readRouteOptions(given: Readonly<Record<string, Json>>): RouteOptions {
  if (given.name !== undefined && given.source_code !== undefined) {
    throw refuse('source_code', 'give one of name and source_code, not both');
  }
  const source = dataSource(given.source_code, 'source_code');
  return {
    ...(given.name === undefined ? {} : { name: text(given.name, 'name') }),
    ...(source === undefined ? {} : { source_code: source }),
    ...(given.filter_context === undefined ? {} : { filter_context: given.filter_context }),
  };
}

/** Which script a stream runs, by its route. */
export interface RouteScripts {
  settingsOf(stream: Stream): RouteOptions | undefined;
  scriptOf(stream: Stream): LuaScript | undefined;
}

function dataSource(value: Json | undefined, key: string): DataSource | undefined {
  if (value === undefined) return undefined;
  const { inline_string, filename, ...rest } = record(value, key);
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw refuse(key, `unknown key \`${unknown}\``, 'a source has inline_string or filename');
  if (typeof inline_string === 'string' && filename === undefined) return { inline_string };
  if (typeof filename === 'string' && inline_string === undefined) return { filename };
  throw refuse(key, 'a source needs one of inline_string and filename, as a string');
}

function record(value: Json, key: string): Readonly<Record<string, Json>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw refuse(key, 'must be a mapping');
}

function strings(value: Json, key: string): string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw refuse(key, 'must be a list of strings');
}

function text(value: Json, key: string): string {
  if (typeof value === 'string') return value;
  throw refuse(key, 'must be a string');
}

function flag(value: Json, key: string): boolean {
  if (typeof value === 'boolean') return value;
  throw refuse(key, 'must be true or false');
}

function refuse(key: string, message: string, hint?: string): FilterConfigError {
  return new FilterConfigError(`${key}: ${message}`, { option: key, hint });
}
