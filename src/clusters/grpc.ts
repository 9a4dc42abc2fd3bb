/** gRPC streams through a cluster: HTTP/2 by @grpc/grpc-js, endpoints by the cluster's load balancer. */

import type { Metadata } from '@grpc/grpc-js';
import { ExtensionError, type GrpcHandler, type GrpcRequest, type GrpcStream, HeaderMap } from '../abi/index.ts';
import { type Grpc, grpc } from '../grpc-js.ts';
import type { ClusterSet } from './cluster.ts';
import type { Endpoint } from './endpoint.ts';

type Client = InstanceType<Grpc['Client']>;

const UNAVAILABLE = 14;

/** A client is as old as its endpoint, and so as the cluster. */
const clients = new WeakMap<Endpoint, Client>();

/** @throws ExtensionError (`contract`) when the cluster is unknown. */
export function openGrpc(clusters: ClusterSet, name: string, request: GrpcRequest, handler: GrpcHandler): GrpcStream {
  const cluster = clusters.get(name);
  if (cluster === undefined) throw new ExtensionError('contract', `there is no cluster ${JSON.stringify(name)}`);
  cluster.requests.add();
  const endpoint = cluster.choose(request.metadata);
  if (endpoint === undefined) return refused(handler, 'no healthy upstream');
  const { Metadata: GrpcMetadata, status } = grpc();
  const metadata = new GrpcMetadata();
  for (const [key, value] of request.metadata) {
    if (!key.startsWith(':')) metadata.add(key, key.endsWith('-bin') ? Buffer.from(value, 'base64') : value);
  }
  const call = clientOf(endpoint).makeBidiStreamRequest(
    `/${request.service}/${request.method}`,
    (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
    (bytes: Buffer): Uint8Array => bytes,
    metadata,
    request.timeout === undefined ? {} : { deadline: Date.now() + request.timeout },
  );
  let open = true;
  call.on('metadata', (received: Metadata) => open && handler.onInitialMetadata(headersOf(received)));
  call.on('data', (message: Uint8Array) => open && handler.onMessage(message));
  call.on('error', () => {});
  call.on('status', ({ code, details, metadata: trailers }) => {
    if (!open) return;
    open = false;
    if (code !== status.OK) cluster.failures.add();
    handler.onTrailingMetadata(headersOf(trailers));
    handler.onClose(code, details);
  });
  return {
    send(message, end) {
      if (!open) return;
      call.write(message);
      if (end) call.end();
    },
    end: () => void (open && call.end()),
    cancel() {
      open = false;
      call.cancel();
    },
  };
}

/** Ends the connections to an endpoint that is gone. */
export function closeGrpc(endpoint: Endpoint): void {
  clients.get(endpoint)?.close();
  clients.delete(endpoint);
}

function clientOf(endpoint: Endpoint): Client {
  let client = clients.get(endpoint);
  if (client === undefined) {
    const { Client: GrpcClient, credentials } = grpc();
    client = new GrpcClient(endpoint.name, credentials.createInsecure(), {
      // Weir's own store of clients; the library's would keep them for the process.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
    });
    clients.set(endpoint, client);
  }
  return client;
}

function refused(handler: GrpcHandler, message: string): GrpcStream {
  let open = true;
  setImmediate(() => open && handler.onClose(UNAVAILABLE, message));
  const ignore = () => {};
  const cancel = () => {
    open = false;
  };
  return { send: ignore, end: ignore, cancel };
}

/** Binary values as base64, which is what they are on the wire. */
function headersOf(metadata: Metadata): HeaderMap {
  const headers = new HeaderMap();
  for (const [key, values] of Object.entries(metadata.toHttp2Headers())) {
    for (const value of Array.isArray(values) ? values : [values]) headers.add(key, String(value));
  }
  return headers;
}
