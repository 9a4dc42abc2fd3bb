/** What one filter's factory gets of Weir. */
import type {
  CallRequest,
  CallResponse,
  Counter,
  FilterHost,
  Gauge,
  GrpcHandler,
  GrpcRequest,
  GrpcStream,
  Histogram,
  Log,
  Plugin,
  PluginSpec,
  SharedData,
} from '../abi/index.ts';
import { startCall } from '../clusters/call.ts';
import type { ClusterSet } from '../clusters/cluster.ts';
import { openGrpc } from '../clusters/grpc.ts';
import { FieldLog, type Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { PluginSource } from '../plugins/lease.ts';
import type { SharedStore } from '../shared-data.ts';
import type { TimerWheel } from '../timers.ts';

/** What is the same for all filters of a snapshot. */
export interface HostContext {
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** What workers share. */
  readonly store: SharedStore;
  readonly clusters: ClusterSet;
  readonly wheel: TimerWheel;
  readonly plugins: PluginSource;
}

export class EntryHost implements FilterHost {
  readonly name: string;
  readonly listener: string;
  readonly log: Log;
  readonly #context: HostContext;
  readonly #files: Set<string>;

  constructor(name: string, listener: string, context: HostContext, files: Set<string>) {
    this.name = name;
    this.listener = listener;
    this.log = new FieldLog(context.logger, { filter: name });
    this.#context = context;
    this.#files = files;
  }

  counter(name: string): Counter {
    return this.#context.metrics.counter(metricName(name), `Counter ${name} of a filter.`, this.#labels);
  }

  gauge(name: string): Gauge {
    return this.#context.metrics.gauge(metricName(name), `Gauge ${name} of a filter.`, this.#labels);
  }

  histogram(name: string): Histogram {
    return this.#context.metrics.histogram(metricName(name), `Histogram ${name} of a filter.`, this.#labels);
  }

  shared(name: string): SharedData {
    return this.#context.store.namespace(name);
  }

  call(cluster: string, request: CallRequest): Promise<CallResponse> {
    const { clusters, wheel } = this.#context;
    return startCall(clusters, cluster, request, wheel).response;
  }

  grpc(cluster: string, request: GrpcRequest, handler: GrpcHandler): GrpcStream {
    return openGrpc(this.#context.clusters, cluster, request, handler);
  }

  plugin(spec: PluginSpec): Plugin {
    return this.#context.plugins.open(spec);
  }

  watch(file: string): void {
    this.#files.add(file);
  }

  get #labels() {
    return { filter: this.name, listener: this.listener };
  }
}

function metricName(name: string): string {
  if (!/^[a-z_][a-z0-9_]*$/.test(name)) {
    throw new Error(`${JSON.stringify(name)} is no metric name: write lower-case letters, digits and _`);
  }
  return `weir_filter_${name}`;
}
