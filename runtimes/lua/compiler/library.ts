/** Calls that are known never to wait: the standard library's, unless the source puts something else in its place. */
import type { Expression, Identifier } from 'luaparse';

const FUNCTIONS = new Set(
  'assert error getmetatable ipairs next pairs print rawequal rawget rawlen rawset select setmetatable tonumber tostring type unpack loadstring newproxy collectgarbage'.split(
    ' ',
  ),
);
const LIBRARIES = new Set(['string', 'table', 'math', 'bit', 'os']);

/** @param isGlobal whether a name means a global that the source leaves alone. */
export function isSafeCall(callee: Expression, isGlobal: (identifier: Identifier) => boolean): boolean {
  if (callee.type === 'Identifier') return FUNCTIONS.has(callee.name) && isGlobal(callee);
  return (
    callee.type === 'MemberExpression' &&
    callee.indexer === '.' &&
    callee.base.type === 'Identifier' &&
    LIBRARIES.has(callee.base.name) &&
    isGlobal(callee.base)
  );
}

/** The same for what a generic `for` iterates with. */
export function isSafeIterator(iterator: Expression, isGlobal: (identifier: Identifier) => boolean): boolean {
  if (iterator.type === 'Identifier') return iterator.name === 'next' && isGlobal(iterator);
  if (iterator.type !== 'CallExpression') return false;
  const { base } = iterator;
  if (base.type === 'Identifier') return (base.name === 'pairs' || base.name === 'ipairs') && isGlobal(base);
  return base.type === 'MemberExpression' && base.identifier.name === 'gmatch' && isSafeCall(base, isGlobal);
}
