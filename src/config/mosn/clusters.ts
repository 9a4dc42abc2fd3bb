/** MOSN's clusters as Weir's. */
import type { MosnObject } from './reader.ts';
import { given } from './routes.ts';

const BALANCERS: Readonly<Record<string, string>> = {
  '': 'round_robin',
  LB_RANDOM: 'random',
  LB_ROUNDROBIN: 'round_robin',
  LB_WEIGHTED_ROUNDROBIN: 'round_robin',
  LB_LEAST_REQUEST: 'least_request',
};

export function cluster(object: MosnObject, place: (string | number)[]): Record<string, unknown> {
  object.becomes(place);
  object.only('type', ['', 'SIMPLE', 'STATIC', 'STRICT_DNS'], 'Weir has clusters with fixed endpoints only');
  const balancer = object.string('lb_type') ?? '';
  if (!(balancer in BALANCERS)) object.fault(`\`lb_type: ${balancer}\` has no counterpart in Weir`, 'lb_type');
  const tls = object.object('tls_context');
  if (tls !== undefined) {
    tls.only('status', [false], 'Weir speaks no TLS to its upstreams yet');
    if (tls.take('status') !== true) for (const key of TLS_KEYS) tls.take(key);
    tls.done();
  }
  const [breaker, ...more] = object.objects('circuit_breakers');
  if (more.length > 0) object.fault('Weir has one set of limits for each cluster', 'circuit_breakers');
  const output = given({
    name: object.string('name'),
    load_balancing: BALANCERS[balancer],
    max_requests_per_connection: object.number('max_request_per_conn'),
    connection_buffer: object.number('conn_buffer_limit_bytes'),
    connect_timeout: object.string('connect_timeout'),
    idle_timeout: object.string('idle_timeout'),
    max_connections: breaker?.number('max_connections'),
    max_pending: breaker?.number('max_pending_requests'),
    endpoints: object.objects('hosts').map((host, i) => endpoint(host, [...place, 'endpoints', i])),
  });
  breaker?.done();
  object.done();
  return output;
}

/** What a TLS context that is switched off may hold besides. */
const TLS_KEYS = ['type', 'server_name', 'ca_cert', 'cert_chain', 'private_key', 'verify_client', 'insecure_skip'];

function endpoint(host: MosnObject, place: (string | number)[]): Record<string, unknown> {
  host.becomes(place);
  host.only('tls_disable', [true, false], 'it must be true or false');
  host.only('hostname', [''], 'Weir has no names for endpoints');
  const output = given({
    address: host.string('address'),
    weight: host.number('weight'),
    metadata: (host.take('metadata') as { filter_metadata?: unknown } | undefined)?.filter_metadata,
  });
  host.done();
  return output;
}
