/** Strings between JavaScript and fengari. A Lua string is a string of bytes; in JavaScript it has one character per byte. */
import { type LuaState, type LuaString, lauxlib, to_luastring } from 'fengari';

/** Each character of `text` as one byte. */
export function bytesOf(text: string): LuaString {
  if (text.length > 256) return Uint8Array.from(Buffer.from(text, 'latin1'));
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

/** Raises a Lua error with the position of the caller. */
export function raise(L: LuaState, message: string): number {
  return lauxlib.luaL_error(L, to_luastring('%s'), to_luastring(message));
}
