/** An access logger that is an extension: what it throws is counted and said, once in a while, and harms no stream. */
import type { AccessLogEntry, AccessLogger, Counter } from '../abi/index.ts';
import { messageOf } from '../errors.ts';
import type { AccessLogSink } from '../observability/access-log.ts';
import type { Logger } from '../observability/logger.ts';

/** Milliseconds between two lines about failures. */
const QUIET_TIME = 10_000;

export class ExtensionAccessLog implements AccessLogSink {
  readonly #extension: AccessLogger;
  readonly #name: string;
  readonly #failures: Counter;
  readonly #logger: Logger;
  #quietUntil = 0;

  constructor(extension: AccessLogger, name: string, failures: Counter, logger: Logger) {
    this.#extension = extension;
    this.#name = name;
    this.#failures = failures;
    this.#logger = logger;
  }

  write(entry: AccessLogEntry): void {
    try {
      this.#extension.log(entry);
    } catch (error) {
      this.#failures.add();
      const now = performance.now();
      if (now < this.#quietUntil) return;
      this.#quietUntil = now + QUIET_TIME;
      this.#logger.write('error', `access logger ${this.#name} failed: ${messageOf(error)}`, {
        listener: entry.info.listener,
      });
    }
  }

  close(): void {
    this.#extension.close?.();
  }
}
