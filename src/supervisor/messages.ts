/** What the supervisor and its workers say to each other. */
import type { PluginSpec } from '../abi/index.ts';
import type { InspectedState } from '../admin/admin-server.ts';
import type { Diagnostic } from '../config/diagnostics.ts';
import type { Config } from '../config/schema.ts';
import type { MetricDescriptor } from '../observability/metrics.ts';
import type { PluginStatus } from '../plugins/lease.ts';

/** What relative paths start from, by listener and by cluster. */
export interface Directories {
  readonly listeners: readonly string[];
  readonly clusters: readonly string[];
}

export interface WorkerData {
  /** Index 0: counts ticks; index 1: the filter that runs now. */
  shared: SharedArrayBuffer;
  log: Config['log'];
  sharesAddresses: boolean;
  /** What filters of all workers share. */
  sharedMemory: SharedArrayBuffer;
  /** By which workers resume each other's TLS sessions. */
  ticketKeys: Uint8Array;
}

export type ToWorker =
  | { type: 'prepare'; version: number; config: Config; directories: Directories }
  | { type: 'commit'; version: number }
  | { type: 'discard'; version: number }
  | { type: 'drain'; timeout: number }
  | { type: 'inspect'; id: number }
  | { type: 'plugin'; lease: number; status: PluginStatus };

/** What a worker says of the plugins that it uses; `lease` is its own number. */
export type FromPluginUser =
  | { type: 'open-plugin'; lease: number; spec: PluginSpec }
  | { type: 'report-call'; lease: number; process: number; answered: boolean }
  | { type: 'close-plugin'; lease: number };

export type FromWorker =
  | FromPluginUser
  | { type: 'prepared'; version: number; files: readonly string[] }
  | { type: 'committed'; version: number }
  | { type: 'failed'; version: number; faults: readonly Diagnostic[] }
  | { type: 'metrics'; pages: readonly Float64Array[]; descriptors: readonly MetricDescriptor[] }
  | { type: 'filters'; names: ReadonlyMap<number, string> }
  | { type: 'inspected'; id: number; state: InspectedState };
