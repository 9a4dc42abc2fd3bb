/** One config entry of a filter chain: its factory, its policy and its figures. */
import type { Counter, FilterPhase, Histogram, StreamFilterFactory } from '../abi/index.ts';
import type { FilterConfig } from '../config/schema.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { compileMatch, type RequestMatcher } from '../routing/matchers.ts';

/** Seconds: hooks are short. */
const HOOK_BUCKETS = [0.000001, 0.000005, 0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 1];
/**
 * So many tripped budgets in so many milliseconds take the filter out of service for as long. One that took long before it ended counts
 * more: other streams of the worker waited meanwhile.
 */
const BREAKER_TRIPS = 5;
const BREAKER_WINDOW = 10_000;
/** Milliseconds that count as a further trip. */
const TRIP_TIME = 10;

export class FilterEntry {
  /** Unique in its data plane, from 1: what the watchdog names when a worker is stuck. */
  readonly id: number;
  readonly name: string;
  readonly runtime: string;
  readonly factory: StreamFilterFactory;
  readonly phase: FilterPhase;
  readonly failOpen: boolean;
  readonly errorStatus: number;
  readonly errorBody: string;
  /** Milliseconds that a `Stop` or a promise may hold a stream. */
  readonly timeLimit: number;
  readonly matches: RequestMatcher | undefined;
  readonly logger: Logger;
  readonly errors: Counter;
  readonly replies: Counter;
  readonly duration: Histogram;
  readonly #broken: Counter;
  #trips = 0;
  #windowStart = 0;
  #brokenUntil = 0;

  /** @throws Error when the entry's `match:` is malformed. */
  constructor(
    id: number,
    name: string,
    runtime: string,
    config: FilterConfig,
    listener: string,
    factory: StreamFilterFactory,
    logger: Logger,
    metrics: Metrics,
  ) {
    this.id = id;
    this.name = name;
    this.runtime = runtime;
    this.factory = factory;
    this.phase = config.phase ?? factory.phase ?? 'after-route';
    const { failure } = factory;
    this.failOpen = (config.on_error ?? failure?.onError) === 'fail_open';
    this.errorStatus = config.error_status ?? failure?.status ?? 500;
    this.errorBody = failure?.body ?? 'a filter failed\n';
    this.timeLimit = config.limits.time;
    this.matches = config.match === undefined ? undefined : compileMatch(config.match);
    this.logger = logger;
    const labels = { listener, filter: name };
    this.errors = metrics.counter('weir_filter_errors_total', 'Hooks that failed or broke a budget.', labels);
    this.replies = metrics.counter('weir_filter_local_replies_total', 'Requests answered by a filter.', labels);
    this.duration = metrics.histogram('weir_filter_hook_seconds', 'Time in a hook.', labels, HOOK_BUCKETS);
    this.#broken = metrics.counter(
      'weir_filter_circuit_breaks_total',
      'Times the filter was taken out of service.',
      labels,
    );
  }

  /** Whether the filter broke its budget so often that it gets its policy without being called. */
  isBroken(now: number): boolean {
    return now < this.#brokenUntil;
  }

  /** The filter broke a budget. @param took milliseconds of the hook that did */
  trip(now: number, took: number): void {
    if (now - this.#windowStart > BREAKER_WINDOW) {
      this.#windowStart = now;
      this.#trips = 0;
    }
    this.#trips += 1 + took / TRIP_TIME;
    if (this.#trips < BREAKER_TRIPS) return;
    this.#trips = 0;
    this.#brokenUntil = now + BREAKER_WINDOW;
    this.#broken.add();
    this.logger.write(
      'error',
      `filter broke its budget too often, or for too long: out of service for ${BREAKER_WINDOW / 1000} s`,
      {
        filter: this.name,
      },
    );
  }
}
