/** What the schema can't say: names that must be unique and names that must exist. */
import type { ConfigPath, Diagnostic } from './diagnostics.ts';
import { nearest } from './diagnostics.ts';
import type { ConfigOrigin } from './load.ts';
import type { Config, FilterConfig, ListenerConfig, RouteConfig } from './schema.ts';
import { formatAddress } from './values.ts';

/** A filter's name: what it is called, or the last part of what it uses. */
export function filterName(filter: Pick<FilterConfig, 'name' | 'use'>): string {
  return filter.name ?? (filter.use as string).replace(/\/+$/, '').split('/').at(-1) ?? '';
}

/** All faults of references in `config`. */
export function checkReferences(config: Config, origin: ConfigOrigin): Diagnostic[] {
  const faults: Diagnostic[] = [];
  const report = (path: ConfigPath, message: string, hint?: string) =>
    faults.push(origin.diagnose(path, message, hint));
  checkUnique(
    config.listeners.map((listener) => listener.name),
    (i) => ['listeners', i, 'name'],
    'listener',
    report,
  );
  checkUnique(
    config.clusters.map((cluster) => cluster.name),
    (i) => ['clusters', i, 'name'],
    'cluster',
    report,
  );
  checkUnique(
    config.listeners.map(({ address }) => (address.port === 0 ? undefined : formatAddress(address))),
    (i) => ['listeners', i, 'address'],
    'address',
    report,
  );
  const clusters = config.clusters.map((cluster) => cluster.name);
  for (const [i, listener] of config.listeners.entries()) checkListener(listener, ['listeners', i], clusters, report);
  return faults;
}

type Report = (path: ConfigPath, message: string, hint?: string) => void;

function checkUnique(
  names: readonly (string | undefined)[],
  path: (index: number) => ConfigPath,
  what: string,
  report: Report,
): void {
  for (const [i, name] of names.entries()) {
    if (name !== undefined && names.indexOf(name) < i) report(path(i), `the ${what} \`${name}\` is there already`);
  }
}

function checkListener(listener: ListenerConfig, path: ConfigPath, clusters: readonly string[], report: Report): void {
  const filters = listener.filters.map(filterName);
  checkUnique(
    filters,
    (i) => [...path, 'filters', i],
    'filter name',
    (at, message) => report(at, message, 'give one of the entries a `name:` of its own'),
  );
  for (const [i, route] of (listener.routes ?? []).entries()) {
    checkRoute(route, [...path, 'routes', i], clusters, filters, report);
  }
  for (const [i, host] of (listener.virtual_hosts ?? []).entries()) {
    const hostPath = [...path, 'virtual_hosts', i];
    checkFilterNames(host.filters, [...hostPath, 'filters'], filters, report);
    for (const [j, route] of host.routes.entries()) {
      checkRoute(route, [...hostPath, 'routes', j], clusters, filters, report);
    }
  }
}

function checkRoute(
  route: RouteConfig,
  path: ConfigPath,
  clusters: readonly string[],
  filters: readonly string[],
  report: Report,
): void {
  if (route.cluster !== undefined) checkCluster(route.cluster, [...path, 'cluster'], clusters, report);
  for (const [i, choice] of (route.clusters ?? []).entries()) {
    checkCluster(choice.name, [...path, 'clusters', i, 'name'], clusters, report);
  }
  if (route.clusters?.every((choice) => choice.weight === 0) === true) {
    report([...path, 'clusters'], 'the weights of these clusters sum up to 0');
  }
  checkFilterNames(route.filters, [...path, 'filters'], filters, report);
}

function checkCluster(name: string, path: ConfigPath, known: readonly string[], report: Report): void {
  if (known.includes(name)) return;
  const near = nearest(name, known);
  report(path, `there is no cluster \`${name}\``, near === undefined ? undefined : `did you mean \`${near}\`?`);
}

function checkFilterNames(
  settings: Readonly<Record<string, unknown>>,
  path: ConfigPath,
  known: readonly string[],
  report: Report,
): void {
  for (const name of Object.keys(settings)) {
    if (known.includes(name)) continue;
    const near = nearest(name, known);
    const hint =
      near === undefined ? `filters of this listener: ${known.join(', ') || 'none'}` : `did you mean \`${near}\`?`;
    report([...path, name], `this listener has no filter \`${name}\``, hint);
  }
}
