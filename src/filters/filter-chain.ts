/** The filters of one listener, made from its configuration: loaded, checked, and put in the order in which they run. */
import { FilterConfigError } from '../abi/index.ts';
import { filterName } from '../config/check.ts';
import type { FilterConfig, ListenerConfig } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import type { Route } from '../routing/route.ts';
import { type FilterAdapter, unknownKey } from './adapter.ts';
import { FilterEntry } from './filter-entry.ts';
import { EntryHost, type HostContext } from './filter-host.ts';
import { FilterLoadError } from './load-error.ts';

const PHASES = ['before-route', 'after-route', 'after-choose-endpoint'] as const;

/** What making a chain needs of its data plane. */
export interface ChainContext extends HostContext {
  adapter: FilterAdapter;
  /** One number: the entry whose hook runs now, or 0. The watchdog reads it when a worker is stuck. */
  mark: Int32Array;
  /** A number for a filter's mark, which stays the same over reloads. */
  idOf(listener: string, filter: string): number;
}

export class FilterChain {
  /** In the order of the request side. */
  readonly entries: readonly FilterEntry[];
  /** Index of the first entry of the phase after-route; and of after-choose-endpoint. */
  readonly afterRoute: number;
  readonly afterChooseEndpoint: number;
  readonly mark: Int32Array;
  /** Files that the filters were made from: a change of one asks for a reload. */
  readonly files: ReadonlySet<string>;

  private constructor(entries: readonly FilterEntry[], mark: Int32Array, files: ReadonlySet<string>) {
    this.entries = PHASES.flatMap((phase) => entries.filter((entry) => entry.phase === phase));
    this.afterRoute = entries.filter((entry) => entry.phase === 'before-route').length;
    this.afterChooseEndpoint = entries.filter((entry) => entry.phase !== 'after-choose-endpoint').length;
    this.mark = mark;
    this.files = files;
  }

  /**
   * Loads every filter of a listener.
   * @param directory what relative paths start from.
   * @throws FilterLoadError for the first filter that can't be made; the ones before it are closed again.
   */
  static async build(
    listener: Pick<ListenerConfig, 'name' | 'filters'>,
    directory: string,
    routes: readonly Route[],
    context: ChainContext,
  ): Promise<FilterChain> {
    const files = new Set<string>();
    const entries: FilterEntry[] = [];
    const { adapter, logger, metrics, mark } = context;
    try {
      for (const [i, config] of listener.filters.entries()) {
        const name = filterName(config);
        const host = new EntryHost(name, listener.name, context, files);
        const { factory, runtime } = await loadEntry(config, ['filters', i], directory, adapter, host);
        const id = context.idOf(listener.name, name);
        try {
          entries.push(new FilterEntry(id, name, runtime, config, listener.name, factory, logger, metrics));
        } catch (error) {
          factory.close?.();
          throw new FilterLoadError(['filters', i, 'match'], new FilterConfigError(messageOf(error)));
        }
      }
      for (const route of routes) validateRoute(route, entries);
    } catch (error) {
      for (const entry of entries) entry.factory.close?.();
      throw error;
    }
    return new FilterChain(entries, mark, files);
  }

  close(): void {
    for (const entry of this.entries) entry.factory.close?.();
  }
}

async function loadEntry(
  config: FilterConfig,
  path: readonly (string | number)[],
  directory: string,
  adapter: FilterAdapter,
  host: EntryHost,
) {
  try {
    return await adapter.load(config, directory, host);
  } catch (error) {
    const detail =
      error instanceof FilterConfigError ? error : new FilterConfigError(messageOf(error), { cause: error });
    if (detail.option !== undefined) throw new FilterLoadError(path, detail, detail.option);
    const below = detail.path.length > 0 ? ['config', ...detail.path] : [adapter.blames(error) ?? 'config'];
    const known = below[0] === 'config' && config.config === undefined ? [] : below;
    throw new FilterLoadError([...path, ...known], detail);
  }
}

/** Route-level settings are checked when they are loaded, not when the first request meets them. */
function validateRoute(route: Route, entries: readonly FilterEntry[]): void {
  for (const entry of entries) {
    const settings = route.settingsOf(entry.name);
    if (settings === undefined) continue;
    const path = [...route.path, 'filters', entry.name];
    const { factory } = entry;
    const known = ['disabled', 'config', ...(factory.routeOptions ?? [])];
    for (const key of Object.keys(settings.given)) {
      if (!known.includes(key)) throw new FilterLoadError(path, unknownKey(key, known), key);
    }
    try {
      if (settings.config !== undefined) factory.validateRouteConfig?.(settings.config);
      factory.validateRouteSettings?.(settings.given);
    } catch (error) {
      const detail = error instanceof FilterConfigError ? error : new FilterConfigError(messageOf(error));
      if (detail.option !== undefined) throw new FilterLoadError(path, detail, detail.option);
      throw new FilterLoadError([...path, 'config', ...detail.path], detail);
    }
  }
}
