import { expect, test } from 'vitest';
import { HeaderMap } from '../../src/abi/index.ts';
import type { Endpoint } from '../../src/clusters/endpoint.ts';
import { createLoadBalancer } from '../../src/clusters/load-balancer.ts';

const endpoints = (...weights: number[]) =>
  weights.map((weight, i) => ({ name: `e${i}`, weight, active: 0 }) as Endpoint);

function draw(
  name: 'round_robin' | 'least_request' | 'random',
  of: Endpoint[],
  times: number,
  excluded?: Set<Endpoint>,
) {
  const balancer = createLoadBalancer(name, of);
  return Array.from({ length: times }, () => balancer.choose(excluded, new HeaderMap()));
}

const count = (chosen: (Endpoint | undefined)[], endpoint: Endpoint | undefined) =>
  chosen.filter((one) => one === endpoint).length;

test('round robin takes turns, and weights get their share without bursts', () => {
  const equal = endpoints(1, 1, 1);
  const chosen = draw('round_robin', equal, 300);
  for (const endpoint of equal) expect(count(chosen, endpoint)).toBe(100);
  const [heavy, light] = endpoints(3, 1) as [Endpoint, Endpoint];
  const weighted = draw('round_robin', [heavy, light], 8);
  expect(count(weighted, heavy)).toBe(6);
  expect(weighted.slice(0, 4)).toContain(light);
});

test('random gives weights their share, and never what is excluded', () => {
  const [heavy, light] = endpoints(3, 1) as [Endpoint, Endpoint];
  const share = count(draw('random', [heavy, light], 4000), heavy);
  expect(share).toBeGreaterThan(2700);
  expect(share).toBeLessThan(3300);
  expect(count(draw('random', [heavy, light], 50, new Set([heavy])), light)).toBe(50);
  expect(draw('random', [heavy], 1, new Set([heavy]))).toEqual([undefined]);
});

test('least request prefers the endpoint with fewer requests for its weight', () => {
  const [busy, idle] = endpoints(1, 1) as [Endpoint, Endpoint];
  busy.active = 5;
  expect(count(draw('least_request', [busy, idle], 50), idle)).toBe(50);
  const [heavy, light] = endpoints(10, 1) as [Endpoint, Endpoint];
  heavy.active = 5;
  light.active = 2;
  expect(count(draw('least_request', [heavy, light], 50), heavy)).toBe(50);
});

test.each(['round_robin', 'least_request'] as const)(
  '%s never takes what is excluded, and nothing when all is',
  (name) => {
    const [a, b] = endpoints(1, 2) as [Endpoint, Endpoint];
    expect(count(draw(name, [a, b], 20, new Set([a])), b)).toBe(20);
    expect(draw(name, [a, b], 1, new Set([a, b]))).toEqual([undefined]);
    expect(draw(name, [], 1)).toEqual([undefined]);
  },
);
