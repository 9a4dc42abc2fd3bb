/** Heads and chunks of HTTP/1.1 messages as text, ready to be written as latin-1. Source: RFC 9112. */
import type { HeaderMap } from '../abi/index.ts';

const COLON = 58;

/** How the end of a body is told: by its length (or there is none), by chunked coding, or by the end of the connection. */
export type BodyFraming = 'length' | 'chunked' | 'close';

/**
 * A head from its start line and fields; pseudo-headers are left out.
 * @param startLine without its CRLF.
 * @param connection what to add: `''`, or whole field lines that end in CRLF.
 */
export function serializeHead(startLine: string, headers: HeaderMap, connection: string): string {
  let text = `${startLine}\r\n`;
  const size = headers.size;
  for (let i = 0; i < size; i++) {
    const name = headers.nameAt(i);
    if (name.charCodeAt(0) !== COLON) text += `${name}: ${headers.valueAt(i)}\r\n`;
  }
  return `${text + connection}\r\n`;
}

/** The head of a request: its start line and Host come from the pseudo-headers. `connection`: as for `serializeHead`. */
export function serializeRequestHead(headers: HeaderMap, connection: string): string {
  const method = headers.get(':method');
  const authority = headers.get(':authority');
  const target = method === 'CONNECT' ? authority : headers.get(':path');
  return serializeHead(`${method} ${target} HTTP/1.1\r\nhost: ${authority}`, headers, connection);
}

export function serializeTrailers(trailers: HeaderMap | undefined): string {
  return trailers === undefined ? '0\r\n\r\n' : serializeHead('0', trailers, '');
}

/** The reason phrases of RFC 9110, section 15, and a few of later ones. */
const REASONS: Readonly<Record<number, string>> = {
  100: 'Continue',
  101: 'Switching Protocols',
  103: 'Early Hints',
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  203: 'Non-Authoritative Information',
  204: 'No Content',
  205: 'Reset Content',
  206: 'Partial Content',
  300: 'Multiple Choices',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  407: 'Proxy Authentication Required',
  408: 'Request Timeout',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length Required',
  412: 'Precondition Failed',
  413: 'Payload Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  425: 'Too Early',
  426: 'Upgrade Required',
  428: 'Precondition Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
};

/** The usual reason phrase; `Unknown` for others, as in Envoy. */
export function reasonPhrase(status: number): string {
  return REASONS[status] ?? 'Unknown';
}
