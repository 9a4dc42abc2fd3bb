/** Access loggers: what becomes of a stream once it is over. */
import type { FilterHost } from './filter.ts';
import type { HeaderMap } from './headers.ts';
import type { DynamicMetadata, Json, StreamInfo } from './stream.ts';

/** A stream that has ended. It is the logger's for the time of the call only: what is wanted later must be copied. */
export interface AccessLogEntry {
  readonly info: StreamInfo;
  readonly requestHeaders: HeaderMap;
  readonly responseHeaders: HeaderMap | undefined;
  readonly metadata: DynamicMetadata;
}

export interface AccessLogger {
  /** When: after the last byte of a stream, or its reset. What it throws is counted and logged, and changes nothing else. */
  log(entry: AccessLogEntry): void;
  /** When: the configuration was replaced and the last stream that used it has ended. */
  close?(): void;
}

/** The fixed name that a module exports. @throws FilterConfigError when `config` is bad. */
export type CreateAccessLogger = (config: Json, host: FilterHost) => AccessLogger | Promise<AccessLogger>;
