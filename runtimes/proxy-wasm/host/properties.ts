/** Properties by path. Names and encodings are Envoy's attributes. Source: Envoy, "Attributes"; what 1.40 answers where was observed. */
import type { HeaderMap, Json } from '../../../src/abi/index.ts';
import { Status } from '../constants.ts';
import type { Context, StreamContext } from '../context.ts';
import type { Machine } from '../machine.ts';
import { byteSize, encodePairs } from '../pairs.ts';
import type { HostFunctions } from './index.ts';

/** Filter state that modules set has this in front of its name. */
const STATE_PREFIX = 'wasm.';
/** What a property may be; a status says why there is none. */
type Property = string | Uint8Array | bigint | boolean | HeaderMap | Readonly<Record<string, Json>>;
const NO_HEADERS = {};
type Found = Property | undefined | typeof NO_VALUE;
/** There is something of that name, but it is no value by itself. */
const NO_VALUE = Symbol('no value');

export function propertyFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  return {
    proxy_get_property(pathPointer, pathSize, pointerTo, sizeTo) {
      if (!memory.holds(pathPointer, pathSize)) return Status.InvalidMemoryAccess;
      const path = memory.text(pathPointer, pathSize);
      const found = find(machine.effective, path.endsWith('\0') ? path.slice(0, -1) : path);
      if (found === undefined) return Status.NotFound;
      if (found === NO_VALUE) return Status.SerializationFailure;
      const bytes = serialize(found);
      machine.charge(bytes.length);
      return memory.give(bytes, pointerTo, sizeTo) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_set_property(pathPointer, pathSize, valuePointer, valueSize) {
      if (!memory.holds(pathPointer, pathSize) || !memory.holds(valuePointer, valueSize))
        return Status.InvalidMemoryAccess;
      const context = machine.effective;
      if (context === undefined || !('stream' in context)) return Status.NotFound;
      machine.charge(valueSize >>> 0);
      context.stream.filterState.set(
        STATE_PREFIX + memory.text(pathPointer, pathSize),
        memory.copy(valuePointer, valueSize),
      );
      return Status.Ok;
    },
  };
}

/** A property as a value of expressions; `path` has NUL between its parts. */
export function attributeOf(context: Context | undefined, path: string): Property | undefined {
  const found = find(context, path);
  return found === NO_VALUE ? undefined : found;
}

function serialize(value: Property): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string') return Buffer.from(value, 'latin1');
  if (typeof value === 'boolean') return Uint8Array.of(value ? 1 : 0);
  if (typeof value === 'bigint') {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  }
  if (Symbol.iterator in value) return encodePairs(value as HeaderMap);
  const pairs = Object.entries(value).map(([key, item]): [string, string] => [latin1(key), latin1(jsonText(item))]);
  return encodePairs(pairs);
}

