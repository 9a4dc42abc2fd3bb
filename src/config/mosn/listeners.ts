/** MOSN's listeners as Weir's: filter chain, TLS, stream filters, access log. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { MosnObject } from './reader.ts';
import { given, virtualHosts } from './routes.ts';

type Output = Record<string, unknown>;

const MODULES = ['.ts', '.mts', '.js', '.mjs'];
const SCRIPTS = [...MODULES, '.lua', '.wasm'];
/** MOSN's filters that work on what Weir does not have, or has not yet. */
const LACKING = new Set(
  'fault payload_limit gzip fault_tolerance dsl mirror dubbo_stream grpc_metric ip_access header_to_metadata flowControlFilter transcoder seata mixer istio.stats jwt_authn rbac'.split(
    ' ',
  ),
);

export interface ListenerContext {
  /** The routers of the server by their names. */
  readonly routers: ReadonlyMap<string, MosnObject>;
  /** The names of those that a listener has named. */
  readonly used: Set<string>;
  /** Where the configuration stands, and with it what it names. */
  readonly directory: string;
  /** For plugins: MOSN's `plugin.log_base`. */
  readonly logBase: string | undefined;
}

export function listener(object: MosnObject, place: (string | number)[], context: ListenerContext): Output {
  object.becomes(place);
  object.only('type', ['ingress', 'egress', ''], 'it is ingress or egress');
  object.only('network', ['tcp', ''], 'Weir listens on TCP');
  object.only('bind_port', [true], 'a listener of Weir always listens');
  object.only('reuseport', [true], 'Weir’s workers share their ports by SO_REUSEPORT');
  object.only('use_original_dst', [false, ''], 'Weir has no transparent interception yet');
  object.only('inspector', [false], 'Weir has no listener that takes TLS and plain connections both');
  const output: Output = {
    name: object.string('name'),
    address: object.string('address'),
    idle_timeout: object.string('connection_idle_timeout'),
    access_log: accessLog(object),
  };
  const chains = object.objects('filter_chains');
  const [chain, ...more] = chains;
  if (chain === undefined) object.fault('a listener needs `filter_chains` with the filter `proxy`');
  for (const other of more) other.fault('Weir has one filter chain for each listener');
  if (chain !== undefined) Object.assign(output, filterChain(chain, place, context));
  const filters = object.objects('stream_filters').flatMap((filter, i) => streamFilter(filter, i, context));
  for (const [i, { from }] of filters.entries()) from.becomes([...place, 'filters', i]);
  output.filters = filters.map(({ entry }) => entry);
  object.done();
  return given(output);
}

function filterChain(chain: MosnObject, place: (string | number)[], context: ListenerContext): Output {
  chain.only('match', [''], 'Weir has one filter chain for each listener');
  const sets = chain.objects('tls_context_set');
  const single = chain.object('tls_context');
  const contexts = (single === undefined ? sets : [single]).filter((tls) => tls.boolean('status') === true);
  const output: Output = {};
  if (contexts.length > 0) output.tls = tlsContext(contexts, [...place, 'tls'], context);
  const filters = chain.objects('filters');
  const proxy = filters.find((filter) => ['proxy', 'connection_manager'].includes(filter.string('type') ?? ''));
  for (const filter of filters) {
    if (filter !== proxy) filter.fault(`Weir has no network filter \`${filter.string('type')}\` yet`, 'type');
  }
  const config = proxy?.object('config');
  if (proxy === undefined || config === undefined) {
    chain.fault('the chain needs the filter `proxy` with its `config`', 'filters');
    return output;
  }
  const downstream = config.string('downstream_protocol') ?? 'Http1';
  if (downstream.split(',').some((protocol) => !['Http1', 'Auto'].includes(protocol))) {
    config.fault(`Weir does not speak ${downstream} to clients yet`, 'downstream_protocol');
  }
  config.only('upstream_protocol', ['', 'Http1', 'Auto'], 'Weir speaks HTTP/1.1 to its upstreams');
  config.take('name');
  const extended = config.object('extend_config');
  const http1 = extended?.object('Http1');
  if (http1 !== undefined) {
    Object.assign(
      output,
      given({
        max_head_size: http1.number('max_header_size'),
        max_body_size: http1.number('max_request_body_size'),
      }),
    );
    http1.done();
  }
  extended?.done();
  const name = config.string('router_config_name') ?? '';
  const router = context.routers.get(name);
  context.used.add(name);
  if (router === undefined) config.fault(`there is no router configuration \`${name}\``, 'router_config_name');
  else output.virtual_hosts = virtualHosts(router, [...place, 'virtual_hosts']);
  config.done();
  proxy.done();
  chain.done();
  return output;
}

