/** Weir's log: pino, as JSON lines or as text for people, to standard error. */
import { pino } from 'pino';
import type { LogLevel as AbiLogLevel, Log } from '../abi/index.ts';

export type LogLevel = AbiLogLevel | 'silent';
export type LogFormat = 'text' | 'json';

/** Fields that go with a line, e.g. `{ filter: 'auth.lua', stream: 12 }`. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A log whose lines may carry fields. */
export interface Logger {
  isEnabled(level: LogLevel): boolean;
  write(level: LogLevel, message: string, fields?: LogFields): void;
}

/** A log on file descriptor `fd` (2: standard error). A line is written before the call returns. */
export function createLogger(level: LogLevel, format: LogFormat, fd = 2): Logger {
  const destination = pino.destination({ fd, sync: true });
  const options = {
    level,
    customLevels: { critical: 60 },
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const log =
    format === 'json'
      ? pino(options, destination)
      : pino(options, { write: (line) => destination.write(asText(line)) });
  return {
    isEnabled: (asked) => log.isLevelEnabled(asked),
    write: (asked, message, fields) => {
      if (asked !== 'silent') log[asked](fields ?? {}, message);
    },
  };
}

/** `2026-11-23T12:00:00.000Z info  message key=value`, from pino's JSON line. */
function asText(line: string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const extra = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : value}`,
  );
  // Fields go in front of a filter's own message: that one may be anything and ends the line.
  const place = extra.length === 0 ? '' : `[${extra.join(' ')}] `;
  return `${time} ${String(level).padEnd(8)} ${place}${msg ?? ''}\n`;
}

/** A filter's view of the log. */
export class FieldLog implements Log {
  readonly #logger: Logger;
  readonly #fields: LogFields;

  constructor(logger: Logger, fields: LogFields) {
    this.#logger = logger;
    this.#fields = fields;
  }

  isEnabled(level: AbiLogLevel): boolean {
    return this.#logger.isEnabled(level);
  }
  trace(message: string): void {
    if (this.#logger.isEnabled('trace')) this.#logger.write('trace', message, this.#fields);
  }
  debug(message: string): void {
    if (this.#logger.isEnabled('debug')) this.#logger.write('debug', message, this.#fields);
  }
  info(message: string): void {
    this.#logger.write('info', message, this.#fields);
  }
  warn(message: string): void {
    this.#logger.write('warn', message, this.#fields);
  }
  error(message: string): void {
    this.#logger.write('error', message, this.#fields);
  }
  critical(message: string): void {
    this.#logger.write('critical', message, this.#fields);
  }
}
