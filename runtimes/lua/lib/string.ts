/** Functions of strings. Sources: Lua 5.1 reference manual, section 5.4; LuaJIT (`rep` with a separator). */
import { formatNumber } from '../vm/numbers.ts';
import { LuaTable } from '../vm/table.ts';
import { LuaFunction, type LuaValue, NONE, typeOf } from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';
import { format } from './format.ts';
import { type Library, library, native } from './library.ts';
import { isPlain, Matcher } from './pattern.ts';

/** Bytes that a piece of a text takes. */
const PART_SIZE = 32;

export function createString(vm: Vm, index: (object: LuaValue, key: LuaValue) => LuaValue): Library {
  const { meter } = vm;

  /** Where a position that may count from the end (-1) is, from 1. */
  const position = (at: number, length: number): number => (at >= 0 ? at : Math.max(0, length + at + 1));

  function find(args: LuaValue[], returnsPlace: boolean): LuaValue | LuaValue[] {
    const text = vm.string(args, 0);
    const pattern = vm.string(args, 1);
    let start = position(vm.optionalInteger(args, 2, 1), text.length) - 1;
    if (start < 0) start = 0;
    else if (start > text.length) start = text.length;
    if (returnsPlace && ((args[3] !== undefined && args[3] !== false) || isPlain(pattern))) {
      meter.charge((text.length - start) >> 6);
      const at = text.indexOf(pattern, start);
      return at < 0 ? undefined : [at + 1, at + pattern.length];
    }
    const matcher = new Matcher(vm, text, pattern);
    const anchored = pattern.charCodeAt(0) === 94;
    do {
      const end = matcher.match(start, anchored ? 1 : 0);
      if (end >= 0) {
        if (returnsPlace) return [start + 1, end, ...matcher.captures(start, end, false)];
        return matcher.level <= 1 ? matcher.capture(0, start, end) : matcher.captures(start, end, true);
      }
    } while (!anchored && ++start <= text.length);
    return undefined;
  }

  function gsub(args: LuaValue[]): LuaValue[] {
    const text = vm.string(args, 0);
    const pattern = vm.string(args, 1);
    const replacement = args[2];
    const isText = typeof replacement === 'string' || typeof replacement === 'number';
    if (!isText && !(replacement instanceof LuaTable) && !(replacement instanceof LuaFunction)) {
      throw vm.argumentError(3, 'string/function/table expected');
    }
    const limit = vm.optionalInteger(args, 3, text.length + 1);
    const anchored = pattern.charCodeAt(0) === 94;
    const template = isText ? String(typeof replacement === 'number' ? formatNumber(replacement) : replacement) : '';
    const simple = !template.includes('%');
    if (isText && simple && pattern !== '' && isPlain(pattern)) return replacePlain(text, pattern, template, limit);
    const matcher = new Matcher(vm, text, pattern);
    let result = '';
    let [at, copied, count] = [0, 0, 0];
    while (count < limit) {
      const end = matcher.match(at, anchored ? 1 : 0);
      if (end >= 0) {
        count++;
        const value = isText
          ? simple
            ? template
            : expand(matcher, template, at, end)
          : replace(matcher, replacement, at, end);
        result += text.slice(copied, at) + (value ?? text.slice(at, end));
        copied = end;
        if (result.length > meter.maxString) meter.checkString(result.length);
      }
      if (end > at) at = end;
      else if (at < text.length) {
        if (end >= 0) {
          result += text[at];
          copied = at + 1;
        }
        at++;
      } else break;
      if (anchored) break;
    }
    if (copied < text.length) result += text.slice(copied);
    meter.checkString(result.length);
    return [result, count];
  }

  /** Texts without anything special in them need no matcher. */
  function replacePlain(text: string, pattern: string, by: string, limit: number): LuaValue[] {
    const parts: string[] = [];
    let from = 0;
    while (parts.length < limit) {
      const at = text.indexOf(pattern, from);
      if (at < 0) break;
      parts.push(text.slice(from, at));
      from = at + pattern.length;
      meter.charge(1);
      meter.allocate(PART_SIZE + by.length);
      if (from + parts.length * by.length > meter.maxString + text.length) meter.checkString(parts.length * by.length);
    }
    const count = parts.length;
    parts.push(text.slice(from));
    meter.charge(text.length >> 5);
    meter.checkString(text.length + count * Math.max(0, by.length - pattern.length));
    return [parts.join(by), count];
  }

  /** The text of a replacement by a function or a table; `undefined` keeps what was matched. */
  function replace(matcher: Matcher, by: LuaValue, start: number, end: number): string | undefined {
    const value =
      by instanceof LuaFunction
        ? vm.first(vm.callFromNative(by, matcher.captures(start, end, true)))
        : index(by, matcher.capture(0, start, end));
    if (value === undefined || value === false) return undefined;
    if (typeof value === 'string') return value;
    if (typeof value === 'number') return formatNumber(value);
    throw vm.nativeError(`invalid replacement value (a ${typeOf(value)})`);
  }

  function expand(matcher: Matcher, template: string, start: number, end: number): string {
    let result = '';
    for (let i = 0; i < template.length; i++) {
      const c = template[i] as string;
      if (c !== '%') {
        result += c;
        continue;
      }
      const next = template[++i];
      if (next === undefined) throw vm.nativeError("invalid use of '%' in replacement string");
      if (next === '0') result += matcher.source.slice(start, end);
      else if (next >= '1' && next <= '9') {
        const value = matcher.capture(Number(next) - 1, start, end);
        result += typeof value === 'number' ? formatNumber(value) : value;
      } else result += next;
    }
    return result;
  }

  const members = library({
    byte(...args) {
      const text = vm.string(args, 0);
      const from = position(vm.optionalInteger(args, 1, 1), text.length);
      const to = position(vm.optionalInteger(args, 2, from), text.length);
      if (from === to && from >= 1) return from <= text.length ? text.charCodeAt(from - 1) : NONE;
      if (Math.min(to, text.length) - Math.max(from, 1) >= 7997) throw vm.nativeError('string slice too long');
      const bytes: number[] = [];
      for (let i = Math.max(from, 1); i <= Math.min(to, text.length); i++) bytes.push(text.charCodeAt(i - 1));
      return bytes;
    },
    char(...args) {
      for (let i = 0; i < args.length; i++) {
        const code = vm.integer(args, i);
        if (code < 0 || code > 255) throw vm.argumentError(i + 1, 'invalid value');
      }
      return String.fromCharCode(...args.map((_, i) => vm.integer(args, i)));
    },
    find: (...args) => find(args, true),
    match: (...args) => find(args, false),
    gmatch(...args) {
      const text = vm.string(args, 0);
      const pattern = vm.string(args, 1);
      const matcher = new Matcher(vm, text, pattern);
      let at = 0;
      return native(() => {
        for (; at <= text.length; at++) {
          const end = matcher.match(at, 0);
          if (end < 0) continue;
          const start = at;
          at = end === at ? end + 1 : end;
          const captures = matcher.captures(start, end, true);
          return captures.length === 1 ? captures[0] : captures;
        }
        return undefined;
      });
    },
    gsub: (...args) => gsub(args),
    format: (...args) => format(vm, args),
    len: (...args) => vm.string(args, 0).length,
    lower: (...args) => changeCase(vm, vm.string(args, 0), false),
    upper: (...args) => changeCase(vm, vm.string(args, 0), true),
    rep(...args) {
      const text = vm.string(args, 0);
      const count = Math.max(0, vm.integer(args, 1));
      const separator = args[2] === undefined ? '' : vm.string(args, 2);
      if (count === 0) return '';
      meter.checkString(text.length * count + separator.length * (count - 1));
      return separator === '' ? text.repeat(count) : (text + separator).repeat(count - 1) + text;
    },
    reverse(...args) {
      const text = vm.string(args, 0);
      meter.charge(text.length >> 4);
      meter.checkString(text.length);
      let result = '';
      for (let i = text.length - 1; i >= 0; i--) result += text[i];
      return result;
    },
    sub(...args) {
      const text = vm.string(args, 0);
      let from = position(vm.integer(args, 1), text.length);
      let to = position(vm.optionalInteger(args, 2, -1), text.length);
      if (from < 1) from = 1;
      if (to > text.length) to = text.length;
      return from <= to ? text.slice(from - 1, to) : '';
    },
  });
  return members;
}

/** Letters of ASCII only, as in the C locale. */
function changeCase(vm: Vm, text: string, upper: boolean): string {
  vm.meter.charge(text.length >> 6);
  vm.meter.checkString(text.length);
  if (/^[\0-\x7f]*$/.test(text)) return upper ? text.toUpperCase() : text.toLowerCase();
  return text.replace(upper ? /[a-z]+/g : /[A-Z]+/g, (run) => (upper ? run.toUpperCase() : run.toLowerCase()));
}
