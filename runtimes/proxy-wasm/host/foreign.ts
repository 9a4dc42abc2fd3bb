/** Foreign functions: those that Envoy registers. Source: Envoy, `extensions/common/wasm/foreign.cc`. */
import { createPublicKey, verify } from 'node:crypto';
import { deflateSync, inflateSync } from 'node:zlib';
import { Status } from '../constants.ts';
import type { Machine } from '../machine.ts';
import { readFields, textField } from '../protobuf.ts';
import { Expressions } from './expressions.ts';
import type { HostFunctions } from './index.ts';

type Foreign = (machine: Machine, bytes: Uint8Array, expressions: Expressions) => Uint8Array | Status;

const NOTHING = new Uint8Array(0);
/** Bytes of what is unpacked. */
const MAX_UNPACKED = 16 * 1024 * 1024;
/** Objects of filter state that have text behind them in Envoy. */
const KNOWN_STATE = new Set([
  'envoy.string',
  'envoy.network.upstream_server_name',
  'envoy.network.upstream_subject_alt_names',
  'envoy.network.application_protocols',
  'envoy.tcp_proxy.cluster',
  'envoy.tcp_proxy.disable_tunneling',
  'envoy.upstream.dynamic_host',
  'envoy.upstream.dynamic_port',
  'envoy.network.transport_socket.original_dst_address',
  'envoy.filters.listener.original_dst.local_ip',
  'envoy.filters.listener.original_dst.remote_ip',
]);

const FOREIGN: Readonly<Record<string, Foreign>> = {
  compress: (_, bytes) => deflateSync(bytes),
  uncompress(machine, bytes) {
    try {
      const unpacked = inflateSync(bytes, { maxOutputLength: MAX_UNPACKED });
      machine.charge(unpacked.length);
      return unpacked;
    } catch {
      return Status.SerializationFailure;
    }
  },
  clear_route_cache(machine) {
    const context = machine.effective;
    if (context !== undefined && 'stream' in context) context.stream.clearRouteCache();
    return NOTHING;
  },
  expr_create: (_, bytes, expressions) => expressions.create(bytes),
  expr_evaluate: (_, bytes, expressions) => expressions.evaluate(bytes),
  expr_delete: (_, bytes, expressions) => expressions.delete(bytes),
  /** `SetEnvoyFilterStateArguments { path, value, span }`. */
  set_envoy_filter_state(machine, bytes) {
    const context = machine.effective;
    const fields = parsed(bytes);
    if (fields === undefined) return Status.BadArgument;
    if (context === undefined || !('stream' in context)) return Status.NotFound;
    const name = textField(fields, 1);
    if (!KNOWN_STATE.has(name)) return Status.NotFound;
    context.stream.filterState.set(name, textField(fields, 2));
    return NOTHING;
  },
  /** `DeclarePropertyArguments`: every property is kept as bytes here, whatever its declared type. */
  declare_property: (_, bytes) => (parsed(bytes) === undefined ? Status.BadArgument : NOTHING),
  /** `VerifySignatureArguments { public_key, hash_function, signature, text }` → `VerifySignatureResult { result, error }`. */
  verify_signature(_, bytes) {
    const fields = parsed(bytes);
    if (fields === undefined) return Status.BadArgument;
    const part = (number: number) => {
      const value = fields.get(number)?.at(-1);
      return value instanceof Uint8Array ? value : NOTHING;
    };
    try {
      const key = createPublicKey({ key: Buffer.from(part(1)), format: 'der', type: 'spki' });
      const valid = verify(textField(fields, 2), part(4), key, part(3));
      return valid ? Uint8Array.of(0x08, 1) : failure('Failed to verify digest. Error code: 0');
    } catch (error) {
      return failure(error instanceof Error ? error.message : String(error));
    }
  },
};

function failure(message: string): Uint8Array {
  const text = Buffer.from(message.slice(0, 120));
  return Buffer.concat([Uint8Array.of(0x12, text.length), text]);
}

function parsed(bytes: Uint8Array): ReturnType<typeof readFields> | undefined {
  try {
    return readFields(bytes);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

export function foreignFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  const expressions = new Expressions(machine);
  return {
    proxy_call_foreign_function(namePointer, nameSize, pointer, size, resultTo, resultSizeTo) {
      if (!memory.holds(namePointer, nameSize) || !memory.holds(pointer, size)) return Status.InvalidMemoryAccess;
      const name = memory.text(namePointer, nameSize);
      const foreign = Object.hasOwn(FOREIGN, name) ? FOREIGN[name] : undefined;
      if (foreign === undefined) return Status.NotFound;
      machine.charge(size >>> 0);
      const result = foreign(machine, memory.copy(pointer, size), expressions);
      if (typeof result === 'number') return result;
      // The module may not want the result.
      if (result.length === 0 || resultTo === 0) return Status.Ok;
      return memory.give(result, resultTo, resultSizeTo) ? Status.Ok : Status.InvalidMemoryAccess;
    },
  };
}
