import { expect, test } from 'vitest';
import { HeaderMap } from '../../src/abi/index.ts';
import { redact } from '../../src/admin/admin-server.ts';
import { compileAccessLogFormat } from '../../src/observability/access-log.ts';
import { RetiredMetrics, renderPrometheus, renderValues } from '../../src/observability/exposition.ts';
import { Metrics } from '../../src/observability/metrics.ts';

test('metrics of several workers, also of ended ones, are summed; histograms cumulate', async () => {
  const worker = () => {
    const metrics = new Metrics();
    metrics.counter('requests_total', 'Requests.', { listener: 'a' }).add(2);
    metrics.gauge('open', 'Open.').set(3);
    const histogram = metrics.histogram('seconds', 'Time.', {}, [0.1, 1]);
    for (const value of [0.05, 0.5, 5]) histogram.observe(value);
    return metrics;
  };
  const retired = new RetiredMetrics();
  retired.add(worker());
  retired.add(worker());
  const readers = [worker(), retired];
  expect(renderValues(readers)).toEqual({ 'requests_total{listener="a"}': 6, open: 3, 'seconds count': 9 });
  const text = await renderPrometheus(readers);
  expect(text).toContain('# TYPE requests_total counter\nrequests_total{listener="a"} 6');
  expect(text).toContain('seconds_bucket{le="0.1"} 3\nseconds_bucket{le="1"} 6\nseconds_bucket{le="+Inf"} 9');
  expect(text).toContain('seconds_count 9');
});

test('the same name and labels are the same metric, over more than one page', () => {
  const metrics = new Metrics();
  for (let i = 0; i < 5000; i++) metrics.counter('c', 'C.', { i: String(i) }).add(i);
  for (let i = 0; i < 5000; i++) metrics.counter('c', 'C.', { i: String(i) }).add(1);
  expect(metrics.pages.length).toBe(2);
  expect(renderValues([metrics])['c{i="4999"}']).toBe(5000);
});

const entry = {
  info: {
    id: 7,
    listener: 'web',
    tls: undefined,
    connectionId: 1,
    upstreamLocalAddress: '127.0.0.1:9',
    protocol: 'HTTP/1.1',
    downstreamRemoteAddress: '127.0.0.1:5',
    downstreamLocalAddress: '127.0.0.1:80',
    startTime: 0,
    duration: 12.34,
    virtualHost: 'default',
    route: 'r',
    cluster: 'app',
    endpoint: '127.0.0.1:8080',
    responseCode: 200,
    responseCodeDetails: 'via_upstream',
    responseFlags: ['UF'],
    bytesReceived: 1,
    bytesSent: 2,
  },
  requestHeaders: new HeaderMap([
    [':method', 'GET'],
    [':path', '/a'],
    ['x-evil', 'a"b\\c'],
  ]),
  responseHeaders: new HeaderMap([[':status', '200']]),
  metadata: { get: () => ({ user: 'ann' }), namespaces: () => [], set: () => {} },
};

test('access log formats: operators of Envoy, alternatives, lengths, metadata, escapes', () => {
  const format = compileAccessLogFormat(
    '%START_TIME% "%REQ(:METHOD)% %REQ(X-NONE?:PATH)%" %RESPONSE_CODE% %RESPONSE_FLAGS% %DURATION% %UPSTREAM_HOST:9% %DYNAMIC_METADATA(auth:user)% %REQ(x-evil)%',
  );
  expect(format(entry)).toBe(
    '1970-01-01T00:00:00.000Z "GET /a" 200 UF 12 %UPSTREAM_HOST:9% ann a\\x22b\\x5cc\n'.replace(
      '%UPSTREAM_HOST:9%',
      '127.0.0.1',
    ),
  );
  expect(JSON.parse(compileAccessLogFormat('json')(entry))).toMatchObject({ method: 'GET', status: 200, flags: 'UF' });
  expect(() => compileAccessLogFormat('%NO_SUCH%')).toThrow(/unknown access log operator %NO_SUCH%/);
});

test('secrets are redacted wherever they are', () => {
  expect(redact({ a: [{ api_key: 'x', password: { deep: 1 }, plain: 1 }] })).toEqual({
    a: [{ api_key: '[redacted]', password: '[redacted]', plain: 1 }],
  });
});
