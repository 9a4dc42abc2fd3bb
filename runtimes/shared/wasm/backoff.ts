/** When an instance that failed may be made anew: after a second, doubled with each failure, forgotten after a while without one. */
import { ExtensionError } from '../../../src/abi/index.ts';

/** Milliseconds. */
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;
const FORGIVEN_AFTER = 60_000;

export class Backoff {
  #failures = 0;
  #lastFailure = 0;
  #retryAt = 0;
  #reason = '';

  /** An instance failed. */
  failed(reason: string): void {
    const now = performance.now();
    this.#failures = now - this.#lastFailure > FORGIVEN_AFTER ? 1 : this.#failures + 1;
    this.#lastFailure = now;
    this.#reason = reason;
    // Workers do not all try at once.
    this.#retryAt = now + Math.min(FIRST_WAIT * 2 ** (this.#failures - 1), LONGEST_WAIT) * (1 + Math.random() / 10);
  }

  /** Whether it is too early for another instance. */
  get waits(): boolean {
    return performance.now() < this.#retryAt;
  }

  /** @throws ExtensionError while it is too early */
  check(): void {
    const wait = this.#retryAt - performance.now();
    if (wait <= 0) return;
    throw new ExtensionError(
      'threw',
      `the module failed and is started again in ${Math.ceil(wait)} ms; it failed by: ${this.#reason}`,
    );
  }
}
