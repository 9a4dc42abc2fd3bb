/** Source text to syntax tree: Lua 5.1 with what LuaJIT adds when it is built with Lua 5.2's extensions, as Envoy's is. */
import { type Chunk, type Expression, parse, type Statement } from 'luaparse';

/** Bytes; a longer source is refused. */
const MAX_SOURCE = 4 * 1024 * 1024;

/** A source that does not compile. */
export class LuaSyntaxError extends Error {
  override readonly name = 'LuaSyntaxError';
  readonly line: number;
  /** From 1. */
  readonly column: number | undefined;

  constructor(message: string, line: number, column?: number) {
    super(message);
    this.line = line;
    this.column = column;
  }
}

/**
 * @param source one character per byte.
 * @throws LuaSyntaxError
 */
export function parseLua(source: string): Chunk {
  if (source.length > MAX_SOURCE) throw new LuaSyntaxError('the script is too long', 1);
  if (source.charCodeAt(0) === 27) throw new LuaSyntaxError('bytecode is not loaded, only source text', 1);
  try {
    // The grammar of 5.3 is that of LuaJIT with 5.2's extensions, and `\u{}`, and operators that the compiler refuses.
    const text = markStrings(source);
    return parse(text, {
      luaVersion: '5.3',
      encodingMode: 'pseudo-latin1',
      locations: true,
      ranges: true,
      comments: false,
      onCreateNode: (node) => noteParentheses(node, text),
    });
  } catch (error) {
    if (error instanceof RangeError) throw new LuaSyntaxError('chunk has too many syntax levels', 1);
    const { line, column } = error as { line?: number; column?: number };
    if (!(error instanceof Error) || line === undefined) throw error;
    const text = error.message.replace(/^\[[0-9]+:[0-9]+\] /, '').replaceAll(STRING_MARK, '');
    throw new LuaSyntaxError(asInLua(text), line, column === undefined ? undefined : column + 1);
  }
}

/** The parser's message in Lua's words. */
function asInLua(text: string): string {
  const unexpected = /^unexpected (?:\w+) '(.*)' near '.*'$/s.exec(text);
  if (unexpected !== null) return `unexpected symbol near '${unexpected[1]}'`;
  return text
    .replace(/^<expression> expected near/, 'unexpected symbol near')
    .replace(/^<name> expected/, "'<name>' expected");
}

/**
 * The tree says nothing of parentheses, which cut the values of the last expression of a list down to one: `return (f())`. They are
 * there when a `)` follows that is not the end of the call whose argument it is.
 */
function noteParentheses(node: Statement | Expression | Chunk, source: string): void {
  const last = lastOfList(node);
  if (last === undefined) return;
  const close = skipBlanks(source, last.range[1]);
  if (source[close] !== ')') return;
  last.inParens = node.type !== 'CallExpression' || close !== node.range[1] - 1;
}

function lastOfList(node: Statement | Expression | Chunk): Expression | undefined {
  switch (node.type) {
    case 'CallExpression':
    case 'ReturnStatement':
      return node.arguments.at(-1);
    case 'LocalStatement':
    case 'AssignmentStatement':
      return node.init.at(-1);
    case 'ForGenericStatement':
      return node.iterators.at(-1);
    case 'TableConstructorExpression':
      return node.fields.at(-1)?.value;
    default:
      return undefined;
  }
}

/** The next character that is neither blank nor in a comment. */
function skipBlanks(source: string, from: number): number {
  let i = from;
  for (;;) {
    while (/\s/.test(source[i] ?? '')) i++;
    if (source[i] !== '-' || source[i + 1] !== '-') return i;
    const level = longBracket(source, i + 2);
    i = level < 0 ? endOf(source, '\n', i) : endOfLong(source, i + 2, level);
  }
}

/** Stands before the text of every string literal. */
export const STRING_MARK = '\u0001';

/**
 * Puts a mark at the beginning of every string literal: the parser compares tokens by their text alone, so that it would take
 * `return "end"` for `return end`, and `{ "}" }` for `{ }`. What is not closed is left to the parser, which reports it.
 */
function markStrings(source: string): string {
  let marked = '';
  let copied = 0;
  const mark = (at: number) => {
    marked += source.slice(copied, at) + STRING_MARK;
    copied = at;
  };
  for (let i = 0; i < source.length; ) {
    const c = source[i];
    if (c === '"' || c === "'") {
      mark(i + 1);
      i = endOfString(source, i + 1, c);
    } else if (c === '[') {
      const level = longBracket(source, i);
      if (level >= 0) mark(afterNewline(source, i + level + 2));
      i = level < 0 ? i + 1 : endOfLong(source, i, level);
    } else if (c === '-' && source[i + 1] === '-') {
      const level = longBracket(source, i + 2);
      i = level < 0 ? endOf(source, '\n', i) : endOfLong(source, i + 2, level);
    } else i++;
  }
  return marked + source.slice(copied);
}

/** Where a short string ends; it may go on in the next line after a backslash or `\\z`. */
function endOfString(source: string, start: number, quote: string): number {
  for (let i = start; i < source.length; i++) {
    const c = source[i];
    if (c === quote) return i + 1;
    if (c === '\n' || c === '\r') return i;
    if (c !== '\\') continue;
    i++;
    if (source[i] === '\r' && source[i + 1] === '\n') i++;
    if (source[i] === 'z') while (/\s/.test(source[i + 1] ?? '')) i++;
  }
  return source.length;
}

/** The number of `=` of the long bracket that opens here, or -1. */
function longBracket(source: string, at: number): number {
  if (source[at] !== '[') return -1;
  let i = at + 1;
  while (source[i] === '=') i++;
  return source[i] === '[' ? i - at - 1 : -1;
}

function endOfLong(source: string, at: number, level: number): number {
  return endOf(source, `]${'='.repeat(level)}]`, at + level + 2);
}

function endOf(source: string, text: string, from: number): number {
  const at = source.indexOf(text, from);
  return at < 0 ? source.length : at + text.length;
}

/** A long string does not begin with the line break behind its bracket. */
function afterNewline(source: string, at: number): number {
  const pair = source.slice(at, at + 2);
  if (pair === '\r\n' || pair === '\n\r') return at + 2;
  return pair[0] === '\n' || pair[0] === '\r' ? at + 1 : at;
}

/** The text of a string literal. */
export function stringValue(literal: { value: string }): string {
  return literal.value.startsWith(STRING_MARK) ? literal.value.slice(1) : literal.value;
}
