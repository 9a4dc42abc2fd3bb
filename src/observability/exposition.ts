/** The metrics of all workers as one text in Prometheus' format, and as plain values. */
import { AggregatorRegistry, type PrometheusContentType } from 'prom-client';
import type { MetricDescriptor, MetricsReader } from './metrics.ts';

interface Sample {
  labels: Record<string, string | number>;
  value: number;
  metricName?: string;
}

interface Family {
  name: string;
  help: string;
  type: string;
  aggregator: 'sum';
  values: Sample[];
}

/**
 * Sums of finished workers, so that a counter never falls when a worker is replaced. Gauges end with their worker.
 */
export class RetiredMetrics implements MetricsReader {
  readonly pages: Float64Array[] = [];
  readonly descriptors: MetricDescriptor[] = [];
  readonly #byKey = new Map<string, MetricDescriptor>();

  add(reader: MetricsReader): void {
    for (const descriptor of reader.descriptors) {
      if (descriptor.type === 'gauge') continue;
      const key = `${descriptor.name} ${JSON.stringify(descriptor.labels)}`;
      const values = valuesOf(reader, descriptor);
      const known = this.#byKey.get(key);
      if (known === undefined) {
        const retired = { ...descriptor, page: this.pages.length, slot: 0 };
        this.pages.push(Float64Array.from(values));
        this.descriptors.push(retired);
        this.#byKey.set(key, retired);
      } else {
        const sums = this.pages[known.page] as Float64Array;
        for (const [i, value] of values.entries()) (sums[i] as number) += value;
      }
    }
  }
}

/** Prometheus' text format, version 0.0.4, summed over all readers. */
export function renderPrometheus(readers: readonly MetricsReader[]): Promise<string> {
  const registry = AggregatorRegistry.aggregate<PrometheusContentType>(readers.map(families) as unknown as object[]);
  return registry.metrics();
}

/** The numbers of one metric, summed; of a histogram its buckets, then sum, then count. Empty when there is none. */
export function sumOf(readers: readonly MetricsReader[], name: string, labels: MetricDescriptor['labels']): number[] {
  const wanted = JSON.stringify(labels);
  const sums: number[] = [];
  for (const reader of readers) {
    for (const descriptor of reader.descriptors) {
      if (descriptor.name !== name || JSON.stringify(descriptor.labels) !== wanted) continue;
      for (const [i, value] of valuesOf(reader, descriptor).entries()) sums[i] = (sums[i] ?? 0) + value;
    }
  }
  return sums;
}

/** The plain values of counters and gauges, summed: `name{label="value"}` → number, sorted by name. */
export function renderValues(readers: readonly MetricsReader[]): Record<string, number> {
  const sums = new Map<string, number>();
  for (const reader of readers) {
    for (const descriptor of reader.descriptors) {
      const labels = Object.entries(descriptor.labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
      const key = labels.length === 0 ? descriptor.name : `${descriptor.name}{${labels.join(',')}}`;
      const values = valuesOf(reader, descriptor);
      if (descriptor.type !== 'histogram') sums.set(key, (sums.get(key) ?? 0) + (values[0] as number));
      else sums.set(`${key} count`, (sums.get(`${key} count`) ?? 0) + (values.at(-1) as number));
    }
  }
  return Object.fromEntries([...sums].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function valuesOf(reader: MetricsReader, { page, slot, buckets }: MetricDescriptor): Float64Array {
  const values = reader.pages[page] as Float64Array;
  return values.subarray(slot, slot + (buckets === undefined ? 1 : buckets.length + 2));
}

function families(reader: MetricsReader): Family[] {
  const byName = new Map<string, Family>();
  for (const descriptor of reader.descriptors) {
    const { name, help, type } = descriptor;
    let family = byName.get(name);
    if (family === undefined) {
      family = { name, help, type, aggregator: 'sum', values: [] };
      byName.set(name, family);
    }
    family.values.push(...samples(reader, descriptor));
  }
  return [...byName.values()];
}

function samples(reader: MetricsReader, descriptor: MetricDescriptor): Sample[] {
  const { name, labels, buckets } = descriptor;
  const values = valuesOf(reader, descriptor);
  if (buckets === undefined) return [{ labels, value: values[0] as number }];
  const found: Sample[] = [];
  let cumulated = 0;
  for (const [i, bound] of buckets.entries()) {
    cumulated += values[i] as number;
    found.push({ metricName: `${name}_bucket`, labels: { ...labels, le: bound }, value: cumulated });
  }
  const count = values[buckets.length + 1] as number;
  found.push({ metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count });
  found.push({ metricName: `${name}_sum`, labels, value: values[buckets.length] as number });
  found.push({ metricName: `${name}_count`, labels, value: count });
  return found;
}
