import { expect, test } from 'vitest';
import { HeaderMap } from '../../src/abi/index.ts';
import { loadConfigObject } from '../../src/config/load.ts';
import type { ConfigInput } from '../../src/config/schema.ts';
import { RouteTable } from '../../src/routing/route-table.ts';

type ListenerInput = NonNullable<ConfigInput['listeners']>[number];

function table(listener: Partial<ListenerInput>): RouteTable {
  const config = {
    listeners: [{ name: 'a', address: '127.0.0.1:0', ...listener }],
    clusters: [
      { name: 'one', endpoints: [] },
      { name: 'two', endpoints: [] },
    ],
  };
  return new RouteTable(loadConfigObject(config).config.listeners[0] as never);
}

function request(path: string, more: Record<string, string> = {}): HeaderMap {
  return new HeaderMap([
    [':authority', 'test'],
    [':path', path],
    [':method', 'GET'],
    [':scheme', 'http'],
    ...Object.entries(more),
  ]);
}

test('the first route that matches wins: prefix, path, regex, method, headers, query', () => {
  const to = { cluster: 'one' };
  const routes = table({
    routes: [
      { name: 'path', match: { path: '/exact' }, ...to },
      { name: 'regex', match: { regex: '/user/[0-9]+' }, ...to },
      { name: 'method', match: { prefix: '/', method: ['PUT', 'PATCH'] }, ...to },
      { name: 'header', match: { prefix: '/', headers: { 'x-env': { prefix: 'canary' } } }, ...to },
      { name: 'absent', match: { prefix: '/anon', headers: { cookie: { present: false } } }, ...to },
      { name: 'query', match: { prefix: '/', query: { debug: '1' } }, ...to },
      { name: 'prefix', match: { prefix: '/api' }, ...to },
    ],
  });
  const find = (path: string, more?: Record<string, string>) => routes.find(request(path, more))?.name;
  expect(find('/exact?a=b')).toBe('path');
  expect(find('/exact/more')).toBeUndefined();
  expect(find('/user/42')).toBe('regex');
  expect(find('/user/42/more')).toBeUndefined();
  expect(find('/x', { ':method': 'PATCH' })).toBe('method');
  expect(find('/x', { 'x-env': 'canary-3' })).toBe('header');
  expect(find('/anon')).toBe('absent');
  expect(find('/anon', { cookie: 'a' })).toBeUndefined();
  expect(find('/x?a=1&debug=1')).toBe('query');
  expect(find('/api/v1')).toBe('prefix');
});

test('a regular expression can’t be made to hang', () => {
  const routes = table({ routes: [{ match: { regex: '/(a+)+b' }, cluster: 'one' }] });
  const started = performance.now();
  expect(routes.find(request(`/${'a'.repeat(10_000)}`))).toBeUndefined();
  expect(performance.now() - started).toBeLessThan(2000);
});

test('virtual hosts: exact before suffix before any; the port does not matter unless it is named', () => {
  const host = (name: string, domains: [string, ...string[]]) => ({
    name,
    domains,
    routes: [{ match: {}, cluster: 'one' }],
  });
  const routes = table({
    virtual_hosts: [
      host('any', ['*']),
      host('suffix', ['*.example.test']),
      host('longer', ['*.a.example.test']),
      host('exact', ['www.example.test', 'Other.test']),
      host('port', ['www.example.test:81']),
    ],
  });
  const find = (authority: string) => routes.find(request('/', { ':authority': authority }))?.virtualHost;
  expect(find('www.example.test')).toBe('exact');
  expect(find('WWW.example.TEST:80')).toBe('exact');
  expect(find('www.example.test:81')).toBe('port');
  expect(find('other.test')).toBe('exact');
  expect(find('b.example.test')).toBe('suffix');
  expect(find('b.a.example.test')).toBe('longer');
  expect(find('example.test')).toBe('any');
});

test('weighted clusters get their share', () => {
  const routes = table({
    routes: [
      {
        match: {},
        clusters: [
          { name: 'one', weight: 1 },
          { name: 'two', weight: 3 },
        ],
      },
    ],
  });
  const route = routes.find(request('/'));
  const counts: Record<string, number> = { one: 0, two: 0 };
  for (let i = 0; i < 4000; i++) (counts[route?.chooseCluster() as string] as number)++;
  expect(counts.two).toBeGreaterThan(2700);
  expect(counts.two).toBeLessThan(3300);
});

test('rewrites, redirects and direct responses', () => {
  const rewrite = (match: object, rule: object, path: string) => {
    const headers = request(path);
    table({ routes: [{ match, rewrite: rule, cluster: 'one' }] })
      .find(headers)
      ?.rewrite(headers);
    return `${headers.get(':authority')} ${headers.get(':path')}`;
  };
  expect(rewrite({ prefix: '/api' }, { prefix: '/v2' }, '/api/x?q=1')).toBe('test /v2/x?q=1');
  expect(rewrite({ prefix: '/' }, { path: '/index' }, '/any?q=1')).toBe('test /index?q=1');
  expect(rewrite({ prefix: '/' }, { host: 'inner.test' }, '/a')).toBe('inner.test /a');
  expect(rewrite({ prefix: '/' }, { regex: { pattern: '/(\\w+)/(\\w+)', substitution: '/$2/$1' } }, '/a/b?c')).toBe(
    'test /b/a?c',
  );
  const redirect = table({
    routes: [{ match: { prefix: '/old' }, redirect: { scheme: 'https', prefix: '/new', status: 308 } }],
  });
  expect(redirect.find(request('/old/x?y'))?.directResponse(request('/old/x?y'))).toMatchObject({
    status: 308,
    headers: [['location', 'https://test/new/x?y']],
  });
  const direct = table({ routes: [{ match: {}, respond: { status: 418, body: 'tea' } }] });
  expect(direct.find(request('/'))?.directResponse(request('/'))).toMatchObject({ status: 418, body: 'tea' });
});

type Settings = Record<string, { disabled?: boolean; config?: Record<string, number> }>;

test('filter settings of a route come before those of its virtual host', () => {
  const route = (filters: Settings) => ({ match: {}, cluster: 'one', filters });
  const settings = (own: Settings) => {
    const host = { name: 'h', domains: ['*'] as [string], filters: { headers: { disabled: true, config: { a: 1 } } } };
    const filters = [{ use: 'headers' }];
    return table({ filters, virtual_hosts: [{ ...host, routes: [route(own)] }] })
      .find(request('/'))
      ?.settingsOf('headers');
  };
  expect(settings({})).toMatchObject({ disabled: true, config: { a: 1 } });
  expect(settings({ headers: { disabled: false } })).toMatchObject({ disabled: false, config: { a: 1 } });
  expect(settings({ headers: { config: { b: 2 } } })).toMatchObject({ disabled: true, config: { b: 2 } });
});

test('a domain can’t be given twice, and a regex must compile', () => {
  const host = { name: 'a', routes: [] };
  expect(() => table({ virtual_hosts: [{ ...host, domains: ['a.test', 'A.test'] }] })).toThrow(/taken/);
  expect(() => table({ virtual_hosts: [{ ...host, domains: ['a.*'] }] })).toThrow(/is no domain/);
  expect(() => table({ routes: [{ match: { regex: '(' }, cluster: 'one' }] })).toThrow(/missing closing/);
});
