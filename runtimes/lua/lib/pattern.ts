/**
 * Lua's patterns. Every step of a match is an instruction of the running hook, so that a pattern that backtracks for ever ends with
 * the budget. Source: Lua 5.1 reference manual, section 5.4.1; behaviour of `lstrlib.c`.
 */
import type { LuaValue } from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';

const MAX_CAPTURES = 32;
/** Lengths of captures that are no lengths. */
const UNFINISHED = -1;
const POSITION = -2;

const PERCENT = 37;
const OPEN = 40;
const CLOSE = 41;
const STAR = 42;
const PLUS = 43;
const MINUS = 45;
const DOT = 46;
const QUESTION = 63;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const CARET = 94;
const DOLLAR = 36;

/** Whether a pattern has a special character at all. */
export function isPlain(pattern: string): boolean {
  return !/[\^$*+?.([%-]/.test(pattern);
}

export class Matcher {
  readonly source: string;
  readonly pattern: string;
  readonly #vm: Vm;
  /** Captures of the last match. */
  level = 0;
  readonly #start: number[] = [];
  readonly #length: number[] = [];

  constructor(vm: Vm, source: string, pattern: string) {
    this.#vm = vm;
    this.source = source;
    this.pattern = pattern;
  }

  /** Matches the pattern from `patternStart` on at `at`; the end of the match, or -1. */
  match(at: number, patternStart: number): number {
    this.level = 0;
    return this.#match(at, patternStart);
  }

  /** Capture `index` (from 0); the whole match when the pattern has none. */
  capture(index: number, start: number, end: number): LuaValue {
    if (index >= this.level) {
      if (index === 0) return this.source.slice(start, end);
      throw this.#vm.nativeError('invalid capture index');
    }
    const length = this.#length[index] as number;
    const from = this.#start[index] as number;
    if (length === POSITION) return from + 1;
    if (length === UNFINISHED) throw this.#vm.nativeError('unfinished capture');
    return this.source.slice(from, from + length);
  }

  /** All captures, or the whole match. */
  captures(start: number, end: number, whole: boolean): LuaValue[] {
    const count = this.level === 0 && whole ? 1 : this.level;
    const values: LuaValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.capture(i, start, end));
    return values;
  }

  #match(from: number, patternFrom: number): number {
    const { source, pattern } = this;
    const { meter } = this.#vm;
    let s = from;
    let p = patternFrom;
    for (;;) {
      if (--meter.n < 0) meter.trip();
      if (p >= pattern.length) return s;
      switch (pattern.charCodeAt(p)) {
        case OPEN:
          return pattern.charCodeAt(p + 1) === CLOSE
            ? this.#startCapture(s, p + 2, POSITION)
            : this.#startCapture(s, p + 1, UNFINISHED);
        case CLOSE:
          return this.#endCapture(s, p + 1);
        case DOLLAR:
          if (p + 1 === pattern.length) return s === source.length ? s : -1;
          break;
        case PERCENT: {
          const next = pattern.charCodeAt(p + 1);
          if (next === 98) {
            s = this.#matchBalance(s, p + 2);
            if (s < 0) return -1;
            p += 4;
            continue;
          }
          if (next === 102) {
            p += 2;
            if (pattern.charCodeAt(p) !== OPEN_BRACKET) {
              throw this.#vm.nativeError("missing '[' after '%f' in pattern");
            }
            const end = this.#classEnd(p);
            const before = s === 0 ? 0 : source.charCodeAt(s - 1);
            const after = s < source.length ? source.charCodeAt(s) : 0;
            if (this.#matchSet(before, p, end - 1) || !this.#matchSet(after, p, end - 1)) return -1;
            p = end;
            continue;
          }
          if (next >= 48 && next <= 57) {
            s = this.#matchCapture(s, next);
            if (s < 0) return -1;
            p += 2;
            continue;
          }
          break;
        }
      }
      const end = this.#classEnd(p);
      switch (pattern.charCodeAt(end)) {
        case QUESTION: {
          if (s < source.length && this.#matchOne(s, p, end)) {
            const level = this.level;
            const result = this.#match(s + 1, end + 1);
            if (result >= 0) return result;
            this.level = level;
          }
          p = end + 1;
          continue;
        }
        case STAR:
          return this.#maxExpand(s, p, end);
        case PLUS:
          return s < source.length && this.#matchOne(s, p, end) ? this.#maxExpand(s + 1, p, end) : -1;
        case MINUS:
          return this.#minExpand(s, p, end);
        default:
          if (s >= source.length || !this.#matchOne(s, p, end)) return -1;
          s++;
          p = end;
      }
    }
  }

  #startCapture(s: number, p: number, what: number): number {
    const { level } = this;
    if (level >= MAX_CAPTURES) throw this.#vm.nativeError('too many captures');
    this.#start[level] = s;
    this.#length[level] = what;
    this.level = level + 1;
    const result = this.#match(s, p);
    if (result < 0) this.level = level;
    return result;
  }

  #endCapture(s: number, p: number): number {
    let open = this.level - 1;
    while (open >= 0 && this.#length[open] !== UNFINISHED) open--;
    if (open < 0) throw this.#vm.nativeError('invalid pattern capture');
    this.#length[open] = s - (this.#start[open] as number);
    const result = this.#match(s, p);
    if (result < 0) this.#length[open] = UNFINISHED;
    return result;
  }

  #matchCapture(s: number, digit: number): number {
    const index = digit - 49;
    if (index < 0 || index >= this.level || this.#length[index] === UNFINISHED) {
      throw this.#vm.nativeError('invalid capture index');
    }
    const length = Math.max(0, this.#length[index] as number);
    const start = this.#start[index] as number;
    this.#vm.meter.charge(length >> 3);
    return this.source.startsWith(this.source.slice(start, start + length), s) ? s + length : -1;
  }

  #matchBalance(from: number, p: number): number {
    const { source, pattern } = this;
    const { meter } = this.#vm;
    if (p + 1 >= pattern.length) throw this.#vm.nativeError('unbalanced pattern');
    const open = pattern.charCodeAt(p);
    const close = pattern.charCodeAt(p + 1);
    if (source.charCodeAt(from) !== open) return -1;
    let depth = 1;
    for (let s = from + 1; s < source.length; s++) {
      if (--meter.n < 0) meter.trip();
      const c = source.charCodeAt(s);
      if (c === close) {
        if (--depth === 0) return s + 1;
      } else if (c === open) depth++;
    }
    return -1;
  }

  #maxExpand(s: number, p: number, end: number): number {
    const { source } = this;
    const { meter } = this.#vm;
    let count = 0;
    while (s + count < source.length && this.#matchOne(s + count, p, end)) {
      if (--meter.n < 0) meter.trip();
      count++;
    }
    if (end + 1 >= this.pattern.length) return s + count;
    for (; count >= 0; count--) {
      const result = this.#match(s + count, end + 1);
      if (result >= 0) return result;
    }
    return -1;
  }

  #minExpand(from: number, p: number, end: number): number {
    let s = from;
    for (;;) {
      const result = this.#match(s, end + 1);
      if (result >= 0) return result;
      if (s < this.source.length && this.#matchOne(s, p, end)) s++;
      else return -1;
    }
  }

  /** Where the single-character class that begins at `p` ends. */
  #classEnd(p: number): number {
    const { pattern } = this;
    const c = pattern.charCodeAt(p);
    let at = p + 1;
    if (c === PERCENT) {
      if (at >= pattern.length) throw this.#vm.nativeError("malformed pattern (ends with '%')");
      return at + 1;
    }
    if (c !== OPEN_BRACKET) return at;
    if (pattern.charCodeAt(at) === CARET) at++;
    do {
      if (at >= pattern.length) throw this.#vm.nativeError("malformed pattern (missing ']')");
      if (pattern.charCodeAt(at++) === PERCENT && at < pattern.length) at++;
    } while (pattern.charCodeAt(at) !== CLOSE_BRACKET);
    return at + 1;
  }

  #matchOne(s: number, p: number, end: number): boolean {
    const c = this.source.charCodeAt(s);
    const q = this.pattern.charCodeAt(p);
    switch (q) {
      case DOT:
        return true;
      case PERCENT:
        return matchClass(c, this.pattern.charCodeAt(p + 1));
      case OPEN_BRACKET:
        return this.#matchSet(c, p, end - 1);
      default:
        return q === c;
    }
  }

  /** `p` is at `[`, `end` at `]`. */
  #matchSet(c: number, p: number, end: number): boolean {
    const { pattern } = this;
    let found = true;
    let at = p + 1;
    if (pattern.charCodeAt(at) === CARET) {
      found = false;
      at++;
    }
    for (; at < end; at++) {
      const q = pattern.charCodeAt(at);
      if (q === PERCENT) {
        at++;
        if (matchClass(c, pattern.charCodeAt(at))) return found;
      } else if (pattern.charCodeAt(at + 1) === MINUS && at + 2 < end) {
        if (q <= c && c <= pattern.charCodeAt(at + 2)) return found;
        at += 2;
      } else if (q === c) return found;
    }
    return !found;
  }
}

