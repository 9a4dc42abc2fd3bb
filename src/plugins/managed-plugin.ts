/** The processes of one plugin: started, watched, replaced when they end or do not answer, stopped in the end. */
import type { PluginProcess, PluginSpec } from '../abi/index.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { ChildPlugin } from './child-process.ts';
import type { Guardian } from './guardian.ts';
import type { PluginStatus } from './lease.ts';

/** A process that lived for so many milliseconds was well: the next one starts at once. */
const STABLE_TIME = 1000;
/** Milliseconds before the second start in a row; each further one waits twice as long, up to the last. */
const FIRST_PAUSE = 100;
const LAST_PAUSE = 10_000;
/** Health checks, and calls, in a row that a process may miss. */
const MAX_MISSED_CHECKS = 3;
const MAX_MISSED_CALLS = 10;
const HEALTH_TIMEOUT = 1000;

/** What the admin API shows. */
export interface PluginReport {
  readonly name: string;
  readonly file: string;
  readonly state: 'starting' | 'running' | 'restarting' | 'failed' | 'disabled';
  readonly problem: string;
  readonly restarts: number;
  readonly processes: readonly { pid: number; address: string; uptime_seconds: number }[];
}

interface Slot {
  child: ChildPlugin | undefined;
  /** Starts in a row that did not last. */
  attempts: number;
  /** Ends a pause early. */
  wake: () => void;
}

export class ManagedPlugin {
  readonly spec: PluginSpec;
  /** How many use it. */
  users = 0;
  readonly #guardian: Guardian;
  readonly #logger: Logger;
  readonly #nextId: () => number;
  readonly #onChange: () => void;
  readonly #slots: Slot[] = [];
  readonly #restarts;
  readonly #running;
  #health: NodeJS.Timeout | undefined;
  #start: PluginStatus['start'] = 'pending';
  #problem = 'it is starting';
  #restartCount = 0;
  #enabled = true;
  /** Changes when what runs is to stop: a loop that began before it ends. */
  #generation = 0;

  constructor(
    spec: PluginSpec,
    guardian: Guardian,
    logger: Logger,
    metrics: Metrics,
    nextId: () => number,
    onChange: () => void,
  ) {
    this.spec = spec;
    this.#guardian = guardian;
    this.#logger = logger;
    this.#nextId = nextId;
    this.#onChange = onChange;
    const labels = { plugin: spec.name };
    this.#restarts = metrics.counter(
      'weir_plugin_restarts_total',
      'Processes that ended and were started again.',
      labels,
    );
    this.#running = metrics.gauge('weir_plugin_processes', 'Processes that take calls.', labels);
    for (let i = 0; i < spec.processes; i++) this.#slots.push({ child: undefined, attempts: 0, wake: () => {} });
    for (const slot of this.#slots) void this.#run(slot);
    this.#health = setInterval(() => void this.#checkHealth(), spec.healthInterval);
    this.#health.unref();
  }

  get status(): PluginStatus {
    const processes = this.#children.map(({ id, network, address }): PluginProcess => ({ id, network, address }));
    return { processes, problem: processes.length > 0 ? '' : this.#problem, start: this.#start };
  }

  get report(): PluginReport {
    const { name, file, maxRestarts } = this.spec;
    const children = this.#children;
    const gaveUp = maxRestarts > 0 && this.#slots.every(({ attempts }) => attempts >= maxRestarts);
    const without = gaveUp ? 'failed' : this.#start === 'pending' ? 'starting' : 'restarting';
    return {
      name,
      file,
      state: this.#enabled ? (children.length > 0 ? 'running' : without) : 'disabled',
      problem: this.status.problem,
      restarts: this.#restartCount,
      processes: children.map(({ pid, address, startedAt }) => ({
        pid,
        address,
        uptime_seconds: Math.round((Date.now() - startedAt) / 1000),
      })),
    };
  }

  get #children(): ChildPlugin[] {
    return this.#slots.flatMap(({ child }) => child ?? []);
  }

  /** A call to a process was answered in its time, or not. */
  noteCall(process: number, answered: boolean): void {
    const child = this.#children.find(({ id }) => id === process);
    if (child === undefined) return;
    child.missedCalls = answered ? 0 : child.missedCalls + 1;
    if (child.missedCalls >= MAX_MISSED_CALLS) this.#giveUp(child, `${MAX_MISSED_CALLS} calls in a row had no answer`);
  }