/** A value of metadata as it stands within a map or alone. */
function jsonText(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function find(context: Context | undefined, path: string): Found {
  if (path === '') return NO_VALUE;
  const [first = '', second, ...rest] = path.split('\0');
  const plugin = context?.root.plugin;
  switch (first) {
    case 'plugin_name':
      return plugin === undefined ? undefined : latin1(plugin.name);
    case 'plugin_root_id':
      return plugin === undefined ? '' : latin1(plugin.rootId);
    case 'plugin_vm_id':
      return plugin === undefined ? '' : latin1(plugin.vmId);
    case 'node':
      return node(second, rest);
  }
  if (context === undefined || !('stream' in context)) return undefined;
  const found = ofStream(context, first, second, rest);
  if (found !== undefined) return found;
  const state = context.stream.filterState.get(STATE_PREFIX + path);
  return state instanceof Uint8Array ? state : undefined;
}

/** This process has no node of a control plane. */
function node(name: string | undefined, rest: readonly string[]): Found {
  if (name === undefined) return NO_VALUE;
  if (name === 'metadata') return rest.length === 0 ? {} : undefined;
  return name === 'id' || name === 'cluster' ? '' : undefined;
}

function ofStream(context: StreamContext, first: string, second: string | undefined, rest: readonly string[]): Found {
  const { stream } = context;
  const { info } = stream;
  switch (first) {
    case 'request':
      return second === undefined ? NO_VALUE : request(context, second, rest);
    case 'response':
      return second === undefined ? NO_VALUE : response(context, second, rest);
    case 'source':
      return second === undefined ? NO_VALUE : address(info.downstreamRemoteAddress, second);
    case 'destination':
      return second === undefined ? NO_VALUE : address(info.downstreamLocalAddress, second);
    case 'connection':
      return second === undefined ? NO_VALUE : connection(context, second);
    case 'upstream':
      return second === undefined ? NO_VALUE : upstream(context, second);
    case 'metadata':
      return metadata(context, second === 'filter_metadata' || second === undefined ? rest : [second, ...rest]);
    case 'filter_state':
      return second === undefined ? NO_VALUE : filterState(context, [second, ...rest].join('\0'));
    case 'xds':
      return second === undefined ? NO_VALUE : xds(context, second, rest);
    case 'connection_id':
      return BigInt(info.connectionId);
    case 'cluster_name':
      return info.endpoint === '' ? undefined : latin1(info.cluster);
    case 'route_name':
      return info.endpoint === '' ? undefined : latin1(info.route);
    case 'route_metadata':
      return info.endpoint === '' ? undefined : nested(stream.routeMetadata, routePath(second, rest));
    default:
      return undefined;
  }
}

/** What a request's headers say can be read as long as the headers can. */
function request(context: StreamContext, name: string, rest: readonly string[]): Found {
  const { stream } = context;
  const { info } = stream;
  const headers = context.logging ? stream.requestHeaders : context.request.headers;
  const header = (key: string) => headers?.get(key);
  switch (name) {
    case 'path':
      return header(':path');
    case 'url_path':
      return header(':path')?.replace(/\?.*$/s, '');
    case 'query': {
      const path = header(':path');
      return path === undefined ? undefined : (/\?([^#]*)/s.exec(path)?.[1] ?? '');
    }
    case 'host':
      return header(':authority');
    case 'scheme':
      return header(':scheme');
    case 'method':
      return header(':method');
    case 'useragent':
      return header('user-agent');
    case 'referer':
      return header('referer');
    case 'id':
      return header('x-request-id');
    case 'protocol':
      return info.protocol;
    case 'headers':
      if (rest.length === 0) return headers ?? NO_HEADERS;
      return headers?.get(rest.join('\0'));
    case 'size': {
      const length = header('content-length');
      return length === undefined ? BigInt(info.bytesReceived) : BigInt(Math.trunc(Number(length)) || 0);
    }
    case 'total_size':
      return BigInt(info.bytesReceived + (headers === undefined ? 0 : byteSize(headers)));
    case 'time':
      return BigInt(info.startTime) * 1_000_000n;
    case 'duration':
      return context.logging ? BigInt(Math.round(info.duration * 1e6)) : undefined;
    default:
      return undefined;
  }
}

function response(context: StreamContext, name: string, rest: readonly string[]): Found {
  const { stream } = context;
  const { info, responseHeaders } = stream;
  const headers = context.logging ? responseHeaders : context.response.headers;
  if (responseHeaders === undefined && !context.logging) return undefined;
  switch (name) {
    case 'code':
      return BigInt(Number(responseHeaders?.get(':status') ?? 0));
    case 'code_details':
      return info.responseCodeDetails === '' ? undefined : latin1(info.responseCodeDetails);
    case 'flags':
      return info.responseFlags.reduce((bits, flag) => bits | (FLAG_BITS[flag] ?? 0n), 0n);
    case 'grpc_status':
      return grpcStatus(responseHeaders, context.response.trailers);
    case 'headers':
      if (rest.length === 0) return headers ?? NO_HEADERS;
      return headers?.get(rest.join('\0'));
    case 'trailers':
      return rest.length === 0
        ? (context.response.trailers ?? NO_HEADERS)
        : context.response.trailers?.get(rest.join('\0'));
    case 'size':
      return BigInt(info.bytesSent);
    case 'total_size':
      return BigInt(info.bytesSent + (headers === undefined ? 0 : byteSize(headers)));
    default:
      return undefined;
  }
}

function connection(context: StreamContext, name: string): Found {
  const { tls } = context.stream.info;
  switch (name) {
    case 'id':
      return BigInt(context.stream.info.connectionId);
    case 'mtls':
      return tls?.peerCertificate !== undefined;
    case 'requested_server_name':
      return utf8(tls?.serverName ?? '');
    case 'tls_version':
      return tls?.version;
    case 'subject_local_certificate':
      return utf8(tls?.localCertificate?.subject);
    case 'subject_peer_certificate':
      return utf8(tls?.peerCertificate?.subject);
    case 'dns_san_local_certificate':
      return utf8(tls?.localCertificate?.dnsNames[0]);
    case 'dns_san_peer_certificate':
      return utf8(tls?.peerCertificate?.dnsNames[0]);
    case 'uri_san_local_certificate':
      return utf8(tls?.localCertificate?.uris[0]);
    case 'uri_san_peer_certificate':
      return utf8(tls?.peerCertificate?.uris[0]);
    case 'sha256_peer_certificate_digest':
      return tls?.peerCertificate?.sha256;
    default:
      return undefined;
  }
}

function utf8(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : Buffer.from(text);
}

function upstream(context: StreamContext, name: string): Found {
  const { info } = context.stream;
  if (info.upstreamLocalAddress === '') return undefined;
  if (name === 'local_address') return info.upstreamLocalAddress;
  if (name === 'request_attempt_count') return 1n;
  if (name === 'locality') return '';
  return address(info.endpoint, name);
}

function address(text: string, name: string): Found {
  if (name === 'address') return text;
  if (name === 'port') return BigInt(text.slice(text.lastIndexOf(':') + 1));
  return undefined;
}

/** `metadata.filter_metadata.<namespace>.<key>…`: of the stream, and of its route. */
function metadata(context: StreamContext, path: readonly string[]): Found {
  const [namespace, ...rest] = path;
  if (namespace === undefined) return {};
  const { stream } = context;
  const values =
    stream.metadata.get(namespace) ?? (stream.routeMetadata[namespace] as Readonly<Record<string, Json>> | undefined);
  return values === undefined ? undefined : nested(values, rest);
}

function filterState(context: StreamContext, name: string): Found {
  const value = context.stream.filterState.get(name);
  if (value instanceof Uint8Array) return value;
  return typeof value === 'string' ? latin1(value) : undefined;
}

function xds(context: StreamContext, name: string, rest: readonly string[]): Found {
  const { stream } = context;
  const { info } = stream;
  switch (name) {
    case 'cluster_name':
      return latin1(info.cluster);
    case 'route_name':
      return latin1(info.route);
    case 'virtual_host_name':
      return latin1(info.virtualHost);
    case 'listener_name':
      return latin1(info.listener);
    case 'listener_direction':
      return 0n;
    case 'filter_chain_name':
      return '';
    case 'route_metadata':
      return nested(stream.routeMetadata, routePath(rest[0], rest.slice(1)));
    case 'virtual_host_metadata':
      return nested(stream.virtualHostMetadata, routePath(rest[0], rest.slice(1)));
    case 'cluster_metadata':
    case 'listener_metadata':
      return {};
    case 'node':
      return node(rest[0], rest.slice(1));
    default:
      return undefined;
  }
}

function routePath(first: string | undefined, rest: readonly string[]): readonly string[] {
  return first === undefined ? [] : first === 'filter_metadata' ? rest : [first, ...rest];
}

/** A value within metadata; what is no mapping there is text, a number or a boolean. */
function nested(values: Readonly<Record<string, Json>>, path: readonly string[]): Found {
  let value: Json = values as Record<string, Json>;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, key))
      return undefined;
    value = value[key] as Json;
  }
  if (typeof value === 'string') return latin1(value);
  if (typeof value === 'boolean') return value;
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    return bytes;
  }
  if (value === null) return '';
  return Array.isArray(value) ? latin1(JSON.stringify(value)) : value;
}

/** Source: Envoy, `Grpc::Common::getGrpcStatus` and `httpToGrpcStatus`. */
function grpcStatus(headers: HeaderMap | undefined, trailers: HeaderMap | undefined): bigint {
  const given = trailers?.get('grpc-status') ?? headers?.get('grpc-status');
  if (given !== undefined && /^\d+$/.test(given)) return BigInt(given);
  return BigInt(GRPC_STATUSES[headers?.get(':status') ?? ''] ?? 2);
}
const GRPC_STATUSES: Readonly<Record<string, number>> = {
  '400': 13,
  '401': 16,
  '403': 7,
  '404': 12,
  '429': 14,
  '502': 14,
  '503': 14,
  '504': 14,
};

/** Source: Envoy, `StreamInfo::CoreResponseFlag`. */
const FLAG_BITS: Readonly<Record<string, bigint>> = Object.fromEntries(
  'LH UH UT LR UR UF UC UO NR DI FI RL UAEX RLSE DC URX SI IH DPE UMSDR RFCF NFCF DT UPE NC OM DF DO'
    .split(' ')
    .map((flag, bit) => [flag, 1n << BigInt(bit)]),
);
