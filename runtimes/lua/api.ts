/** The methods that a script sees. Source: Envoy, "Lua" HTTP filter, and shared observations of Envoy 1.40. */
import { type LuaState, lauxlib, lua } from 'fengari';
import { HeaderMap, type Json, type Log } from '../../src/abi/index.ts';
import { type Method, ObjectKind } from './objects.ts';
import type { ScriptBuffer, ScriptStream } from './script-stream.ts';
import { bytesOf, checkText, pushBytes, pushJson, pushText, pushUtf8, raise, textOf, toJson } from './values.ts';

interface HeadersObject {
  map: HeaderMap;
  stream: ScriptStream;
  mutable: boolean;
}
interface JsonObject {
  values: Readonly<Record<string, Json>>;
}
interface StreamObject {
  stream: ScriptStream;
}

/** The kinds of objects of one Lua state. */
export interface Kinds {
  handle: ObjectKind<ScriptStream>;
  headers: ObjectKind<HeadersObject>;
  buffer: ObjectKind<ScriptBuffer>;
  metadata: ObjectKind<JsonObject>;
  streamInfo: ObjectKind<StreamObject>;
  dynamicMetadata: ObjectKind<StreamObject>;
  connection: ObjectKind<StreamObject>;
}

/** `kinds` refers to itself: methods make objects of other kinds. */
export function createKinds(L: LuaState): Kinds {
  const kinds = {} as Kinds;
  kinds.headers = new ObjectKind(L, 'header map', headerMethods, headerPairs);
  kinds.buffer = new ObjectKind(L, 'buffer', bufferMethods);
  kinds.metadata = new ObjectKind(L, 'metadata', metadataMethods, jsonPairs);
  kinds.dynamicMetadata = new ObjectKind(L, 'dynamic metadata', dynamicMetadataMethods);
  kinds.streamInfo = new ObjectKind(L, 'stream info', streamInfoMethods(kinds));
  kinds.connection = new ObjectKind(L, 'connection', {
    ssl: (state) => {
      lua.lua_pushnil(state);
      return 1;
    },
  });
  kinds.handle = new ObjectKind(L, 'stream handle', handleMethods(kinds));
  return kinds;
}

const headerMethods: Readonly<Record<string, Method<HeadersObject>>> = {
  get(L, { map }) {
    const value = map.get(checkText(L, 2));
    if (value === undefined) return 0;
    pushText(L, value);
    return 1;
  },
  getAtIndex(L, { map }) {
    const value = map.getAll(checkText(L, 2))[Math.trunc(lauxlib.luaL_checknumber(L, 3))];
    if (value === undefined) return 0;
    pushText(L, value);
    return 1;
  },
  getNumValues(L, { map }) {
    lua.lua_pushinteger(L, map.getAll(checkText(L, 2)).length);
    return 1;
  },
  add(L, headers) {
    const name = checkText(L, 2);
    const value = checkText(L, 3);
    checkMutable(headers).add(name, cString(value));
    return 0;
  },
  replace(L, headers) {
    const name = checkText(L, 2);
    const value = checkText(L, 3);
    checkMutable(headers).set(name, cString(value));
    return 0;
  },
  remove(L, headers) {
    checkMutable(headers).remove(checkText(L, 2));
    return 0;
  },
};