  /** Puts new processes in the place of the running ones, each first ready and then used. @throws Error when one does not start */
  async restart(): Promise<void> {
    for (const slot of this.#slots) {
      const old = slot.child;
      if (old === undefined) {
        slot.attempts = 0;
        slot.wake();
        continue;
      }
      const child = await this.#spawn();
      if (slot.child !== old) {
        await child.stop();
        continue;
      }
      slot.child = child;
      this.#publish();
      void this.#retire(old);
    }
  }

  /** Stops it while it stays configured: calls fail; or takes it into service again. */
  async setEnabled(enabled: boolean): Promise<void> {
    if (enabled === this.#enabled) return;
    this.#enabled = enabled;
    if (enabled) {
      for (const slot of this.#slots) {
        slot.attempts = 0;
        void this.#run(slot);
      }
      return;
    }
    this.#problem = 'it was disabled by the admin API';
    this.#generation++;
    await this.#stopAll();
  }

  async close(): Promise<void> {
    this.#generation++;
    clearInterval(this.#health);
    await this.#stopAll();
  }

  async #stopAll(): Promise<void> {
    const children = this.#children;
    for (const slot of this.#slots) {
      slot.child = undefined;
      slot.wake();
    }
    this.#publish();
    await Promise.all(children.map((child) => child.stop()));
  }

  /** Keeps one process running for as long as it is wanted. */
  async #run(slot: Slot): Promise<void> {
    const generation = this.#generation;
    while (generation === this.#generation) {
      try {
        const child = await this.#spawn();
        if (generation !== this.#generation) return await child.stop();
        slot.child = child;
        this.#start = 'succeeded';
        this.#publish();
        const end = await this.#untilEnd(slot);
        if (end === undefined || generation !== this.#generation) return;
        slot.attempts = end.lived >= STABLE_TIME ? 0 : slot.attempts + 1;
        this.#problem = `it ended: ${end.reason}`;
      } catch (error) {
        if (generation !== this.#generation) return;
        slot.attempts++;
        this.#problem = `it did not start: ${messageOf(error)}`;
        if (this.#start === 'pending') this.#start = 'failed';
      }
      const { maxRestarts } = this.spec;
      const gaveUp = maxRestarts > 0 && slot.attempts >= maxRestarts;
      this.#logger.write('error', `plugin ${this.spec.name}: ${this.#problem}${gaveUp ? '; Weir gives up' : ''}`);
      this.#publish();
      await this.#pause(slot, gaveUp ? undefined : pauseAfter(slot.attempts));
      if (generation !== this.#generation) return;
      this.#restartCount++;
      this.#restarts.add();
    }
  }

  /** Waits for the end of the slot's process, also when another one takes its place; `undefined` when it is stopped on purpose. */
  async #untilEnd(slot: Slot): Promise<{ reason: string; lived: number } | undefined> {
    for (;;) {
      const { child } = slot;
      if (child === undefined) return undefined;
      const reason = await child.ended;
      if (slot.child !== child) continue;
      slot.child = undefined;
      return { reason, lived: Date.now() - child.startedAt };
    }
  }

  async #spawn(): Promise<ChildPlugin> {
    const child = new ChildPlugin(this.#nextId(), this.spec, this.#guardian, this.#logger);
    await child.ready();
    this.#logger.write('info', `plugin ${this.spec.name} runs: process ${child.pid} on ${child.address}`);
    return child;
  }

  async #retire(child: ChildPlugin): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.spec.drainTimeout));
    await child.stop();
  }

  async #checkHealth(): Promise<void> {
    for (const child of this.#children) {
      const healthy = await child.isHealthy(HEALTH_TIMEOUT);
      child.missedChecks = healthy ? 0 : child.missedChecks + 1;
      if (child.missedChecks >= MAX_MISSED_CHECKS) this.#giveUp(child, `${MAX_MISSED_CHECKS} health checks failed`);
    }
  }

  #giveUp(child: ChildPlugin, why: string): void {
    if (child.hasEnded) return;
    this.#logger.write('error', `plugin ${this.spec.name}: process ${child.pid} is killed: ${why}`);
    child.kill();
  }

  /** Waits so long, or until somebody asks for another start. */
  #pause(slot: Slot, time: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = time === undefined ? undefined : setTimeout(resolve, time);
      slot.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #publish(): void {
    this.#running.set(this.#children.length);
    this.#onChange();
  }
}

/** With a jitter of a fifth, so that many plugins that failed together do not start together. */
function pauseAfter(attempts: number): number {
  if (attempts === 0) return 0;
  return Math.min(LAST_PAUSE, FIRST_PAUSE * 2 ** (attempts - 1)) * (0.9 + Math.random() / 5);
}
