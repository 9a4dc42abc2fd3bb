/** Counters, gauges and histograms of a script. Source: Envoy, "Lua" HTTP filter, "Stats object API". Values are this worker's. */
import type { Counter, FilterHost, Gauge, Histogram } from '../../../src/abi/index.ts';
import type { ScriptStream } from '../script-stream.ts';
import { NativeError } from '../vm/errors.ts';
import { NONE } from '../vm/values.ts';
import type { Kinds } from './index.ts';
import { type Methods, number, string } from './kind.ts';
import type { StreamObject } from './metadata.ts';

const UNITS = ['ms', 'milliseconds', 'microseconds', 'nanoseconds', 'bytes', 'unspecified'];

/** The metrics of one script, by the names that it uses. */
export class ScriptStats {
  readonly #host: FilterHost;
  readonly #prefix: string;

  constructor(host: FilterHost, prefix: string) {
    this.#host = host;
    this.#prefix = prefix;
  }

  counter(name: string): Counter {
    return this.#host.counter(this.#name(name));
  }

  gauge(name: string): Gauge {
    return this.#host.gauge(this.#name(name));
  }

  histogram(name: string): Histogram {
    return this.#host.histogram(this.#name(name));
  }

  /** Letters that Prometheus knows. */
  #name(name: string): string {
    if (name === '') throw new NativeError('a metric needs a name');
    const full = this.#prefix === '' ? name : `${this.#prefix}_${name}`;
    const plain = full.toLowerCase().replace(/[^a-z0-9_]/g, '_');
    return /^[0-9]/.test(plain) ? `_${plain}` : plain;
  }
}

export function statsMethods(kinds: Kinds): Methods<StreamObject> {
  return {
    counter: ({ run }, args) => {
      const metric = run.script.stats.counter(string(args, 0));
      return kinds.counter.create({ run, metric }, run);
    },
    gauge: ({ run }, args) => kinds.gauge.create({ run, metric: run.script.stats.gauge(string(args, 0)) }, run),
    histogram({ run }, args) {
      const name = string(args, 0);
      const unit = args[1] === undefined ? 'unspecified' : string(args, 1);
      if (!UNITS.includes(unit)) {
        const known = UNITS.map((each, i) => `${i === UNITS.length - 1 ? 'or ' : ''}'${each}'`).join(', ');
        throw new NativeError(`invalid histogram unit '${unit}', expected ${known}`);
      }
      return kinds.histogram.create({ run, metric: run.script.stats.histogram(name) }, run);
    },
  };
}

export interface MetricObject<T> {
  run: ScriptStream;
  metric: T;
}

export const counterMethods: Methods<MetricObject<Counter>> = {
  inc({ metric }) {
    metric.add();
    return NONE;
  },
  add({ metric }, args) {
    const amount = number(args, 0);
    if (!(amount >= 0)) throw new NativeError('counter add amount must be non-negative');
    metric.add(Math.trunc(amount));
    return NONE;
  },
  value: ({ metric }) => metric.value,
};

export const gaugeMethods: Methods<MetricObject<Gauge>> = {
  inc({ metric }) {
    metric.add(1);
    return NONE;
  },
  dec({ metric }) {
    metric.add(-1);
    return NONE;
  },
  add({ metric }, args) {
    metric.add(amount(args, 'add'));
    return NONE;
  },
  sub({ metric }, args) {
    metric.add(-amount(args, 'sub'));
    return NONE;
  },
  set({ metric }, args) {
    metric.set(amount(args, 'set'));
    return NONE;
  },
  value: ({ metric }) => metric.value,
};

function amount(args: Parameters<typeof number>[0], method: string): number {
  const value = number(args, 0);
  if (method === 'set' && !(value >= 0)) throw new NativeError('gauge set value must be non-negative');
  if (!(value >= 0)) throw new NativeError(`gauge ${method} amount must be non-negative`);
  return Math.trunc(value);
}

export const histogramMethods: Methods<MetricObject<Histogram>> = {
  recordValue({ metric }, args) {
    const value = number(args, 0);
    if (!(value >= 0)) throw new NativeError('histogram value must be non-negative');
    metric.observe(value);
    return NONE;
  },
};
