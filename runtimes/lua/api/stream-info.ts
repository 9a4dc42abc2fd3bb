/** Facts of the stream and its connection, and filter state. Source: Envoy, "Lua" HTTP filter, "Stream info object API" and those that follow it. */
import type { ScriptStream } from '../script-stream.ts';
import { NativeError } from '../vm/errors.ts';
import { type LuaValue, NONE } from '../vm/values.ts';
import type { Kinds } from './index.ts';
import { toBytes } from './json.ts';
import { type Methods, string } from './kind.ts';
import type { StreamObject } from './metadata.ts';

/** Filter state that a script can make; any other factory is unknown, as in an Envoy without extensions. */
const FACTORIES = new Set(['envoy.string', 'envoy.hashable_string']);

export function streamInfoMethods(kinds: Kinds): Methods<StreamObject> {
  return {
    protocol: ({ run }) => run.stream.info.protocol,
    routeName: ({ run }) => run.stream.info.route,
    virtualClusterName: () => '',
    requestedServerName: ({ run }) => toBytes(run.stream.info.tls?.serverName ?? ''),
    downstreamLocalAddress: ({ run }) => run.stream.info.downstreamLocalAddress,
    downstreamDirectLocalAddress: ({ run }) => run.stream.info.downstreamLocalAddress,
    downstreamRemoteAddress: ({ run }) => run.stream.info.downstreamRemoteAddress,
    downstreamDirectRemoteAddress: ({ run }) => run.stream.info.downstreamRemoteAddress,
    dynamicMetadata: ({ run }) => kinds.dynamicMetadata.create({ run }, run),
    /** Metadata of protocol buffer types, which nothing in Weir makes. */
    dynamicTypedMetadata: noTypedMetadata,
    filterState: ({ run }) => kinds.filterState.create({ run }, run),
    downstreamSslConnection: ({ run }) => sslOf(kinds, run),
    drainConnectionUponCompletion({ run }) {
      run.stream.drainConnection();
      return NONE;
    },
  };
}

export const filterStateMethods: Methods<StreamObject> = {
  get({ run }, args) {
    const value = run.stream.filterState.get(string(args, 0));
    if (value === undefined) return NONE;
    const field = args[1] === undefined ? undefined : string(args, 1);
    const found = field === undefined ? value : fieldOf(value, field);
    return isPlain(found) ? found : NONE;
  },
  set({ run }, args) {
    const key = string(args, 0);
    const factory = string(args, 1);
    const value = string(args, 2);
    if (!FACTORIES.has(factory)) throw new NativeError(`'${factory}' does not have an object factory`);
    run.stream.filterState.set(key, value);
    return NONE;
  },
};

function fieldOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, field)
    ? (value as Record<string, unknown>)[field]
    : undefined;
}

function isPlain(value: unknown): value is LuaValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

export function connectionMethods(kinds: Kinds): Methods<StreamObject> {
  return { ssl: ({ run }) => sslOf(kinds, run) };
}

/** Nil on a plain connection. */
function sslOf(kinds: Kinds, run: ScriptStream): LuaValue {
  const { tls } = run.stream.info;
  return tls === undefined ? undefined : kinds.ssl.create({ run, tls }, run);
}

export function connectionStreamInfoMethods(kinds: Kinds): Methods<StreamObject> {
  return {
    dynamicMetadata: ({ run }) => kinds.connectionMetadata.create({ run }, run),
    dynamicTypedMetadata: noTypedMetadata,
  };
}

function noTypedMetadata(_: StreamObject, args: LuaValue[]): LuaValue[] {
  string(args, 0);
  return NONE;
}
