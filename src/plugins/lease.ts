/** One user's view of a plugin: what the runtime of a filter holds, in the thread where the plugins are managed or in another. */
import type { Plugin, PluginProcess, PluginSpec } from '../abi/index.ts';

/** Where runtimes get their plugins from. */
export interface PluginSource {
  /** Starts the program, or joins those who use it already. Never throws: what goes wrong shows in `started` and `problem`. */
  open(spec: PluginSpec): Plugin;
}

/** What is to know of a plugin; it goes from thread to thread. */
export interface PluginStatus {
  readonly processes: readonly PluginProcess[];
  readonly problem: string;
  /** `pending` until the first start has succeeded or failed. */
  readonly start: 'pending' | 'succeeded' | 'failed';
}

export class PluginLease implements Plugin {
  readonly started: Promise<void>;
  status: PluginStatus = { processes: [], problem: 'it is starting', start: 'pending' };
  readonly report: Plugin['report'];
  readonly #onClose: () => void;
  readonly #callbacks: (() => void)[] = [];
  #settle: ((failure: string | undefined) => void) | undefined;
  #closed = false;

  constructor(report: Plugin['report'], onClose: () => void) {
    this.report = report;
    this.#onClose = onClose;
    this.started = new Promise((resolve, reject) => {
      this.#settle = (failure) => (failure === undefined ? resolve() : reject(new Error(failure)));
    });
    // A user that does not wait for the start is told by `problem`.
    this.started.catch(() => {});
  }

  get processes(): readonly PluginProcess[] {
    return this.status.processes;
  }
  get problem(): string {
    return this.status.problem;
  }

  update(status: PluginStatus): void {
    const { start, problem } = status;
    this.status = status;
    if (start !== 'pending') {
      this.#settle?.(start === 'failed' ? problem : undefined);
      this.#settle = undefined;
    }
    for (const callback of this.#callbacks) callback();
  }

  onChange(callback: () => void): void {
    this.#callbacks.push(callback);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose();
  }
}
