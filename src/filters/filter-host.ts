/** What one filter's factory gets of Weir. */
import type { Counter, FilterHost, Gauge, Histogram, Log, SharedData } from '../abi/index.ts';
import { FieldLog, type Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { SharedStore } from '../shared-data.ts';

export class EntryHost implements FilterHost {
  readonly name: string;
  readonly listener: string;
  readonly log: Log;
  readonly #metrics: Metrics;
  readonly #files: Set<string>;
  readonly #store: SharedStore;

  constructor(
    name: string,
    listener: string,
    logger: Logger,
    metrics: Metrics,
    files: Set<string>,
    store: SharedStore,
  ) {
    this.#store = store;
    this.name = name;
    this.listener = listener;
    this.log = new FieldLog(logger, { filter: name });
    this.#metrics = metrics;
    this.#files = files;
  }

  counter(name: string): Counter {
    return this.#metrics.counter(metricName(name), `Counter ${name} of a filter.`, this.#labels);
  }

  gauge(name: string): Gauge {
    return this.#metrics.gauge(metricName(name), `Gauge ${name} of a filter.`, this.#labels);
  }

  histogram(name: string): Histogram {
    return this.#metrics.histogram(metricName(name), `Histogram ${name} of a filter.`, this.#labels);
  }

  shared(name: string): SharedData {
    return this.#store.namespace(name);
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
