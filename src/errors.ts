/** Weir's own errors: one class, one table of codes. */

/** Which side a failure comes from. */
export type ErrorSource = 'downstream' | 'upstream' | 'extension' | 'config';

export interface ErrorKind {
  source: ErrorSource;
  /** Whether the same request may be sent again without harm. */
  retryable: boolean;
  /** The status that a client gets for it, if it gets one. */
  status?: number;
  /** Envoy's response flag in the access log. */
  flag?: string;
}

/** Every code, with what it means for the client and the access log. Flags: Envoy's `%RESPONSE_FLAGS%`. */
export const ERROR_KINDS = {
  downstream_protocol_error: { source: 'downstream', retryable: false, status: 400, flag: 'DPE' },
  downstream_disconnected: { source: 'downstream', retryable: false, flag: 'DC' },
  downstream_timeout: { source: 'downstream', retryable: false, status: 408, flag: 'SI' },
  body_too_large: { source: 'downstream', retryable: false, status: 413 },
  route_not_found: { source: 'downstream', retryable: false, status: 404, flag: 'NR' },
  cluster_not_found: { source: 'config', retryable: false, status: 503, flag: 'NC' },
  no_healthy_upstream: { source: 'upstream', retryable: true, status: 503, flag: 'UH' },
  upstream_overflow: { source: 'upstream', retryable: true, status: 503, flag: 'UO' },
  upstream_connect_failed: { source: 'upstream', retryable: true, status: 503, flag: 'UF' },
  upstream_connect_timeout: { source: 'upstream', retryable: true, status: 504, flag: 'UF' },
  upstream_reset: { source: 'upstream', retryable: false, status: 502, flag: 'UC' },
  upstream_protocol_error: { source: 'upstream', retryable: false, status: 502, flag: 'UPE' },
  upstream_timeout: { source: 'upstream', retryable: false, status: 504, flag: 'UT' },
  response_too_large: { source: 'upstream', retryable: false, status: 500 },
  extension_failed: { source: 'extension', retryable: false, status: 500, flag: 'XF' },
  configuration_invalid: { source: 'config', retryable: false },
  listen_failed: { source: 'config', retryable: true },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

/** A failure with a code of the table. */
export class WeirError extends Error {
  override readonly name: string = 'WeirError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }

  /** Which side the failure comes from. */
  get source(): ErrorSource {
    return errorKind(this.code).source;
  }
  /** Whether the same request may be sent again without harm. */
  get retryable(): boolean {
    return errorKind(this.code).retryable;
  }
  /** The status that a client gets for it, if it gets one. */
  get status(): number | undefined {
    return errorKind(this.code).status;
  }
}

/** What the table says of a code. */
export function errorKind(code: ErrorCode): ErrorKind {
  return ERROR_KINDS[code];
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
