/** MOSN's router configurations as Weir's virtual hosts. */
import type { MosnObject } from './reader.ts';

type Output = Record<string, unknown>;

export function virtualHosts(router: MosnObject, place: (string | number)[]): Output[] {
  router.take('router_config_name');
  const hosts = router.objects('virtual_hosts').map((host, i) => virtualHost(host, [...place, i], i));
  router.done();
  return hosts;
}

function virtualHost(host: MosnObject, place: (string | number)[], index: number): Output {
  host.becomes(place);
  const domains = host.take('domains');
  host.only('require_tls', ['', 'NONE'], 'MOSN itself does not use it');
  const routes = host.objects('routers').map((router, i) => route(router, [...place, 'routes', i]));
  const filters = perFilterConfig(host);
  const output = { name: host.string('name') ?? `host-${index}`, domains: domains ?? ['*'], routes, filters };
  host.done();
  return output;
}

function route(router: MosnObject, place: (string | number)[]): Output {
  router.becomes(place);
  const output: Output = { filters: perFilterConfig(router) };
  const match = router.object('match');
  if (match !== undefined) output.match = requestMatch(match);
  const action = router.object('route');
  if (action !== undefined) Object.assign(output, target(action));
  const redirect = router.object('redirect');
  if (redirect !== undefined) {
    output.redirect = given({
      status: redirect.number('response_code'),
      path: redirect.string('path_redirect'),
      host: redirect.string('host_redirect'),
      scheme: redirect.string('scheme_redirect'),
    });
    redirect.done();
  }
  const direct = router.object('direct_response');
  if (direct !== undefined) {
    output.respond = given({ status: direct.number('status'), body: direct.string('body') });
    direct.done();
  }
  const metadata = router.object('metadata');
  if (metadata !== undefined) {
    output.metadata = metadata.take('filter_metadata') ?? {};
    metadata.done();
  }
  router.done();
  return output;
}

function perFilterConfig(object: MosnObject): Output {
  const settings = object.take('per_filter_config');
  return Object.fromEntries(Object.entries((settings ?? {}) as Output).map(([name, config]) => [name, { config }]));
}

function requestMatch(match: MosnObject): Output {
  // The first that is not empty counts.
  const kinds = ['prefix', 'path', 'regex'].map((kind) => [kind, match.string(kind)] as const);
  const [kind, value] = kinds.find(([, text]) => text !== undefined && text !== '') ?? ['prefix', '/'];
  const headers = match.objects('headers').map((header) => {
    const text = header.string('value') ?? '';
    const matcher = header.boolean('regex') === true ? { regex: text } : { exact: text };
    const name = header.string('name') ?? '';
    header.done();
    return [name, matcher];
  });
  match.done();
  return { [kind]: value, ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }) };
}

function target(action: MosnObject): Output {
  const weighted = action.objects('weighted_clusters').map((choice) => {
    const cluster = choice.object('cluster');
    const one = { name: cluster?.string('name') ?? '', weight: cluster?.number('weight') ?? 1 };
    cluster?.done();
    choice.done();
    return one;
  });
  action.only('upstream_protocol', ['', 'Http1', 'Auto'], 'Weir speaks HTTP/1.1 to its upstreams');
  const regex = action.object('regex_rewrite');
  const pattern = regex?.object('pattern');
  pattern?.take('google_re2');
  const rewrite = given({
    prefix: action.string('prefix_rewrite') || undefined,
    host: action.string('host_rewrite') || undefined,
    regex:
      regex === undefined
        ? undefined
        : { pattern: pattern?.string('regex') ?? '', substitution: regex.string('substitution') ?? '' },
  });
  pattern?.done();
  regex?.done();
  const output = given({
    cluster: weighted.length > 0 ? undefined : action.string('cluster_name'),
    clusters: weighted.length > 0 ? weighted : undefined,
    timeout: action.string('timeout'),
    rewrite: Object.keys(rewrite).length > 0 ? rewrite : undefined,
  });
  if (weighted.length > 0) action.take('cluster_name');
  action.done();
  return output;
}

/** Without the keys that have no value. */
export function given(output: Output): Output {
  return Object.fromEntries(Object.entries(output).filter(([, value]) => value !== undefined));
}
