/** The message of a local reply; for gRPC clients a response of trailers only. Source: Envoy, `Utility::prepareLocalReply`; gRPC over HTTP/2. */
import { HeaderMap } from '../abi/index.ts';
import type { LocalReply } from '../filters/owner.ts';

const NOTHING = new Uint8Array(0);

export function localReplyMessage(reply: LocalReply, request: HeaderMap): { headers: HeaderMap; body: Uint8Array } {
  const grpc = isGrpc(request);
  const body = typeof reply.body === 'string' ? new TextEncoder().encode(reply.body) : reply.body;
  const headers = new HeaderMap();
  headers.append(':status', String(grpc ? 200 : reply.status));
  for (const [name, value] of reply.headers) headers.add(name, value);
  if (grpc) {
    headers.set('content-type', 'application/grpc');
    headers.set('grpc-status', String(reply.grpcStatus ?? GRPC_STATUSES[reply.status] ?? UNKNOWN));
    if (body.length > 0) headers.set('grpc-message', percentEncoded(body));
    headers.set('content-length', '0');
  } else {
    if (reply.status !== 204 && reply.status !== 304) headers.set('content-length', String(body.length));
    if (body.length > 0 && !headers.has('content-type')) headers.append('content-type', 'text/plain');
  }
  return { headers, body: grpc ? NOTHING : body };
}

/** What a server says of itself; filters of the response don't see it, as in Envoy. */
export function addServerHeaders(headers: HeaderMap): void {
  if (!headers.has('date')) headers.append('date', new Date().toUTCString());
  if (!headers.has('server')) headers.append('server', 'weir');
}

const UNKNOWN = 2;
/** Source: gRPC, "HTTP to gRPC status code mapping". */
const GRPC_STATUSES: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};

function isGrpc(request: HeaderMap): boolean {
  return /^application\/grpc(\+|$)/.test(request.get('content-type') ?? '');
}

/** Source: gRPC over HTTP/2, "Percent-Encoded". */
function percentEncoded(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    if (byte >= 0x20 && byte <= 0x7e && byte !== 0x25) text += String.fromCharCode(byte);
    else text += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}
