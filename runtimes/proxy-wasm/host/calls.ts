/** Calls that a module makes through Weir's clusters. They belong to the plugin, not to a stream. */
import { ExtensionError, HeaderMap, InvalidHeaderError } from '../../../src/abi/index.ts';
import { Status } from '../constants.ts';
import type { RootContext } from '../context.ts';
import { GrpcCalls } from '../grpc-calls.ts';
import type { Machine } from '../machine.ts';
import { decodePairs } from '../pairs.ts';
import { readFields, textField } from '../protobuf.ts';
import type { HostFunctions } from './index.ts';

/** Milliseconds; a module that gives no time has no limit in Envoy. */
const LONGEST_CALL = 300_000;
const STREAM_BITS = 2;

export function callFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  const rootOf = () => machine.effective?.root;
  const grpcOf = (root: RootContext) => {
    root.grpc ??= new GrpcCalls(machine, root);
    return root.grpc;
  };
  return {
    proxy_http_call(
      upstreamPointer,
      upstreamSize,
      headersPointer,
      headersSize,
      bodyPointer,
      bodySize,
      trailersPointer,
      trailersSize,
      timeout,
      idTo,
    ) {
      if (
        !memory.holds(upstreamPointer, upstreamSize) ||
        !memory.holds(headersPointer, headersSize) ||
        !memory.holds(bodyPointer, bodySize) ||
        !memory.holds(trailersPointer, trailersSize) ||
        !memory.holds(idTo, 4)
      ) {
        return Status.InvalidMemoryAccess;
      }
      const root = rootOf();
      if (root === undefined) return Status.InternalFailure;
      machine.charge(bodySize >>> 0);
      const cluster = memory.utf8(upstreamPointer, upstreamSize);
      const headers = headerMap(memory.copy(headersPointer, headersSize));
      if (headers === undefined) return Status.BadArgument;
      const body = memory.copy(bodyPointer, bodySize);
      const trailers = headerMap(memory.copy(trailersPointer, trailersSize));
      if (trailers === undefined) return Status.BadArgument;
      try {
        const response = root.plugin.host.call(cluster, {
          headers,
          ...(body.length > 0 ? { body } : {}),
          ...(trailers.size > 0 ? { trailers } : {}),
          timeout: Math.min(timeout >>> 0 || LONGEST_CALL, LONGEST_CALL),
        });
        const id = machine.nextCallId(0);
        memory.writeU32(idTo, id);
        void response.then((answer) => {
          root.callResponse = answer;
          machine.callRoot(
            root,
            'proxy_on_http_call_response',
            id,
            answer.headers.size,
            answer.body.length,
            answer.trailers?.size ?? 0,
          );
          root.callResponse = undefined;
        });
        return Status.Ok;
      } catch (error) {
        if (!(error instanceof ExtensionError)) throw error;
        root.plugin.host.log.debug(`proxy_http_call: ${error.message}`);
        return Status.BadArgument;
      }
    },
    proxy_grpc_call(
      upstreamPointer,
      upstreamSize,
      servicePointer,
      serviceSize,
      methodPointer,
      methodSize,
      metadataPointer,
      metadataSize,
      messagePointer,
      messageSize,
      timeout,
      idTo,
    ) {
      if (!memory.holds(messagePointer, messageSize)) return Status.InvalidMemoryAccess;
      const message = memory.copy(messagePointer, messageSize);
      return openGrpc(
        [
          upstreamPointer,
          upstreamSize,
          servicePointer,
          serviceSize,
          methodPointer,
          methodSize,
          metadataPointer,
          metadataSize,
        ],
        idTo,
        { message, timeout: Math.min(timeout >>> 0 || LONGEST_CALL, LONGEST_CALL) },
      );
    },
    proxy_grpc_stream(
      upstreamPointer,
      upstreamSize,
      servicePointer,
      serviceSize,
      methodPointer,
      methodSize,
      metadataPointer,
      metadataSize,
      idTo,
    ) {
      return openGrpc(
        [
          upstreamPointer,
          upstreamSize,
          servicePointer,
          serviceSize,
          methodPointer,
          methodSize,
          metadataPointer,
          metadataSize,
        ],
        idTo,
        undefined,
      );
    },
    proxy_grpc_send(id, pointer, size, end) {
      if (!memory.holds(pointer, size)) return Status.InvalidMemoryAccess;
      if ((id & 3) !== STREAM_BITS) return Status.BadArgument;
      machine.charge(size >>> 0);
      return rootOf()?.grpc?.send(id, memory.copy(pointer, size), end !== 0) === true ? Status.Ok : Status.NotFound;
    },
    proxy_grpc_cancel(id) {
      return rootOf()?.grpc?.cancel(id) === true ? Status.Ok : Status.NotFound;
    },
    proxy_grpc_close(id) {
      return rootOf()?.grpc?.close(id) === true ? Status.Ok : Status.NotFound;
    },
  };

  function openGrpc(
    places: readonly number[],
    idTo: number,
    unary: { message: Uint8Array; timeout: number } | undefined,
  ): Status {
    for (let i = 0; i < places.length; i += 2) {
      if (!memory.holds(places[i] as number, places[i + 1] as number)) return Status.InvalidMemoryAccess;
    }
    if (!memory.holds(idTo, 4)) return Status.InvalidMemoryAccess;
    const root = rootOf();
    if (root === undefined) return Status.InternalFailure;
    const bytes = (i: number) => memory.copy(places[i] as number, places[i + 1] as number);
    const text = (i: number) => Buffer.from(bytes(i)).toString('utf8');
    const metadata = headerMap(bytes(6));
    if (metadata === undefined) return Status.BadArgument;
    machine.charge(unary?.message.length ?? 0);
    const id = grpcOf(root).open(clusterOf(bytes(0)), { service: text(2), method: text(4), metadata }, unary);
    if (id === undefined) return Status.ParseFailure;
    memory.writeU32(idTo, id);
    return Status.Ok;
  }
}

/** A cluster's name, or Envoy's `GrpcService` that names one: `envoy_grpc { cluster_name }`. */
function clusterOf(bytes: Uint8Array): string {
  if (bytes[0] === 0x0a) {
    try {
      const envoyGrpc = readFields(bytes).get(1)?.at(-1);
      if (envoyGrpc instanceof Uint8Array) return textField(readFields(envoyGrpc), 1);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  return Buffer.from(bytes).toString('utf8');
}

function headerMap(bytes: Uint8Array): HeaderMap | undefined {
  try {
    return new HeaderMap(decodePairs(bytes));
  } catch (error) {
    if (error instanceof InvalidHeaderError) return undefined;
    throw error;
  }
}
