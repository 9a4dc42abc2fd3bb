/** Counters, gauges and histograms. A metric's number says its kind in its last two bits, as in Envoy. */
import type { Counter, Gauge, Histogram } from '../../../src/abi/index.ts';
import { MetricType, Status } from '../constants.ts';
import type { Machine } from '../machine.ts';
import type { HostFunctions } from './index.ts';

const KIND_BITS = 2;
/** More than any module has; bounds what a loop of definitions can do. */
const MAX_METRICS = 4096;

export function metricFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  const counters = new Map<number, Counter>();
  const gauges = new Map<number, Gauge>();
  const histograms = new Map<number, Histogram>();
  const next = [1, 1, 1];
  const define = (kind: number, name: string): number => {
    const id = ((next[kind] as number) << KIND_BITS) | kind;
    const { host } = (machine.effective ?? machine.roots[0])?.root.plugin ?? {};
    if (host === undefined) return 0;
    if (kind === MetricType.Counter) counters.set(id, host.counter(name));
    else if (kind === MetricType.Gauge) gauges.set(id, host.gauge(name));
    else histograms.set(id, host.histogram(name));
    (next[kind] as number)++;
    return id;
  };
  return {
    proxy_define_metric(kind, namePointer, nameSize, idTo) {
      if (!memory.holds(namePointer, nameSize) || !memory.holds(idTo, 4)) return Status.InvalidMemoryAccess;
      if (kind >>> 0 > MetricType.Histogram) return Status.BadArgument;
      if (counters.size + gauges.size + histograms.size >= MAX_METRICS) return Status.InternalFailure;
      const id = define(kind, metricName(memory.text(namePointer, nameSize)));
      if (id === 0) return Status.InternalFailure;
      memory.writeU32(idTo, id);
      return Status.Ok;
    },
    proxy_increment_metric(id, delta) {
      const kind = id & 3;
      if (kind > MetricType.Gauge) return Status.BadArgument;
      const metric = kind === MetricType.Counter ? counters.get(id) : gauges.get(id);
      if (kind === MetricType.Counter && delta < 0n) return Status.BadArgument;
      if (metric === undefined) return Status.NotFound;
      metric.add(Number(delta));
      return Status.Ok;
    },
    proxy_record_metric(id, value) {
      const amount = Number(BigInt.asUintN(64, value));
      switch (id & 3) {
        case MetricType.Counter:
          if (!counters.has(id)) return Status.NotFound;
          counters.get(id)?.add(amount);
          return Status.Ok;
        case MetricType.Gauge:
          if (!gauges.has(id)) return Status.NotFound;
          gauges.get(id)?.set(amount);
          return Status.Ok;
        case MetricType.Histogram:
          if (!histograms.has(id)) return Status.NotFound;
          histograms.get(id)?.observe(amount);
          return Status.Ok;
        default:
          return Status.NotFound;
      }
    },
    proxy_get_metric(id, valueTo) {
      const kind = id & 3;
      if (kind > MetricType.Gauge) return Status.BadArgument;
      const metric = kind === MetricType.Counter ? counters.get(id) : gauges.get(id);
      if (metric === undefined) return Status.NotFound;
      const value = BigInt.asUintN(64, BigInt(Math.trunc(metric.value)));
      return memory.writeU64(valueTo, value) ? Status.Ok : Status.InvalidMemoryAccess;
    },
  };
}

/** Weir's names are Prometheus's; Envoy's prefix tells a module's metrics from the others. */
function metricName(name: string): string {
  return `wasmcustom_${name.toLowerCase().replace(/[^a-z0-9_]+/g, '_')}`;
}
