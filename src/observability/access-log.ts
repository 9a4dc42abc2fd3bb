/** The access log: one line per stream, formatted as JSON or by Envoy's command operators, written behind the requests' backs. */
import { pino } from 'pino';
import type { AccessLogEntry, Counter, HeaderMap } from '../abi/index.ts';

/** Where finished streams go. */
export interface AccessLogSink {
  write(entry: AccessLogEntry): void;
  close(): void;
}

type Part = (entry: AccessLogEntry) => string;

/** Bytes that may wait for a slow disk; lines beyond are dropped and counted. */
const MAX_WAITING = 8 * 1024 * 1024;
const BATCH = 8 * 1024;

/** `%OPERATOR(argument):length%`. Source: Envoy, "Access logging", command operators. */
const OPERATORS: Readonly<Record<string, (argument: string) => Part>> = {
  START_TIME:
    () =>
    ({ info }) =>
      new Date(info.startTime).toISOString(),
  PROTOCOL:
    () =>
    ({ info }) =>
      info.protocol,
  RESPONSE_CODE:
    () =>
    ({ info }) =>
      String(info.responseCode),
  RESPONSE_CODE_DETAILS:
    () =>
    ({ info }) =>
      info.responseCodeDetails || '-',
  RESPONSE_FLAGS:
    () =>
    ({ info }) =>
      info.responseFlags.join(',') || '-',
  BYTES_RECEIVED:
    () =>
    ({ info }) =>
      String(info.bytesReceived),
  BYTES_SENT:
    () =>
    ({ info }) =>
      String(info.bytesSent),
  DURATION:
    () =>
    ({ info }) =>
      String(Math.round(info.duration)),
  UPSTREAM_HOST:
    () =>
    ({ info }) =>
      info.endpoint || '-',
  UPSTREAM_CLUSTER:
    () =>
    ({ info }) =>
      info.cluster || '-',
  ROUTE_NAME:
    () =>
    ({ info }) =>
      info.route || '-',
  VIRTUAL_HOST_NAME:
    () =>
    ({ info }) =>
      info.virtualHost || '-',
  DOWNSTREAM_REMOTE_ADDRESS:
    () =>
    ({ info }) =>
      info.downstreamRemoteAddress,
  DOWNSTREAM_LOCAL_ADDRESS:
    () =>
    ({ info }) =>
      info.downstreamLocalAddress,
  REQUESTED_SERVER_NAME:
    () =>
    ({ info }) =>
      info.tls?.serverName || '-',
  DOWNSTREAM_TLS_VERSION:
    () =>
    ({ info }) =>
      info.tls?.version || '-',
  DOWNSTREAM_TLS_CIPHER:
    () =>
    ({ info }) =>
      info.tls?.cipher || '-',
  DOWNSTREAM_PEER_SUBJECT:
    () =>
    ({ info }) =>
      info.tls?.peerCertificate?.subject || '-',
  STREAM_ID:
    () =>
    ({ info }) =>
      String(info.id),
  REQ: (argument) => headerPart(argument, (entry) => entry.requestHeaders),
  RESP: (argument) => headerPart(argument, (entry) => entry.responseHeaders),
  DYNAMIC_METADATA: (argument) => {
    const [namespace = '', ...keys] = argument.split(':');
    return ({ metadata }) => {
      let value: unknown = metadata.get(namespace);
      for (const key of keys) value = (value as Record<string, unknown> | undefined)?.[key];
      return value === undefined ? '-' : typeof value === 'string' ? value : JSON.stringify(value);
    };
  },
};

/** `NAME` or `NAME?OTHER`: the first header that is there. */
function headerPart(argument: string, of: (entry: AccessLogEntry) => HeaderMap | undefined): Part {
  const names = argument.toLowerCase().split('?');
  return (entry) => {
    const headers = of(entry);
    for (const name of names) {
      const value = headers?.get(name);
      if (value !== undefined && value !== '') return value;
    }
    return '-';
  };
}

/**
 * Compiles a format: `json`, or text with operators.
 * @throws Error that names an operator that is unknown.
 */
export function compileAccessLogFormat(format: string): (entry: AccessLogEntry) => string {
  if (format === 'json') return formatJson;
  const parts: Part[] = [];
  let end = 0;
  for (const match of format.matchAll(/%([A-Z_]+)(?:\(([^)]*)\))?(?::([0-9]+))?%/g)) {
    const [whole, name = '', argument = '', length] = match;
    const make = OPERATORS[name];
    if (make === undefined) {
      throw new Error(`unknown access log operator %${name}%; known: ${Object.keys(OPERATORS).join(', ')}`);
    }
    const text = format.slice(end, match.index);
    if (text !== '') parts.push(() => text);
    const part = make(argument);
    parts.push(length === undefined ? escaped(part) : (entry) => escaped(part)(entry).slice(0, Number(length)));
    end = match.index + whole.length;
  }
  const tail = format.slice(end).replace(/\n$/, '');
  return (entry) => `${parts.map((part) => part(entry)).join('')}${tail}\n`;
}

/** A client's header must not be able to forge a line. */
function escaped(part: Part): Part {
  return (entry) =>
    part(entry).replace(/[\x00-\x1f\x7f"\\]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function formatJson({ info, requestHeaders }: AccessLogEntry): string {
  return `${JSON.stringify({
    time: new Date(info.startTime).toISOString(),
    listener: info.listener,
    client: info.downstreamRemoteAddress,
    protocol: info.protocol,
    method: requestHeaders.get(':method'),
    authority: requestHeaders.get(':authority'),
    path: requestHeaders.get(':path'),
    status: info.responseCode,
    flags: info.responseFlags.join(',') || '-',
    details: info.responseCodeDetails,
    received: info.bytesReceived,
    sent: info.bytesSent,
    duration_ms: Math.round(info.duration * 1000) / 1000,
    route: info.route,
    cluster: info.cluster,
    endpoint: info.endpoint,
  })}\n`;
}

/** One log file. Lines are handed to the system in batches and after at most 100 ms. */
export class AccessLog implements AccessLogSink {
  readonly #format: (entry: AccessLogEntry) => string;
  readonly #destination: ReturnType<typeof pino.destination>;
  readonly #flushing: NodeJS.Timeout;

  /** @param dropped counts lines that were lost because the disk is too slow or full. */
  constructor(path: string, format: string, dropped: Counter) {
    this.#format = compileAccessLogFormat(format);
    const target =
      path === '/dev/stdout' ? { fd: 1 } : path === '/dev/stderr' ? { fd: 2 } : { dest: path, mkdir: true };
    this.#destination = pino.destination({ ...target, sync: false, minLength: BATCH, maxLength: MAX_WAITING });
    this.#destination.on('drop', () => dropped.add());
    this.#destination.on('error', () => dropped.add());
    this.#flushing = setInterval(() => this.#destination.flush(), 100);
    this.#flushing.unref();
  }

  write(entry: AccessLogEntry): void {
    this.#destination.write(this.#format(entry));
  }

  /** Writes what waits and closes the file; nothing may be written after it. */
  close(): void {
    clearInterval(this.#flushing);
    this.#destination.end();
  }
}
