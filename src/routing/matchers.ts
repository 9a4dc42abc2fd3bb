/** Conditions on a request, compiled from a `match:`. */
import { RE2JS } from 're2js';
import type { HeaderMap } from '../abi/index.ts';
import type { RequestMatchConfig } from '../config/schema.ts';

export type RequestMatcher = (headers: HeaderMap) => boolean;

/**
 * Compiles a regular expression of RE2's syntax, which matches in linear time: no pattern can be made to hang.
 * @throws Error with RE2's message.
 */
export function compileRegex(pattern: string): RE2JS {
  return RE2JS.compile(pattern);
}

/** The path without query. */
export function pathOf(headers: HeaderMap): string {
  const target = headers.get(':path') ?? '';
  const query = target.indexOf('?');
  return query < 0 ? target : target.slice(0, query);
}

/**
 * Compiles a match; every condition must hold. An empty match takes every request but CONNECT.
 * @throws Error when a regular expression is malformed.
 */
export function compileMatch(match: RequestMatchConfig): RequestMatcher {
  const conditions: RequestMatcher[] = [];
  const { prefix, path, regex } = match;
  const connect = match.connect === true;
  if (connect) conditions.push((headers) => headers.get(':method') === 'CONNECT');
  if (prefix !== undefined && prefix !== '/') conditions.push((headers) => pathOf(headers).startsWith(prefix));
  if (path !== undefined) conditions.push((headers) => pathOf(headers) === path);
  if (regex !== undefined) {
    const compiled = compileRegex(regex);
    conditions.push((headers) => compiled.testExact(pathOf(headers)));
  }
  if (match.method !== undefined) {
    const methods = new Set([match.method].flat());
    conditions.push((headers) => methods.has(headers.get(':method') ?? ''));
  }
  for (const [name, value] of Object.entries(match.headers ?? {})) {
    const matches = compileValue(value);
    conditions.push((headers) => matches(headers.get(name)));
  }
  for (const [name, value] of Object.entries(match.query ?? {})) {
    const matches = compileValue(value);
    conditions.push((headers) => matches(queryValue(headers, name)));
  }
  if (!connect) conditions.push((headers) => headers.get(':method') !== 'CONNECT');
  const [only, ...more] = conditions;
  if (more.length === 0) return only as RequestMatcher;
  return (headers) => conditions.every((condition) => condition(headers));
}

type ValueMatchConfig = NonNullable<RequestMatchConfig['headers']>[string];

function compileValue(match: ValueMatchConfig): (value: string | undefined) => boolean {
  if (typeof match === 'string') return (value) => value === match;
  const conditions: ((value: string | undefined) => boolean)[] = [];
  const { exact, prefix, present } = match;
  if (present !== undefined) conditions.push((value) => (value !== undefined) === present);
  if (exact !== undefined) conditions.push((value) => value === exact);
  if (prefix !== undefined) conditions.push((value) => value?.startsWith(prefix) === true);
  if (match.regex !== undefined) {
    const regex = compileRegex(match.regex);
    conditions.push((value) => value !== undefined && regex.testExact(value));
  }
  if (conditions.length === 0) conditions.push((value) => value !== undefined);
  return (value) => conditions.every((condition) => condition(value));
}

function queryValue(headers: HeaderMap, name: string): string | undefined {
  const target = headers.get(':path') ?? '';
  const query = target.indexOf('?');
  return query < 0 ? undefined : (new URLSearchParams(target.slice(query + 1)).get(name) ?? undefined);
}
