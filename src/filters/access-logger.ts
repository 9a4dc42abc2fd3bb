/** An access logger that is an extension: what it throws is counted and said, once in a while, and harms no stream. */
import { type AccessLogEntry, type AccessLogger, type Counter, occasionally } from '../abi/index.ts';
import { messageOf } from '../errors.ts';
import type { AccessLogSink } from '../observability/access-log.ts';
import type { Logger } from '../observability/logger.ts';

export class ExtensionAccessLog implements AccessLogSink {
  readonly #extension: AccessLogger;
  readonly #failures: Counter;
  readonly #tell: (message: string) => void;

  /** @param listener whose streams it logs. */
  constructor(extension: AccessLogger, name: string, listener: string, failures: Counter, logger: Logger) {
    this.#extension = extension;
    this.#failures = failures;
    this.#tell = occasionally((why) => logger.write('error', `access logger ${name} failed: ${why}`, { listener }));
  }

  write(entry: AccessLogEntry): void {
    try {
      this.#extension.log(entry);
    } catch (error) {
      this.#failures.add();
      this.#tell(messageOf(error));
    }
  }

  close(): void {
    this.#extension.close?.();
  }
}
