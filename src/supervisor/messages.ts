/** What the supervisor and its workers say to each other. */
import type { Diagnostic } from '../config/diagnostics.ts';
import type { Config } from '../config/schema.ts';
import type { MetricDescriptor } from '../observability/metrics.ts';

export interface WorkerData {
  /** Index 0: counts ticks; index 1: the filter that runs now. */
  shared: SharedArrayBuffer;
  log: Config['log'];
  sharesAddresses: boolean;
}

export type ToWorker =
  | { type: 'prepare'; version: number; config: Config; directories: readonly string[] }
  | { type: 'commit'; version: number }
  | { type: 'discard'; version: number }
  | { type: 'drain'; timeout: number }
  | { type: 'inspect'; id: number };

export type FromWorker =
  | { type: 'started' }
  | { type: 'prepared'; version: number; files: readonly string[] }
  | { type: 'committed'; version: number }
  | { type: 'failed'; version: number; faults: readonly Diagnostic[] }
  | { type: 'metrics'; pages: readonly Float64Array[]; descriptors: readonly MetricDescriptor[] }
  | { type: 'filters'; names: ReadonlyMap<number, string> }
  | { type: 'inspected'; id: number; state: WorkerState }
  | { type: 'drained' };

/** What a worker tells the admin API. */
export interface WorkerState {
  listeners: readonly { name: string; address: string; connections: number }[];
  clusters: readonly {
    name: string;
    endpoints: readonly {
      address: string;
      weight: number;
      active: number;
      connections: number;
      idle: number;
      pending: number;
    }[];
  }[];
}
