/** Bodies, configurations, and the bodies of calls. */
import { BufferType, Status } from '../constants.ts';
import type { StreamContext } from '../context.ts';
import type { Machine } from '../machine.ts';
import type { HostFunctions } from './index.ts';

const NOTHING = new Uint8Array(0);

export function bufferFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  return {
    proxy_get_buffer_bytes(type, start, length, pointerTo, sizeTo) {
      const bytes = bufferOf(machine, type);
      if (typeof bytes === 'number') return bytes;
      const from = Math.min(start >>> 0, bytes.length);
      const part = bytes.subarray(from, Math.min(from + (length >>> 0), bytes.length));
      machine.charge(part.length);
      return memory.give(part, pointerTo, sizeTo) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_get_buffer_status(type, sizeTo, flagsTo) {
      const bytes = bufferOf(machine, type);
      if (typeof bytes === 'number') return bytes;
      return memory.writeU32(sizeTo, bytes.length) && memory.writeU32(flagsTo, 0)
        ? Status.Ok
        : Status.InvalidMemoryAccess;
    },
    proxy_set_buffer_bytes(type, start, length, pointer, size) {
      const bytes = bufferOf(machine, type);
      if (typeof bytes === 'number') return bytes;
      if (!memory.holds(pointer, size)) return Status.InvalidMemoryAccess;
      machine.charge(size);
      if (type !== BufferType.RequestBody && type !== BufferType.ResponseBody) return Status.BadArgument;
      return setBody(
        machine.effective as StreamContext,
        type === BufferType.RequestBody,
        splice(bytes, start >>> 0, length >>> 0, memory.copy(pointer, size)),
      );
    },
  };
}

/** Puts `data` in the place of `length` bytes from `start` on; from behind the end on, it is appended. */
function splice(bytes: Uint8Array, start: number, length: number, data: Uint8Array): Uint8Array {
  const from = Math.min(start, bytes.length);
  const rest = Math.min(from + length, bytes.length);
  if (from === 0 && rest === bytes.length) return data;
  return Buffer.concat([bytes.subarray(0, from), data, bytes.subarray(rest)]);
}

/** The bytes, or the status that says why there are none. */
function bufferOf(machine: Machine, type: number): Uint8Array | Status {
  const context = machine.effective;
  switch (type) {
    case BufferType.RequestBody:
    case BufferType.ResponseBody:
      return context !== undefined && 'stream' in context
        ? bodyOf(context, type === BufferType.RequestBody)
        : Status.NotFound;
    case BufferType.HttpCallResponseBody:
      return context?.root.callResponse?.body ?? Status.NotFound;
    case BufferType.GrpcReceiveBuffer:
      return context?.root.grpc?.message ?? Status.NotFound;
    case BufferType.VmConfiguration:
    case BufferType.PluginConfiguration:
      return configurationOf(machine, type) ?? Status.NotFound;
    case BufferType.CallData:
      return NOTHING;
    case BufferType.DownstreamData:
    case BufferType.UpstreamData:
      return Status.NotFound;
    default:
      return Status.BadArgument;
  }
}

/** The plugin's configuration is there while it is configured. */
export function configurationOf(machine: Machine, type: number): Uint8Array | undefined {
  if (type === BufferType.VmConfiguration) return machine.settings.configuration;
  const root = machine.effective?.root;
  return root?.configuring === true ? root.plugin.configuration : undefined;
}

/** In a body callback what it may change; otherwise what the module holds. */
function bodyOf(context: StreamContext, isRequest: boolean): Uint8Array {
  const side = isRequest ? context.request : context.response;
  if (side.body !== undefined) return side.body;
  if (!side.paused && side.trailers === undefined) return NOTHING;
  return isRequest ? context.stream.requestBody : context.stream.responseBody;
}

function setBody(context: StreamContext, isRequest: boolean, bytes: Uint8Array): Status {
  const side = isRequest ? context.request : context.response;
  if (side.body !== undefined) {
    side.body = bytes;
    side.changed = true;
    return Status.Ok;
  }
  // What was held has gone on: Envoy takes the change, which comes too late.
  if (!side.bodyHeld) return side.buffers ? Status.Ok : Status.BadArgument;
  if (isRequest) context.stream.setRequestBody(bytes);
  else context.stream.setResponseBody(bytes);
  return Status.Ok;
}