/** Values end at a NUL, as C strings do. */
function cString(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function checkMutable({ map, stream, mutable }: HeadersObject): HeaderMap {
  if (!mutable || (stream.headersContinued && map === stream.headers))
    throw new Error('header map can no longer be modified');
  if (stream.iterating === map) throw new Error('header map cannot be modified while iterating');
  return map;
}

const headerPairs: Method<HeadersObject> = (L, { map, stream }) => {
  if (stream.iterating === map) throw new Error('cannot create a second iterator before completing the first');
  stream.iterating = map;
  let i = 0;
  const { epoch } = stream;
  lua.lua_pushcclosure(
    L,
    (state) => {
      if (stream.epoch !== epoch) return raise(state, 'object used outside of proper scope');
      if (i >= map.size) {
        stream.iterating = undefined;
        lua.lua_pushnil(state);
        return 1;
      }
      pushText(state, map.nameAt(i));
      pushText(state, map.valueAt(i));
      i++;
      return 2;
    },
    0,
  );
  return 1;
};

const bufferMethods: Readonly<Record<string, Method<ScriptBuffer>>> = {
  length(L, buffer) {
    lua.lua_pushinteger(L, buffer.bytes.length);
    return 1;
  },
  getBytes(L, { bytes }) {
    const index = lauxlib.luaL_checkinteger(L, 2);
    const length = lauxlib.luaL_checkinteger(L, 3);
    if (index < 0 || length < 0 || index + length > bytes.length) {
      throw new Error('index/length must be >= 0 and (index + length) must be <= buffer size');
    }
    pushBytes(L, bytes.subarray(index, index + length));
    return 1;
  },
  setBytes(L, buffer) {
    buffer.bytes = Uint8Array.from(lauxlib.luaL_checklstring(L, 2));
    buffer.replaced = true;
    lua.lua_pushinteger(L, buffer.bytes.length);
    return 1;
  },
};

const metadataMethods: Readonly<Record<string, Method<JsonObject>>> = {
  get(L, { values }) {
    const key = checkText(L, 2);
    if (!Object.hasOwn(values, key)) return 0;
    pushJson(L, values[key]);
    return 1;
  },
};

const jsonPairs: Method<JsonObject> = (L, { values }) => {
  const entries = Object.entries(values);
  let i = 0;
  lua.lua_pushcclosure(
    L,
    (state) => {
      const entry = entries[i++];
      if (entry === undefined) {
        lua.lua_pushnil(state);
        return 1;
      }
      pushUtf8(state, entry[0]);
      pushJson(state, entry[1]);
      return 2;
    },
    0,
  );
  return 1;
};

const dynamicMetadataMethods: Readonly<Record<string, Method<StreamObject>>> = {
  get(L, { stream }) {
    const values = stream.stream.metadata.get(checkText(L, 2));
    if (values === undefined) return 0;
    pushJson(L, { ...values });
    return 1;
  },
  set(L, { stream }) {
    stream.stream.metadata.set(checkText(L, 2), checkText(L, 3), toJson(L, 4));
    return 0;
  },
};

function streamInfoMethods(kinds: Kinds): Record<string, Method<StreamObject>> {
  const text = (of: (stream: ScriptStream) => string): Method<StreamObject> => {
    return (L, { stream }) => {
      pushText(L, of(stream));
      return 1;
    };
  };
  return {
    protocol: text(({ stream }) => stream.info.protocol),
    routeName: text(({ stream }) => stream.info.route),
    downstreamRemoteAddress: text(({ stream }) => stream.info.downstreamRemoteAddress),
    downstreamDirectRemoteAddress: text(({ stream }) => stream.info.downstreamRemoteAddress),
    downstreamLocalAddress: text(({ stream }) => stream.info.downstreamLocalAddress),
    downstreamDirectLocalAddress: text(({ stream }) => stream.info.downstreamLocalAddress),
    dynamicMetadata(L, object) {
      kinds.dynamicMetadata.push(L, object, object.stream);
      return 1;
    },
  };
}

const LOG_METHODS: Readonly<Record<string, keyof Log>> = {
  logTrace: 'trace',
  logDebug: 'debug',
  logInfo: 'info',
  logWarn: 'warn',
  logErr: 'error',
  logCritical: 'critical',
};

function handleMethods(kinds: Kinds): Record<string, Method<ScriptStream>> {
  const methods: Record<string, Method<ScriptStream>> = {
    headers(L, stream) {
      kinds.headers.push(L, { map: stream.headers, stream, mutable: true }, stream);
      return 1;
    },
    requestHeaders(L, stream) {
      const mutable = stream.direction === 'request';
      kinds.headers.push(L, { map: stream.stream.requestHeaders, stream, mutable }, stream);
      return 1;
    },
    body,
    bodyChunks,
    trailers,
    respond,
    httpCall,
    metadata(L, stream) {
      const all = stream.stream.routeMetadata;
      const own = all[stream.script.name] ?? all['envoy.filters.http.lua'];
      kinds.metadata.push(L, { values: asRecord(own) }, stream);
      return 1;
    },
    filterContext(L, stream) {
      kinds.metadata.push(L, { values: asRecord(stream.stream.routeConfig) }, stream);
      return 1;
    },
    streamInfo(L, stream) {
      kinds.streamInfo.push(L, { stream }, stream);
      return 1;
    },
    connection(L, stream) {
      kinds.connection.push(L, { stream }, stream);
      return 1;
    },
    base64Escape(L) {
      pushText(L, Buffer.from(lauxlib.luaL_checklstring(L, 2)).toString('base64'));
      return 1;
    },
    base64Decode(L) {
      const text = checkText(L, 2);
      if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) lua.lua_pushnil(L);
      else pushBytes(L, Buffer.from(text, 'base64'));
      return 1;
    },
    timestamp(L) {
      lua.lua_pushnumber(L, Date.now());
      return 1;
    },
    // The route is found again after every change of the path, the authority or the method.
    clearRouteCache: () => 0,
  };
  for (const [name, level] of Object.entries(LOG_METHODS)) {
    methods[name] = (L, { stream }) => {
      stream.log[level](`script log: ${checkText(L, 2)}`);
      return 0;
    };
  }
  return methods;
}

