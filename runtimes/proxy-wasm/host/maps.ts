/** Header, trailer and metadata maps. Which status stands for what is Envoy 1.40's (`extensions/common/wasm/context.cc`, and observed). */
import { type HeaderMap, InvalidHeaderError } from '../../../src/abi/index.ts';
import { isInlineHeader } from '../../shared/envoy-headers.ts';
import { MapType, Status } from '../constants.ts';
import type { Context } from '../context.ts';
import type { Machine } from '../machine.ts';
import { byteSize, decodePairs, encodePairs } from '../pairs.ts';
import type { HostFunctions } from './index.ts';

export function mapFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  return {
    proxy_get_header_map_size(type, sizeTo) {
      const map = mapOf(machine.effective, type);
      if (map === undefined) return Status.BadArgument;
      // Envoy gives the bytes of names and values, not those of the serialized map.
      return memory.writeU32(sizeTo, byteSize(map)) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_get_header_map_pairs(type, pointerTo, sizeTo) {
      if (type >>> 0 > MapType.HttpCallResponseTrailers) return Status.BadArgument;
      const bytes = encodePairs(mapOf(machine.effective, type) ?? []);
      machine.charge(bytes.length);
      return memory.give(bytes, pointerTo, sizeTo) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_set_header_map_pairs(type, pointer, size) {
      if (!memory.holds(pointer, size)) return Status.InvalidMemoryAccess;
      machine.charge(size);
      return edit(machine.effective, type, (map) => {
        const pairs = decodePairs(memory.copy(pointer, size));
        for (let i = map.size - 1; i >= 0; i = Math.min(i, map.size) - 1) map.remove(map.nameAt(i));
        for (const [name, value] of pairs) map.add(name, value);
      });
    },
    proxy_get_header_map_value(type, namePointer, nameSize, pointerTo, sizeTo) {
      if (!memory.holds(namePointer, nameSize)) return Status.InvalidMemoryAccess;
      const context = machine.effective;
      const map = mapOf(context, type);
      const old = machine.version === '0.1.0';
      if (map === undefined) {
        const logging = context !== undefined && context.root !== context && 'logging' in context && context.logging;
        if (!logging) return Status.BadArgument;
        return old ? giveText('') : Status.NotFound;
      }
      // The first value only, as in Envoy: modules are written for that.
      const value = firstValue(map, memory.text(namePointer, nameSize));
      if (value === undefined) return old ? giveText('') : Status.NotFound;
      return giveText(value);

      function giveText(text: string): Status {
        return memory.giveText(text, pointerTo, sizeTo) ? Status.Ok : Status.InvalidMemoryAccess;
      }
    },
    proxy_add_header_map_value(type, namePointer, nameSize, valuePointer, valueSize) {
      if (!memory.holds(namePointer, nameSize) || !memory.holds(valuePointer, valueSize))
        return Status.InvalidMemoryAccess;
      const name = memory.text(namePointer, nameSize);
      const value = memory.text(valuePointer, valueSize);
      return edit(machine.effective, type, (map) => {
        const known = isInlineHeader(name, type === MapType.ResponseHeaders) ? map.get(name) : undefined;
        if (known === undefined) map.add(name, value);
        else map.set(name, `${known},${value}`);
      });
    },
    proxy_replace_header_map_value(type, namePointer, nameSize, valuePointer, valueSize) {
      if (!memory.holds(namePointer, nameSize) || !memory.holds(valuePointer, valueSize))
        return Status.InvalidMemoryAccess;
      const name = memory.text(namePointer, nameSize);
      const value = memory.text(valuePointer, valueSize);
      return edit(machine.effective, type, (map) => map.set(name, value));
    },
    proxy_remove_header_map_value(type, namePointer, nameSize) {
      if (!memory.holds(namePointer, nameSize)) return Status.InvalidMemoryAccess;
      const name = memory.text(namePointer, nameSize);
      return edit(machine.effective, type, (map) => map.remove(name));
    },
  };
}

function firstValue(map: HeaderMap, name: string): string | undefined {
  const key = name.toLowerCase() === 'host' ? ':authority' : name.toLowerCase();
  for (let i = 0; i < map.size; i++) if (map.nameAt(i) === key) return map.valueAt(i);
  return undefined;
}

/** The map as the effective context may see it now. */
function mapOf(context: Context | undefined, type: number): HeaderMap | undefined {
  if (context === undefined) return undefined;
  switch (type) {
    case MapType.HttpCallResponseHeaders:
      return context.root.callResponse?.headers;
    case MapType.HttpCallResponseTrailers:
      return context.root.callResponse?.trailers;
    case MapType.GrpcInitialMetadata:
      return context.root.grpc?.initialMetadata;
    case MapType.GrpcTrailingMetadata:
      return context.root.grpc?.trailingMetadata;
  }
  if (!('stream' in context)) return undefined;
  const { request, response, logging, stream } = context;
  switch (type) {
    case MapType.RequestHeaders:
      return logging ? stream.requestHeaders : request.headers;
    case MapType.RequestTrailers:
      return logging ? undefined : request.trailers;
    case MapType.ResponseHeaders:
      return logging ? stream.responseHeaders : response.headers;
    case MapType.ResponseTrailers:
      return logging ? undefined : response.trailers;
  }
  return undefined;
}

function edit(context: Context | undefined, type: number, change: (map: HeaderMap) => unknown): Status {
  if (context === undefined || !('stream' in context) || context.logging || type > MapType.ResponseTrailers)
    return Status.BadArgument;
  const map = mapOf(context, type);
  if (map === undefined) return Status.BadArgument;
  try {
    change(map);
    return Status.Ok;
  } catch (error) {
    if (!(error instanceof InvalidHeaderError)) throw error;
    context.stream.log.warn(`the module gave a header that can't be sent: ${error.message}`);
    return Status.BadArgument;
  }
}