/** Certificates by file or as PEM; a `type` is a source of certificates: a program or a module of that name beside the configuration. */
function tlsContext(contexts: MosnObject[], place: (string | number)[], context: ListenerContext): Output {
  const certificates: Output[] = [];
  const output: Output = { certificates };
  for (const tls of contexts) {
    const type = tls.string('type') ?? '';
    const [cert, key] = [tls.string('cert_chain') ?? '', tls.string('private_key') ?? ''];
    if (cert !== '') {
      tls.becomes([...place, 'certificates', certificates.length]);
      certificates.push({ cert, key });
    }
    if (type !== '') {
      tls.becomes([...place, 'provider']);
      output.provider = certificateSource(tls, type, context);
    }
    const ca = tls.string('ca_cert') ?? '';
    const verify = tls.boolean('verify_client') === true;
    const require = tls.boolean('require_client_cert') === true;
    if (ca !== '') output.client_ca = ca;
    if (verify && require) output.require_client_certificate = true;
    for (const [mosn, own] of [
      ['min_version', 'min_version'],
      ['max_version', 'max_version'],
    ] as const) {
      const version = tls.string(mosn)?.toLowerCase();
      if (version === undefined || version === '' || version === 'tls_auto') continue;
      if (version === 'tlsv1_2' || version === 'tlsv1_3') output[own] = version === 'tlsv1_2' ? '1.2' : '1.3';
      else tls.fault(`Weir takes TLS 1.2 and 1.3, not ${version}`, mosn);
    }
    const ciphers = tls.string('cipher_suites') ?? '';
    if (ciphers !== '') output.ciphers = ciphers;
    tls.only('server_name', [''], 'it is for connections to upstreams');
    tls.only('alpn', ['', 'http/1.1'], 'Weir speaks HTTP/1.1 to clients');
    tls.done();
  }
  return output;
}

function certificateSource(tls: MosnObject, type: string, context: ListenerContext): Output | undefined {
  if (existsSync(resolve(context.directory, type))) return program(`./${type}`, [], context);
  const module = beside(type, MODULES, context);
  if (module !== undefined) return { use: module, runtime: 'module' };
  tls.fault(`there is no source of certificates \`${type}\``, 'type', lookedFor(type, MODULES, true));
  return undefined;
}

function program(use: string, args: string[], { logBase }: ListenerContext): Output {
  const env = logBase === undefined ? {} : { env: { MOSN_LOGBASE: logBase } };
  // MOSN hands its whole environment down.
  return { use, runtime: 'plugin', protocol: 'mosn', inherit_env: true, args, ...env };
}

interface Converted {
  from: MosnObject;
  entry: Output;
}

/** A registered type is a file of that name beside the configuration; the types of MOSN's own demos are known besides. */
function streamFilter(filter: MosnObject, index: number, context: ListenerContext): Converted[] {
  const type = filter.string('type') ?? '';
  const config = filter.take('config') ?? {};
  const shared = filter.object('go_plugin_config');
  const entries =
    shared === undefined ? byType(filter, type, config, context) : [byPath(filter, shared, config, context)];
  filter.done();
  // Two entries of one type need names of their own.
  const name = (i: number) => [type || 'filter', ...(index > 0 ? [index] : []), ...(i > 0 ? [i] : [])].join('-');
  return entries.flatMap((entry, i) =>
    entry === undefined ? [] : [{ from: filter, entry: { name: name(i), ...entry } }],
  );
}

