/** The supervisor's end of one worker: its messages as promises, its heartbeat, its metrics. */
import { Worker } from 'node:worker_threads';
import type { InspectedState } from '../admin/admin-server.ts';
import type { Diagnostic } from '../config/diagnostics.ts';
import type { Config } from '../config/schema.ts';
import type { MetricDescriptor, MetricsReader } from '../observability/metrics.ts';
import type { PluginStatus } from '../plugins/lease.ts';
import type { PluginSet } from '../plugins/plugin-set.ts';
import type { Directories, FromWorker, ToWorker, WorkerData } from './messages.ts';
import { PluginUser } from './plugin-relay.ts';

export type PrepareResult = { files: readonly string[] } | { faults: readonly Diagnostic[] };

/** While a configuration is prepared, modules load and compile: the watchdog gives them this long. */
const PREPARE_GRACE = 30_000;

export class WorkerHandle implements MetricsReader {
  readonly index: number;
  pages: readonly Float64Array[] = [];
  descriptors: readonly MetricDescriptor[] = [];
  /** What ended it, once it has ended. */
  ended: string | undefined;
  readonly #worker: Worker;
  readonly #heartbeat: Int32Array;
  readonly #plugins: PluginUser;
  readonly #waiting = new Map<string, (message: FromWorker) => void>();
  #filterNames: ReadonlyMap<number, string> = new Map();
  #lastBeat = 0;
  #lastBeatAt = performance.now();
  #busyPreparing = true;
  #nextInspection = 1;

  /** @param onEnd called once, with the reason. */
  constructor(
    url: URL,
    index: number,
    config: Config,
    sharesAddresses: boolean,
    sharedMemory: SharedArrayBuffer,
    ticketKeys: Uint8Array,
    plugins: PluginSet,
    onEnd: (worker: WorkerHandle, reason: string) => void,
  ) {
    this.index = index;
    this.#plugins = new PluginUser(plugins, (lease: number, status: PluginStatus) =>
      this.#send({ type: 'plugin', lease, status }),
    );
    const shared = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);
    this.#heartbeat = new Int32Array(shared);
    const data: WorkerData = { shared, log: config.log, sharesAddresses, sharedMemory, ticketKeys };
    this.#worker = new Worker(url, {
      workerData: data,
      // By the first a changed module takes the place of the old one and leaves nothing of it behind; see runtimes/module/loader.ts.
      execArgv: [...process.execArgv, '--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(config.worker_memory / 1024 ** 2) },
    });
    this.#worker.on('message', (message: FromWorker) => this.#onMessage(message));
    let failure = '';
    this.#worker.on('error', (error: Error & { code?: string }) => {
      failure = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'out of memory' : `${error.name}: ${error.message}`;
    });
    this.#worker.on('exit', (code) => {
      this.ended ??= failure || `exit code ${code}`;
      const reason = this.ended;
      for (const settle of this.#waiting.values())
        settle({ type: 'failed', version: 0, faults: [{ message: `a worker ended: ${reason}` }] });
      this.#waiting.clear();
      this.#plugins.close();
      onEnd(this, reason);
    });
  }

  /** The filter that it is in, as `listener/filter`, or `undefined`. */
  get runningFilter(): string | undefined {
    return this.#filterNames.get(Atomics.load(this.#heartbeat, 1));
  }

  async prepare(version: number, config: Config, directories: Directories): Promise<PrepareResult> {
    this.#busyPreparing = true;
    const answer = await this.#ask(`prepared ${version}`, { type: 'prepare', version, config, directories });
    this.#busyPreparing = false;
    this.#lastBeatAt = performance.now();
    if (answer.type === 'prepared') return { files: answer.files };
    return { faults: answer.type === 'failed' ? answer.faults : [] };
  }

  /** Resolves to the faults, none when the configuration runs now. */
  async commit(version: number): Promise<readonly Diagnostic[]> {
    const answer = await this.#ask(`committed ${version}`, { type: 'commit', version });
    return answer.type === 'failed' ? answer.faults : [];
  }

  discard(version: number): void {
    this.#send({ type: 'discard', version });
  }

  drain(timeout: number): void {
    this.#send({ type: 'drain', timeout });
  }

  /** What it says of itself, or `undefined` when it does not answer within a second. */
  async inspect(): Promise<InspectedState | undefined> {
    const id = this.#nextInspection++;
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, 1000, undefined).unref());
    const answer = await Promise.race([this.#ask(`inspected ${id}`, { type: 'inspect', id }), late]);
    return answer?.type === 'inspected' ? answer.state : undefined;
  }

  /** Ends it at once. */
  terminate(reason: string): void {
    this.ended ??= reason;
    void this.#worker.terminate();
  }

  /** Milliseconds since its event loop was last seen alive, less the grace for loading. */
  stuckFor(now: number): number {
    const beat = Atomics.load(this.#heartbeat, 0);
    if (beat !== this.#lastBeat) {
      this.#lastBeat = beat;
      this.#lastBeatAt = now;
    }
    return now - this.#lastBeatAt - (this.#busyPreparing ? PREPARE_GRACE : 0);
  }

  #ask(key: string, message: ToWorker): Promise<FromWorker> {
    return new Promise((resolve) => {
      if (this.ended !== undefined) {
        resolve({ type: 'failed', version: 0, faults: [{ message: `a worker ended: ${this.ended}` }] });
        return;
      }
      this.#waiting.set(key, resolve);
      this.#send(message);
    });
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #onMessage(message: FromWorker): void {
    switch (message.type) {
      case 'metrics':
        this.pages = message.pages;
        this.descriptors = message.descriptors;
        break;
      case 'filters':
        this.#filterNames = message.names;
        break;
      case 'prepared':
      case 'committed':
        this.#settle(`${message.type} ${message.version}`, message);
        break;
      case 'open-plugin':
      case 'report-call':
      case 'close-plugin':
        this.#plugins.onMessage(message);
        break;
      case 'inspected':
        this.#settle(`inspected ${message.id}`, message);
        break;
      case 'failed':
        this.#settle(`prepared ${message.version}`, message);
        this.#settle(`committed ${message.version}`, message);
        break;
    }
  }

  #settle(key: string, message: FromWorker): void {
    const settle = this.#waiting.get(key);
    this.#waiting.delete(key);
    settle?.(message);
  }
}
