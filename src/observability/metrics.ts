/** Counters, gauges and histograms in shared memory: a worker adds to a number, the supervisor reads it when asked. */
import type { Counter, Gauge, Histogram } from '../abi/index.ts';

export type MetricType = 'counter' | 'gauge' | 'histogram';
export type MetricLabels = Readonly<Record<string, string>>;

/** Where one metric's numbers are: at `slot` of page `page`; a histogram's are its buckets, then sum, then count. */
export interface MetricDescriptor {
  name: string;
  help: string;
  type: MetricType;
  labels: MetricLabels;
  page: number;
  slot: number;
  buckets?: readonly number[];
}

/** Seconds. */
export const DURATION_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** What the supervisor needs to read the metrics of a data plane. */
export interface MetricsReader {
  readonly pages: readonly Float64Array[];
  readonly descriptors: readonly MetricDescriptor[];
}

const PAGE_SLOTS = 4096;

class Slot implements Counter, Gauge {
  readonly #page: Float64Array;
  readonly #slot: number;

  constructor(page: Float64Array, slot: number) {
    this.#page = page;
    this.#slot = slot;
  }

  get value(): number {
    return this.#page[this.#slot] as number;
  }

  add(amount = 1): void {
    (this.#page[this.#slot] as number) += amount;
  }

  set(value: number): void {
    this.#page[this.#slot] = value;
  }
}

class Buckets implements Histogram {
  readonly #page: Float64Array;
  readonly #slot: number;
  readonly #bounds: readonly number[];

  constructor(page: Float64Array, slot: number, bounds: readonly number[]) {
    this.#page = page;
    this.#slot = slot;
    this.#bounds = bounds;
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    const count = bounds.length;
    let bucket = 0;
    while (bucket < count && value > (bounds[bucket] as number)) bucket++;
    const page = this.#page;
    const slot = this.#slot;
    if (bucket < count) (page[slot + bucket] as number)++;
    (page[slot + count] as number) += value;
    (page[slot + count + 1] as number)++;
  }
}

/**
 * The metrics of one data plane. The same name and labels always give the same numbers, so they live on through reloads.
 * Metrics are made when a configuration is, never per request.
 */
export class Metrics implements MetricsReader {
  readonly pages: Float64Array<SharedArrayBuffer>[] = [];
  readonly descriptors: MetricDescriptor[] = [];
  readonly #byKey = new Map<string, Slot | Buckets>();
  #free = PAGE_SLOTS;

  counter(name: string, help: string, labels: MetricLabels = {}): Counter {
    return this.#find('counter', name, help, labels) as Slot;
  }

  gauge(name: string, help: string, labels: MetricLabels = {}): Gauge {
    return this.#find('gauge', name, help, labels) as Slot;
  }

  histogram(
    name: string,
    help: string,
    labels: MetricLabels = {},
    buckets: readonly number[] = DURATION_BUCKETS,
  ): Histogram {
    return this.#find('histogram', name, help, labels, buckets) as Buckets;
  }

  #find(
    type: MetricType,
    name: string,
    help: string,
    labels: MetricLabels,
    buckets?: readonly number[],
  ): Slot | Buckets {
    const key = `${type} ${name} ${JSON.stringify(labels)}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const size = buckets === undefined ? 1 : buckets.length + 2;
    if (this.#free + size > PAGE_SLOTS) {
      this.pages.push(new Float64Array(new SharedArrayBuffer(PAGE_SLOTS * Float64Array.BYTES_PER_ELEMENT)));
      this.#free = 0;
    }
    const page = this.pages.length - 1;
    const slot = this.#free;
    this.#free += size;
    this.descriptors.push({ name, help, type, labels, page, slot, ...(buckets === undefined ? {} : { buckets }) });
    const values = this.pages[page] as Float64Array;
    const metric = buckets === undefined ? new Slot(values, slot) : new Buckets(values, slot, buckets);
    this.#byKey.set(key, metric);
    return metric;
  }
}