function byType(filter: MosnObject, type: string, config: unknown, context: ListenerContext): (Output | undefined)[] {
  if (type !== '' && existsSync(resolve(context.directory, type))) {
    return [{ ...program(`./${type}`, [], context), config }];
  }
  const file = beside(type, SCRIPTS, context);
  if (file !== undefined) return [{ use: file, config }];
  if (type === 'proxywasm') return [{ runtime: 'proxy-wasm', config }];
  if (type === 'demo') {
    // Every pair must equal a header of the request. Source: MOSN, examples, mosn-extensions/simple_streamfilter.
    return Object.entries(config as Record<string, string>).map(([name, value]) => ({
      use: 'require-header',
      config: { name, value, body: '' },
    }));
  }
  if (type === 'demo_plugin') {
    // Source: MOSN, examples, mosn-extensions/plugin/filter.
    const { config_path: path = './checkconf.json' } = config as { config_path?: string };
    return [program('./checker', ['-c', path], context)];
  }
  const why = LACKING.has(type)
    ? `MOSN's filter \`${type}\` has no counterpart in Weir yet`
    : `there is no filter \`${type}\``;
  filter.fault(why, 'type', LACKING.has(type) ? undefined : lookedFor(type, SCRIPTS, true));
  return [];
}

/** A shared object is Go's; a module of the same name takes its place. */
function byPath(filter: MosnObject, shared: MosnObject, config: unknown, context: ListenerContext): Output | undefined {
  filter.take('type');
  const path = shared.string('so_path') ?? '';
  shared.only(
    'factory_method',
    ['', 'CreateFilterFactory', 'createStreamFilterFactory'],
    'a module of Weir exports createStreamFilterFactory',
  );
  shared.done();
  const stem = path.replace(/\.[a-z]+$/, '');
  const file = path.endsWith('.so') ? beside(stem, MODULES, context) : path;
  if (file !== undefined) return { use: file, config };
  shared.fault(`${path} is a shared object of Go, which Weir can't load`, 'so_path', lookedFor(stem, MODULES, false));
  return undefined;
}

/** The file of that name with one of the extensions, as an entry of Weir names it. */
function beside(name: string, extensions: readonly string[], { directory }: ListenerContext): string | undefined {
  if (name === '') return undefined;
  const found = extensions.find((extension) => existsSync(resolve(directory, name + extension)));
  if (found === undefined) return undefined;
  return /^\.{0,2}\//.test(name) ? name + found : `./${name}${found}`;
}

function lookedFor(name: string, extensions: readonly string[], orProgram: boolean): string {
  const files = extensions.map((extension) => name + extension).join(', ');
  return `looked beside the configuration for ${files}${orProgram ? `, or a program ${name}` : ''}`;
}

/** MOSN's variables as Weir's operators. */
const VARIABLES: Readonly<Record<string, string>> = {
  start_time: 'START_TIME',
  protocol: 'PROTOCOL',
  response_code: 'RESPONSE_CODE',
  duration: 'DURATION',
  response_flag: 'RESPONSE_FLAGS',
  response_flags: 'RESPONSE_FLAGS',
  bytes_sent: 'BYTES_SENT',
  bytes_received: 'BYTES_RECEIVED',
  upstream_host: 'UPSTREAM_HOST',
  upstream_cluster: 'UPSTREAM_CLUSTER',
  downstream_local_address: 'DOWNSTREAM_LOCAL_ADDRESS',
  downstream_remote_address: 'DOWNSTREAM_REMOTE_ADDRESS',
  stream_id: 'STREAM_ID',
  Http1_request_method: 'REQ(:METHOD)',
  Http1_request_path: 'REQ(:PATH)',
  'x-mosn-method': 'REQ(:METHOD)',
  'x-mosn-path': 'REQ(:PATH)',
  'x-mosn-host': 'REQ(:AUTHORITY)',
  authority: 'REQ(:AUTHORITY)',
};

function accessLog(object: MosnObject): Output | undefined {
  const [log, ...more] = object.objects('access_logs');
  if (log === undefined) return undefined;
  for (const other of more) other.fault('Weir writes one access log for each listener');
  const path = log.string('log_path') ?? '';
  const format = log.string('log_format') ?? '';
  const own = format.replaceAll(/%([A-Za-z0-9_-]+)%/g, (_, name: string) => {
    const header = /^(request|response)_header_(.+)$/.exec(name);
    if (header !== null) return `%${header[1] === 'request' ? 'REQ' : 'RESP'}(${header[2]})%`;
    const operator = VARIABLES[name];
    if (operator === undefined) log.fault(`Weir's access log has nothing for \`%${name}%\``, 'log_format');
    return `%${operator}%`;
  });
  log.done();
  return given({ path: path === '' ? undefined : path.replace(/^stdout$/, '/dev/stdout'), format: own || undefined });
}
