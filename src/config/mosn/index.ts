/**
 * A configuration of MOSN as one of Weir. What can't be mapped is an error with its key and line. Source: MOSN, "Configuration overview"; its own
 * demos load as they are.
 */
import type { ConfigPath, Diagnostic } from '../diagnostics.ts';
import { cluster } from './clusters.ts';
import { listener } from './listeners.ts';
import { type Conversion, MosnObject, type Report } from './reader.ts';
import { given, virtualHosts } from './routes.ts';

export interface MosnConfig {
  /** Weir's configuration, not validated. */
  readonly value: Record<string, unknown>;
  readonly faults: readonly Diagnostic[];
  /** Where what stands at a path of Weir's configuration comes from. */
  origin(path: ConfigPath): ConfigPath;
}

const LEVELS: Readonly<Record<string, string>> = {
  FATAL: 'critical',
  ERROR: 'error',
  WARN: 'warn',
  INFO: 'info',
  DEBUG: 'debug',
  TRACE: 'trace',
};

/** Whether a configuration is MOSN's by its keys. */
export function isMosn(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return 'servers' in value || 'cluster_manager' in value;
}

/** @param directory where the configuration stands. */
export function convertMosn(value: unknown, directory: string, diagnose: Report): MosnConfig {
  const conversion: Conversion = { faults: [], diagnose, places: new Map() };
  const top = new MosnObject(value, [], conversion);
  const plugin = top.object('plugin');
  const logBase = plugin?.string('log_base');
  plugin?.done();
  const clusters = top.object('cluster_manager');
  const output: Record<string, unknown> = {
    clusters: (clusters?.objects('clusters') ?? []).map((one, i) => cluster(one, ['clusters', i])),
    admin: admin(top),
    ...server(top, directory, logBase),
  };
  clusters?.only('tls_context', [{}], 'Weir speaks no TLS to its upstreams yet');
  clusters?.done();
  for (const key of ['disable_upgrade', 'close_graceful', 'inherit_old_mosnconfig']) {
    top.only(key, [true, false], 'it must be true or false; Weir hands no sockets over to another process');
  }
  top.done();
  return {
    value: given(output),
    faults: conversion.faults,
    origin(path) {
      for (let length = path.length; length > 0; length--) {
        const found = conversion.places.get(JSON.stringify(path.slice(0, length)));
        if (found !== undefined) return found;
      }
      return [];
    },
  };
}

function admin(top: MosnObject): Record<string, unknown> | undefined {
  const object = top.object('admin');
  const address = object?.object('address');
  const socket = address?.object('socket_address');
  object?.becomes(['admin']);
  const host = socket?.string('address');
  const port = socket?.number('port_value');
  socket?.done();
  address?.done();
  object?.done();
  return host === undefined || port === undefined ? undefined : { address: `${host}:${port}` };
}

function server(top: MosnObject, directory: string, logBase: string | undefined): Record<string, unknown> {
  const [one, ...more] = top.objects('servers');
  for (const other of more) other.fault('MOSN and Weir have one server');
  if (one === undefined) {
    top.fault('there is no `servers`: Weir has no xDS yet');
    return {};
  }
  one.take('mosn_server_name');
  one.only('default_log_path', ['', 'stdout', 'stderr'], 'Weir logs to standard error');
  one.only('use_netpoll_mode', [false], 'Weir runs on Node');
  const level = one.string('default_log_level') || 'INFO';
  if (LEVELS[level] === undefined) one.fault(`there is no log level ${level}`, 'default_log_level');
  const processor = one.take('processor');
  const routers = new Map(one.objects('routers').map((router) => [router.string('router_config_name') ?? '', router]));
  const context = { routers, used: new Set<string>(), directory, logBase };
  const output = given({
    log: { level: LEVELS[level] ?? 'info' },
    drain_timeout: one.string('graceful_timeout'),
    workers: typeof processor === 'number' ? processor : undefined,
    listeners: one.objects('listeners').map((object, i) => listener(object, ['listeners', i], context)),
  });
  // A router that no listener names is looked at all the same.
  for (const [name, router] of routers) if (!context.used.has(name)) virtualHosts(router, ['routers']);
  one.done();
  return output;
}
