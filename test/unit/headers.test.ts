import { describe, expect, test } from 'vitest';
import { HeaderMap, InvalidHeaderError } from '../../src/abi/index.ts';

describe('HeaderMap', () => {
  test('keeps order and duplicates, compares names without case, joins what it gets', () => {
    const headers = new HeaderMap([
      ['X-A', '1'],
      ['Other', 'o'],
      ['x-a', '2'],
    ]);
    expect([...headers]).toEqual([
      ['x-a', '1'],
      ['other', 'o'],
      ['x-a', '2'],
    ]);
    expect(headers.get('X-a')).toBe('1,2');
    expect(headers.getAll('x-A')).toEqual(['1', '2']);
    expect(headers.get('none')).toBeUndefined();
  });

  test('set replaces the first and drops the others; remove says whether there was one', () => {
    const headers = new HeaderMap([
      ['a', '1'],
      ['b', '2'],
      ['a', '3'],
    ]);
    headers.set('A', '4');
    expect([...headers]).toEqual([
      ['a', '4'],
      ['b', '2'],
    ]);
    expect(headers.remove('a')).toBe(true);
    expect(headers.remove('a')).toBe(false);
  });

  test('pseudo-headers stand in front, and host is :authority', () => {
    const headers = new HeaderMap([['x', '1']]);
    headers.set('Host', 'example.test');
    headers.set(':path', '/');
    expect([...headers].map(([name]) => name)).toEqual([':authority', ':path', 'x']);
    expect(headers.get(':authority')).toBe('example.test');
    headers.add(':path', '/second');
    expect(headers.getAll(':path')).toEqual(['/second']);
  });

  test.each([
    ['a value with CR', 'x', 'a\rb'],
    ['a value with LF', 'x', 'a\nb'],
    ['a value with NUL', 'x', 'a\0b'],
    ['a value over latin-1', 'x', '€'],
    ['an empty name', '', 'a'],
    ['a name with a blank', 'x y', 'a'],
    ['a name with a colon', 'x:', 'a'],
    ['an unknown pseudo-header', ':protocol', 'a'],
    ['a path with a blank', ':path', '/a b'],
    ['an empty path', ':path', ''],
    ['a method that is no token', ':method', 'GE T'],
    ['a status that is none', ':status', '20'],
  ])('refuses %s', (_, name, value) => {
    const headers = new HeaderMap();
    expect(() => headers.add(name, value)).toThrow(InvalidHeaderError);
    expect(() => headers.set(name, value)).toThrow(InvalidHeaderError);
    expect(headers.size).toBe(0);
  });

  test('a clone shares nothing', () => {
    const headers = new HeaderMap([['a', '1']]);
    const copy = headers.clone();
    copy.set('a', '2');
    expect(headers.get('a')).toBe('1');
  });
});
