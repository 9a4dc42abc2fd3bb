/** The header map, and trailers. Source: Envoy, "Lua" HTTP filter, "Header object API"; shared observations of Envoy 1.40. */
import type { HeaderMap } from '../../../src/abi/index.ts';
import { isInlineHeader } from '../../shared/envoy-headers.ts';
import type { ScriptStream } from '../script-stream.ts';
import { ArgumentError, NativeError } from '../vm/errors.ts';
import { formatNumber } from '../vm/numbers.ts';
import { LuaTable } from '../vm/table.ts';
import { NONE, typeOf } from '../vm/values.ts';
import { integer, type Methods, type Pairs, string } from './kind.ts';

export interface HeadersObject {
  run: ScriptStream;
  map: HeaderMap;
  mutable: boolean;
}

export const headerMethods: Methods<HeadersObject> = {
  get({ map }, args) {
    return map.get(string(args, 0)) ?? NONE;
  },
  getAtIndex({ map }, args) {
    return map.getAll(string(args, 0))[integer(args, 1)] ?? NONE;
  },
  getNumValues({ map }, args) {
    return map.getAll(string(args, 0)).length;
  },
  add(headers, args) {
    const name = string(args, 0);
    const value = cString(string(args, 1));
    const map = mutable(headers);
    const old = isInline(headers, name) ? map.get(name) : undefined;
    edit(() => (old === undefined ? map.add(name, value) : map.set(name, `${old},${value}`)));
    return NONE;
  },
  replace(headers, args) {
    const name = string(args, 0);
    const value = cString(string(args, 1));
    const map = mutable(headers);
    edit(() => map.set(name, value));
    return NONE;
  },
  remove(headers, args) {
    const name = string(args, 0);
    const map = mutable(headers);
    // A message without its start line can't be sent (Envoy ends by a signal, issue 38017).
    if (name.startsWith(':') || name.toLowerCase() === 'host') {
      throw new NativeError(`header '${name}' cannot be removed`);
    }
    map.remove(name);
    return NONE;
  },
  /** The phrase beside the status; requests have none, which is accepted as in Envoy. */
  setHttp1ReasonPhrase({ run, map }, args) {
    const phrase = cString(string(args, 0));
    if (/[^\t\x20-\x7e\x80-\xff]/.test(phrase)) throw new NativeError('the reason phrase holds a control character');
    if (map === run.stream.responseHeaders) run.stream.setReasonPhrase(phrase);
    return NONE;
  },
};

export const headerPairs: Pairs<HeadersObject> = ({ run, map }) => {
  run.beginIteration(map);
  const { epoch } = run;
  let i = 0;
  return () => {
    if (run.epoch !== epoch) throw new NativeError('object used outside of proper scope');
    if (i < map.size) return [map.nameAt(i), map.valueAt(i++)];
    run.endIteration(map);
    return undefined;
  };
};

function isInline({ run: { stream }, map }: HeadersObject, name: string): boolean {
  if (map === stream.requestHeaders) return isInlineHeader(name, false);
  return map === stream.responseHeaders && isInlineHeader(name, true);
}

/** Values end at a NUL, as C strings do. */
export function cString(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function mutable({ run, map, mutable: allowed }: HeadersObject): HeaderMap {
  if (!allowed || (run.headersContinued && map === run.headers)) {
    throw new NativeError('header map can no longer be modified');
  }
  if (run.isIterating(map)) throw new NativeError('header map cannot be modified while iterating');
  return map;
}

/** What the map refuses is an error of the script. */
function edit(change: () => void): void {
  try {
    change();
  } catch (error) {
    throw error instanceof Error && error.name === 'InvalidHeaderError' ? new NativeError(error.message) : error;
  }
}

/**
 * `{ [name] = value }`; a value is a string, a number, or a list of strings.
 * @param count of the method's arguments: Envoy's message for a wrong value counts what lies on its stack.
 * @throws NativeError
 * @throws ArgumentError
 */
export function headersOf(table: LuaTable, count: number): [string, string][] {
  const headers: [string, string][] = [];
  for (let cursor = table.advance(0); cursor !== 0; cursor = table.advance(cursor)) {
    const name = table.keyAt(cursor);
    if (typeof name !== 'string') throw new NativeError('header names must be strings');
    const value = table.valueAt(cursor);
    for (const item of value instanceof LuaTable ? value.arr : [value]) {
      if (typeof item !== 'string' && typeof item !== 'number') {
        throw new ArgumentError(count + 4, `string expected, got ${typeOf(item)}`);
      }
      headers.push([name, cString(typeof item === 'number' ? formatNumber(item) : item)]);
    }
  }
  return headers;
}
