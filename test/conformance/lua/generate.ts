/** Random Lua programs from a seed: scopes, closures, loops, tables, strings, metatables, errors, coroutines. They print what they find. */
import { randomOf } from '../http1/corpus.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e'];
const TEXTS = [
  '""',
  '"x"',
  '"10"',
  '"hello world"',
  '"a,b,c"',
  '"  7 "',
  '"k=v"',
  '"%d"',
  "'it''s'".replace("''", "\\'"),
  '"0x1F"',
  '"\\1z"',
];
const NUMBERS = ['0', '1', '2', '3', '7', '-1', '0.5', '1.5', '10', '100', '1e3', '2^31', '1/3', '-2.5', '255', '1e15'];
const PATTERNS = [
  '"%a+"',
  '"(%w)(%w*)"',
  '"."',
  '"[^,]+"',
  '"%d*"',
  '"l+"',
  '"^%s*(.-)%s*$"',
  '"()x?"',
  '"%f[%w]%w+"',
  '"(.)%1"',
];

export class ProgramGenerator {
  readonly #below: (limit: number) => number;
  readonly #portable: boolean;
  #depth = 0;
  #scopes: string[][] = [];
  #loops = 0;
  #budget = 0;

  /** @param portable leave out what LuaJIT does and PUC Lua 5.1 refuses. */
  constructor(seed: number, portable = false) {
    this.#portable = portable;
    this.#below = randomOf(seed);
  }

  /** A program of about `size` statements. */
  program(size: number): string {
    this.#scopes = [[]];
    this.#budget = size;
    const lines = [
      // Addresses differ.
      'local plain = tostring local function tostring(v) local k = type(v) if k == "function" or k == "table" or k == "thread" then return k end return plain(v) end',
      'local function show(...) local t = {} for i = 1, select("#", ...) do local v = select(i, ...) t[i] = type(v) == "table" and "table" or type(v) == "function" and "function" or type(v) == "thread" and "thread" or tostring(v) end print(table.concat(t, " ")) end',
      'local function protect(f, ...) show(pcall(f, ...)) end',
    ];
    while (this.#budget > 0)
      lines.push(`protect(function(...) ${this.#block(3)} end, ${this.#leaf()}, ${this.#leaf()})`);
    return lines.join('\n');
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  #block(most: number): string {
    this.#scopes.push([]);
    const count = 1 + this.#below(most);
    const statements: string[] = [];
    for (let i = 0; i < count; i++) statements.push(this.#statement());
    if (this.#below(4) === 0 && this.#depth < 6) statements.push(`do return ${this.#list(2)} end`);
    this.#scopes.pop();
    return statements.join(' ');
  }

  #statement(): string {
    this.#budget--;
    this.#depth++;
    try {
      if (this.#depth > 5) return `show(${this.#list(2)})`;
      switch (this.#below(17)) {
        case 0:
        case 1: {
          const value = this.#list(2);
          const names = this.#below(3) === 0 ? `${this.#declare()}, ${this.#declare()}` : this.#declare();
          return `local ${names} = ${value}`;
        }
        case 2:
          return `${this.#variable()} = ${this.#expression(2)}`;
        case 3:
          return `if ${this.#expression(2)} then ${this.#block(2)} else ${this.#block(2)} end`;
        case 4:
          return `for i = ${this.#below(3)}, ${this.#below(5)} do ${this.#inLoop(() => this.#block(2), 'i')} end`;
        case 5:
          return `for k, v in ipairs({${this.#list(3)}}) do ${this.#inLoop(() => this.#block(2), 'k', 'v')} end`;
        case 6: {
          const n = `n${this.#below(1000)}`;
          return `local ${n} = 0 while ${n} < ${1 + this.#below(4)} do ${n} = ${n} + 1 ${this.#inLoop(() => this.#block(2), n)} end`;
        }
        case 7: {
          const n = `r${this.#below(1000)}`;
          return `local ${n} = 0 repeat ${n} = ${n} + 1 local inner = ${n} * 2 ${this.#inLoop(() => this.#plainBlock(2), n)} until inner > ${this.#below(8)}`;
        }
        case 8: {
          const name = this.#declare();
          return `local function ${name}(...) local p, q = ... ${this.#inFunction(() => this.#block(3), 'p', 'q')} end`;
        }
        case 9:
          return `do ${this.#block(3)} end`;
        case 10:
          return `show(${this.#list(3)})`;
        case 11:
          return `local t = {${this.#fields()}} t[${this.#key()}] = ${this.#expression(2)} show(t[${this.#key()}], t[1], t.x)`;
        case 12:
          return `protect(function() ${this.#inFunction(() => this.#block(2))} end)`;
        case 13:
          return `local co = coroutine.wrap(function(...) local p = ... ${this.#inFunction(() => this.#block(1), 'p')} local r = coroutine.yield(${this.#list(2)}) show("in", r) error(${this.#expression(1)}) end) protect(co, ${this.#expression(1)}) protect(co, ${this.#expression(1)}) protect(co)`;
        case 14:
          return `for w in string.gmatch(tostring(${this.#expression(1)}), ${this.#pick(PATTERNS)}) do show(w) end`;
        case 15:
          return `local m = setmetatable({}, {__index = function(t, k) return (${this.#expression(1)}) end, __add = function(x, y) return (${this.#expression(1)}) end, __call = function(self, z) return ${this.#list(2)} end, __concat = function(l, r) return (${this.#expression(1)}) end}) show(m.z, m(1)) protect(function() return m + ${this.#expression(1)} end) protect(function() return m .. ${this.#expression(1)} end)`;
        default:
          return `if ${this.#expression(1)} then error(${this.#pick(['"boom"', '"lvl", 2', '{}', '"none", 0'])}) end`;
      }
    } finally {
      this.#depth--;
    }
  }

  #plainBlock(most: number): string {
    const count = 1 + this.#below(most);
    return Array.from({ length: count }, () => `show(${this.#list(2)})`).join(' ');
  }

  #inLoop(make: () => string, ...names: string[]): string {
    this.#loops++;
    this.#scopes.push(names);
    const code = make();
    this.#scopes.pop();
    this.#loops--;
    return this.#below(4) > 0 ? code : `${code} if ${this.#expression(1)} then break end`;
  }

  #inFunction(make: () => string, ...names: string[]): string {
    const loops = this.#loops;
    this.#loops = 0;
    this.#scopes.push(names);
    const code = make();
    this.#scopes.pop();
    this.#loops = loops;
    return code;
  }