function asRecord(value: Json | undefined): Readonly<Record<string, Json>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

/** `body([always_wrap])`: waits for the whole body; no value when there is none. */
const body: Method<ScriptStream> = (L, stream) => {
  const wrap = lua.lua_type(L, 2);
  if (wrap !== lua.LUA_TNONE && wrap !== lua.LUA_TNIL && wrap !== lua.LUA_TBOOLEAN) {
    return lauxlib.luaL_argerror(L, 2, bytesOf('boolean expected'));
  }
  if (stream.body !== undefined) {
    stream.script.kinds.buffer.push(L, stream.body, stream);
    return 1;
  }
  if (stream.bodyPassed) {
    const state = stream.ended ? 'after body has been streamed' : 'after body streaming has started';
    throw new Error(`cannot call body() ${state}`);
  }
  if (!stream.ended) return stream.wait(L, 'body');
  if (!lua.lua_toboolean(L, 2)) return 0;
  stream.body = { bytes: new Uint8Array(0), replaced: false };
  stream.script.kinds.buffer.push(L, stream.body, stream);
  return 1;
};

/** `bodyChunks()`: an iterator that waits for each piece; the last one is empty. */
const bodyChunks: Method<ScriptStream> = (L, stream) => {
  if (stream.bodyPassed || stream.body !== undefined) {
    throw new Error('cannot call bodyChunks after body processing has begun');
  }
  lua.lua_pushcclosure(
    L,
    (state) => {
      if (!stream.ended) return stream.wait(state, 'chunk');
      lua.lua_pushnil(state);
      return 1;
    },
    0,
  );
  return 1;
};

/** `trailers()`: waits for the end of the body; no value when no trailers follow it. */
const trailers: Method<ScriptStream> = (L, stream) => (stream.ended ? 0 : stream.wait(L, 'trailers'));

