/** Values between JavaScript and Lua. A Lua string is a string of bytes; header values are the same bytes as latin-1 text. */
import { type LuaState, type LuaString, lauxlib, lua, to_luastring } from 'fengari';
import type { Json } from '../../src/abi/index.ts';

/** Each character of `text` as one byte. */
export function bytesOf(text: string): LuaString {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Each byte as one character. */
export function textOf(bytes: Uint8Array): string {
  if (bytes.length > 256) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  let text = '';
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i] as number);
  return text;
}

export function pushText(L: LuaState, text: string): void {
  lua.lua_pushlstring(L, bytesOf(text), text.length);
}

/** Body bytes are copied: Lua strings never change, a read buffer may be used again. */
export function pushBytes(L: LuaState, bytes: Uint8Array): void {
  lua.lua_pushlstring(L, Uint8Array.from(bytes), bytes.length);
}

/** The string argument at `index` (a number is taken as a string), as latin-1 text. Raises a Lua error otherwise. */
export function checkText(L: LuaState, index: number): string {
  return textOf(lauxlib.luaL_checklstring(L, index));
}

/** Raises a Lua error with the position of the caller. */
export function raise(L: LuaState, message: string): number {
  return lauxlib.luaL_error(L, to_luastring('%s'), to_luastring(message));
}

/** Pushes a JSON value: null as nil, lists as tables from 1 on. Strings go as UTF-8. */
export function pushJson(L: LuaState, value: Json | undefined): void {
  lua.lua_checkstack(L, 8);
  if (value === null || value === undefined) lua.lua_pushnil(L);
  else if (typeof value === 'boolean') lua.lua_pushboolean(L, value);
  else if (typeof value === 'number') pushNumber(L, value);
  else if (typeof value === 'string') pushUtf8(L, value);
  else if (Array.isArray(value)) {
    lua.lua_createtable(L, value.length, 0);
    for (const [i, item] of value.entries()) {
      pushJson(L, item);
      lua.lua_rawseti(L, -2, i + 1);
    }
  } else {
    lua.lua_createtable(L, 0, 4);
    for (const [key, item] of Object.entries(value)) {
      pushUtf8(L, key);
      pushJson(L, item);
      lua.lua_rawset(L, -3);
    }
  }
}

export function pushUtf8(L: LuaState, text: string): void {
  const bytes = to_luastring(text);
  lua.lua_pushlstring(L, bytes, bytes.length);
}

function pushNumber(L: LuaState, value: number): void {
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 31) lua.lua_pushinteger(L, value);
  else lua.lua_pushnumber(L, value);
}

const MAX_DEPTH = 64;

/** The value at `index` as JSON. Throws Error for what JSON has no word for. */
export function toJson(L: LuaState, index: number, depth = 0): Json {
  if (depth > MAX_DEPTH) throw new Error('the table is nested too deeply, or holds itself');
  switch (lua.lua_type(L, index)) {
    case lua.LUA_TNIL:
      return null;
    case lua.LUA_TBOOLEAN:
      return lua.lua_toboolean(L, index);
    case lua.LUA_TNUMBER:
      return lua.lua_tonumber(L, index);
    case lua.LUA_TSTRING:
      return new TextDecoder().decode(lua.lua_tolstring(L, index) as Uint8Array);
    case lua.LUA_TTABLE:
      return tableToJson(L, index, depth);
    default:
      throw new Error('only nil, booleans, numbers, strings and tables can be kept');
  }
}

function tableToJson(L: LuaState, index: number, depth: number): Json {
  const length = lua.lua_rawlen(L, index);
  if (length > 0) {
    const list: Json[] = [];
    for (let i = 1; i <= length; i++) {
      lua.lua_rawgeti(L, index, i);
      list.push(toJson(L, lua.lua_gettop(L), depth + 1));
      lua.lua_pop(L, 1);
    }
    return list;
  }
  const record = Object.create(null) as Record<string, Json>;
  lua.lua_pushnil(L);
  while (lua.lua_next(L, index) !== 0) {
    if (lua.lua_type(L, -2) !== lua.LUA_TSTRING) throw new Error('only string keys are supported');
    record[textOf(lua.lua_tolstring(L, -2) as Uint8Array)] = toJson(L, lua.lua_gettop(L), depth + 1);
    lua.lua_pop(L, 1);
  }
  return record;
}
