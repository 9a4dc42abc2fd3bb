/** Between JSON and Lua: null is nil, lists are tables from 1 on, texts are UTF-8. */
import type { Json } from '../../../src/abi/index.ts';
import { NativeError } from '../vm/errors.ts';
import { LuaTable } from '../vm/table.ts';
import { type LuaValue, typeOf } from '../vm/values.ts';

const MAX_DEPTH = 100;

/** A text of JavaScript as the bytes of its UTF-8, one character each. */
export function toBytes(text: string): string {
  return /^[\0-\x7f]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** Bytes, one character each, as the text whose UTF-8 they are. */
export function fromBytes(bytes: string): string {
  return /^[\0-\x7f]*$/.test(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
}

export function jsonToLua(value: Json | undefined): LuaValue {
  if (value === null || value === undefined) return undefined;
  if (typeof value === 'string') return toBytes(value);
  if (typeof value !== 'object') return value;
  const table = new LuaTable();
  if (Array.isArray(value)) for (const [i, item] of value.entries()) table.set(i + 1, jsonToLua(item));
  else for (const [key, item] of Object.entries(value)) table.set(toBytes(key), jsonToLua(item));
  return table;
}

/**
 * @param where the function's name, for the message.
 * @throws NativeError for what JSON has no word for.
 */
export function luaToJson(value: LuaValue, where: string, depth = 0): Json {
  if (depth > MAX_DEPTH) throw new NativeError(`the table is nested too deeply, or holds itself (${where})`);
  if (value === undefined) return null;
  if (typeof value === 'string') return fromBytes(value);
  if (typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (!(value instanceof LuaTable)) throw new NativeError(`unexpected type '${typeOf(value)}' in ${where}`);
  const length = value.length();
  if (length > 0) return value.arr.map((item) => luaToJson(item, where, depth + 1));
  const record: Record<string, Json> = Object.create(null);
  for (let cursor = value.advance(0); cursor !== 0; cursor = value.advance(cursor)) {
    const key = value.keyAt(cursor);
    if (typeof key !== 'string') {
      throw new NativeError(`unexpected type ${typeOf(key)} in table key (only string keys are supported)`);
    }
    record[fromBytes(key)] = luaToJson(value.valueAt(cursor), where, depth + 1);
  }
  return record;
}