const respond: Method<ScriptStream> = (L, stream) => {
  lauxlib.luaL_checktype(L, 2, lua.LUA_TTABLE);
  if (stream.direction === 'response') throw new Error('respond not currently supported in the response path');
  if (stream.headersContinued) throw new Error('respond() cannot be called if headers have been continued');
  const headers = headersFromTable(L, 2);
  const status = Number(headers.find(([name]) => name === ':status')?.[1]);
  if (!Number.isInteger(status) || status < 200 || status > 599) throw new Error(':status must be between 200-599');
  const text = lua.lua_type(L, 3) <= lua.LUA_TNIL ? new Uint8Array(0) : lauxlib.luaL_checklstring(L, 3);
  const fields = headers.filter(([name]) => name !== ':status');
  stream.stream.respond(status, fields, Uint8Array.from(text), 'lua_response');
  stream.responded = true;
  return stream.wait(L, 'nothing');
};

/** `httpCall(cluster, headers, body, timeout_ms [, asynchronous])` */
const httpCall: Method<ScriptStream> = (L, stream) => {
  const cluster = checkText(L, 2);
  lauxlib.luaL_checktype(L, 3, lua.LUA_TTABLE);
  const content = lua.lua_type(L, 4) <= lua.LUA_TNIL ? undefined : Uint8Array.from(lauxlib.luaL_checklstring(L, 4));
  const timeout = lauxlib.luaL_checknumber(L, 5);
  if (timeout < 0) throw new Error('http call timeout must be >= 0');
  const flag = lua.lua_type(L, 6);
  if (flag !== lua.LUA_TBOOLEAN && flag !== lua.LUA_TNIL && flag !== lua.LUA_TNONE) {
    throw new Error("http call asynchronous flag must be 'true', 'false', or empty");
  }
  const headers = new HeaderMap(headersFromTable(L, 3));
  if ([':path', ':method', ':authority'].some((name) => !headers.has(name))) {
    throw new Error("http call headers must include ':path', ':method', and ':authority'");
  }
  const request = { headers, timeout, ...(content === undefined ? {} : { body: content }) };
  let response: ReturnType<typeof stream.stream.call>;
  try {
    response = stream.stream.call(cluster, request);
  } catch {
    throw new Error('http call cluster invalid. Must be configured');
  }
  if (lua.lua_toboolean(L, 6)) return 0;
  stream.pending = response.then((answer) => (state: LuaState) => {
    lua.lua_createtable(state, 0, answer.headers.size);
    for (const [name, value] of answer.headers) {
      pushText(state, name);
      pushText(state, value);
      lua.lua_rawset(state, -3);
    }
    if (answer.body.length === 0) lua.lua_pushnil(state);
    else pushBytes(state, answer.body);
    return 2;
  });
  return stream.wait(L, 'call');
};

/** `{ [name] = value }`; a value is a string, a number, or a list of strings. */
function headersFromTable(L: LuaState, index: number): [string, string][] {
  const headers: [string, string][] = [];
  lua.lua_pushnil(L);
  while (lua.lua_next(L, index) !== 0) {
    const name = lua.lua_type(L, -2) === lua.LUA_TSTRING ? textOf(lua.lua_tolstring(L, -2) as Uint8Array) : '';
    if (name === '') throw new Error('header names must be strings');
    if (lua.lua_type(L, -1) === lua.LUA_TTABLE) {
      for (let i = 1; i <= lua.lua_rawlen(L, -1); i++) {
        lua.lua_rawgeti(L, -1, i);
        headers.push([name, checkValue(L, name)]);
        lua.lua_pop(L, 1);
      }
    } else headers.push([name, checkValue(L, name)]);
    lua.lua_pop(L, 1);
  }
  return headers;
}

function checkValue(L: LuaState, name: string): string {
  const type = lua.lua_type(L, -1);
  if (type !== lua.LUA_TSTRING && type !== lua.LUA_TNUMBER)
    throw new Error(`the value of header '${name}' must be a string`);
  // lua_tolstring would turn a number on the stack into a string, which confuses lua_next only for keys.
  return cString(textOf(lua.lua_tolstring(L, -1) as Uint8Array));
}
