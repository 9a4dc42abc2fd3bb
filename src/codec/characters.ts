/** Character classes of HTTP/1.1, as bits by byte value. Sources: RFC 9110, section 5.6.2; RFC 9112, section 3; RFC 3986. */
export const TOKEN = 1;
/** Field values: VCHAR, obs-text, blank and tab. */
export const FIELD_VALUE = 2;
/** What may stand in a request target: visible ASCII but `#`, which only a fragment has. */
export const TARGET = 4;
/** What may stand in a Host: reg-name, IP literals and the port's colon; no userinfo. */
export const AUTHORITY = 8;

export const CLASS = new Uint8Array(256);

for (let code = 0; code < 256; code++) {
  const character = String.fromCharCode(code);
  let bits = 0;
  if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(character)) bits |= TOKEN;
  if (code === 9 || (code >= 32 && code !== 127)) bits |= FIELD_VALUE;
  if (code > 32 && code < 127 && character !== '#') bits |= TARGET;
  if (/[A-Za-z0-9\-._~%!$&'()*+,;=:[\]]/.test(character)) bits |= AUTHORITY;
  CLASS[code] = bits;
}

/** Whether every character of `text` from `start` up to `end` is of that class. */
export function isAll(text: string, start: number, end: number, characterClass: number): boolean {
  for (let i = start; i < end; i++) if (((CLASS[text.charCodeAt(i)] as number) & characterClass) === 0) return false;
  return true;
}

const lowerCased = new Map<string, string>();
const MAX_REMEMBERED = 4096;
const MAX_REMEMBERED_LENGTH = 64;

/** `name` in lower case; names seen before cost one look-up, and at most 4,096 short ones are remembered. */
export function lowerCase(name: string): string {
  const known = lowerCased.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  if (lowerCased.size < MAX_REMEMBERED && name.length <= MAX_REMEMBERED_LENGTH) lowerCased.set(name, lower);
  return lower;
}
