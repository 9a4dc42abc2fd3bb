/** Metadata of routes and virtual hosts, and of the stream. Source: Envoy, "Lua" HTTP filter, "Metadata object API", "Dynamic metadata object API". */
import type { Json } from '../../../src/abi/index.ts';
import type { ScriptStream } from '../script-stream.ts';
import { NativeError } from '../vm/errors.ts';
import { NONE } from '../vm/values.ts';
import { fromBytes, jsonToLua, luaToJson, toBytes } from './json.ts';
import { type Methods, type Pairs, string } from './kind.ts';

export interface MetadataObject {
  run: ScriptStream;
  values: Readonly<Record<string, Json>>;
}

export const metadataMethods: Methods<MetadataObject> = {
  get({ values }, args) {
    const key = fromBytes(string(args, 0));
    return Object.hasOwn(values, key) ? jsonToLua(values[key]) : NONE;
  },
};

export const metadataPairs: Pairs<MetadataObject> = ({ run, values }) => {
  run.beginIteration(values);
  const entries = Object.entries(values);
  let i = 0;
  return () => {
    const entry = entries[i++];
    if (entry !== undefined) return [toBytes(entry[0]), jsonToLua(entry[1])];
    run.endIteration(values);
    return undefined;
  };
};

export interface StreamObject {
  run: ScriptStream;
}

/** Read-only, as the connection's is. */
export const readOnlyDynamicMetadata: Methods<StreamObject> = {
  get({ run }, args) {
    const values = run.stream.metadata.get(fromBytes(string(args, 0)));
    return values === undefined ? NONE : jsonToLua({ ...values });
  },
};

export const dynamicMetadataMethods: Methods<StreamObject> = {
  ...readOnlyDynamicMetadata,
  set({ run }, args) {
    if (run.isIterating(run.stream.metadata)) {
      throw new NativeError('dynamic metadata map cannot be modified while iterating');
    }
    const namespace = fromBytes(string(args, 0));
    const key = fromBytes(string(args, 1));
    run.stream.metadata.set(namespace, key, luaToJson(args[2], 'dynamicMetadata'));
    return NONE;
  },
};

export const dynamicMetadataPairs: Pairs<StreamObject> = ({ run }) => {
  const { metadata } = run.stream;
  run.beginIteration(metadata);
  const names = metadata.namespaces();
  let i = 0;
  return () => {
    const name = names[i++];
    if (name !== undefined) return [toBytes(name), jsonToLua({ ...metadata.get(name) })];
    run.endIteration(metadata);
    return undefined;
  };
};

/** The metadata under the filter's name. */
export function ownMetadata(run: ScriptStream, all: Readonly<Record<string, Json>>): Readonly<Record<string, Json>> {
  return asRecord(all[run.script.name] ?? all['envoy.filters.http.lua']);
}

export function asRecord(value: Json | undefined): Readonly<Record<string, Json>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}