const LETTER = 1;
const DIGIT = 2;
const LOWER = 4;
const SPACE = 8;
const UPPER = 16;
const HEX = 32;
const CONTROL = 64;
const PUNCTUATION = 128;

/** Properties of bytes in the C locale. */
const PROPERTIES = Uint8Array.from({ length: 256 }, (_, c) => {
  const upper = c >= 65 && c <= 90;
  const lower = c >= 97 && c <= 122;
  const digit = c >= 48 && c <= 57;
  const hex = digit || (c >= 65 && c <= 70) || (c >= 97 && c <= 102);
  return (
    (upper || lower ? LETTER : 0) |
    (digit ? DIGIT : 0) |
    (lower ? LOWER : 0) |
    (c === 32 || (c >= 9 && c <= 13) ? SPACE : 0) |
    (upper ? UPPER : 0) |
    (hex ? HEX : 0) |
    (c < 32 || c === 127 ? CONTROL : 0) |
    (c > 32 && c < 127 && !upper && !lower && !digit ? PUNCTUATION : 0)
  );
});

const CLASSES: Readonly<Record<string, number>> = {
  a: LETTER,
  c: CONTROL,
  d: DIGIT,
  g: LETTER | DIGIT | PUNCTUATION,
  l: LOWER,
  p: PUNCTUATION,
  s: SPACE,
  u: UPPER,
  w: LETTER | DIGIT,
  x: HEX,
};
/** Class letters, lower and upper, to properties; 0 for what is no class. */
const CLASS_OF = Uint8Array.from({ length: 256 }, (_, c) => CLASSES[String.fromCharCode(c).toLowerCase()] ?? 0);

function matchClass(c: number, letter: number): boolean {
  const properties = CLASS_OF[letter] as number;
  if (properties === 0) return letter === 122 ? c === 0 : letter === 90 ? c !== 0 : letter === c;
  const has = ((PROPERTIES[c] as number) & properties) !== 0;
  return letter < 97 ? !has : has;
}