  #declare(): string {
    const name = this.#pick(NAMES);
    this.#scopes.at(-1)?.push(name);
    return name;
  }

  #variable(): string {
    const known = this.#scopes.flat();
    return known.length > 0 && this.#below(4) > 0 ? this.#pick(known) : `g${this.#below(3)}`;
  }

  #key(): string {
    return this.#pick(['1', '2', '"x"', '3', '"y"', '1.5', 'true']);
  }

  #fields(): string {
    // A key that is given twice has the first value in one Lua and the last in another.
    const listed = Array.from({ length: this.#below(3) }, () => this.#expression(1));
    const keyed = this.#below(2) === 0 ? [`x = ${this.#expression(1)}`, `[1.5] = ${this.#expression(1)}`] : [];
    return [...listed, ...keyed].join(', ');
  }

  #list(most: number): string {
    return Array.from({ length: 1 + this.#below(most) }, () => this.#expression(2)).join(', ');
  }

  #expression(depth: number): string {
    if (depth <= 0 || this.#below(3) === 0) return this.#leaf();
    const sub = () => this.#expression(depth - 1);
    switch (this.#below(14)) {
      case 0:
      case 1:
        return `(${sub()} ${this.#pick(['+', '-', '*', '/', '%'])} ${sub()})`;
      case 2:
        return `(${sub()} .. ${sub()})`;
      case 3:
        return `(${sub()} ${this.#pick(['==', '~=', '<', '<=', '>', '>='])} ${sub()})`;
      case 4:
        return `(${sub()} ${this.#pick(['and', 'or'])} ${sub()})`;
      case 5:
        return `(not ${sub()})`;
      case 6:
        return `#${this.#pick(TEXTS)}`;
      case 7:
        return `tostring(${sub()})`;
      case 8:
        return `tonumber(${sub()})`;
      case 9:
        return `select(${1 + this.#below(2)}, ${sub()}, ${sub()})`;
      case 10:
        return `(function(...) return ${this.#below(2) === 0 ? '...' : sub()} end)(${sub()}, ${sub()})`;
      case 11:
        return `string.${this.#pick(['upper', 'len', 'reverse', 'byte', 'lower'])}(${sub()})`;
      case 12:
        return `(string.${this.#pick(['gsub', 'find', 'match'])}(${this.#pick(TEXTS)}, ${this.#pick(PATTERNS)}${this.#below(2) === 0 ? ', "<%0>"' : ', 1'}))`.replace(
          /(find|match)\(([^)]*), "<%0>"\)/,
          '$1($2)',
        );
      default: {
        const conversion = this.#pick(['%d', '%s', '%5.1f', '%x', '%q', '%g', '%-4s|']);
        const isText = /[sq]/.test(conversion);
        return `string.format("${conversion}", ${this.#portable && isText ? `tostring(${sub()})` : sub()})`;
      }
    }
  }

  #leaf(): string {
    switch (this.#below(7)) {
      case 0:
        return this.#pick(TEXTS);
      case 1:
      case 2:
        return this.#pick(NUMBERS);
      case 3:
        return this.#pick(['nil', 'true', 'false']);
      default:
        return this.#variable();
    }
  }
}
