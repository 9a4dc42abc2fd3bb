/** The keys of an entry that the Proxy-Wasm runtime reads: Weir's own, Envoy's, and MOSN's shape. */
import { FilterConfigError, type FilterHost, type FilterSpec, type Json } from '../../src/abi/index.ts';
import { encodePairs } from './pairs.ts';
import type { SharedQueues, VmData } from './shared-store.ts';

/** What all plugins of one machine share. */
export interface MachineSettings {
  readonly vmId: string;
  readonly configuration: Uint8Array;
  /** Lines `NAME=value`. */
  readonly environment: readonly string[];
  /** Functions and callbacks that are allowed; `undefined` allows all. */
  readonly capabilities: ReadonlySet<string> | undefined;
  readonly shared: VmData;
  readonly queues: SharedQueues;
}

/** One entry as its module sees it. */
export interface PluginSettings {
  readonly name: string;
  readonly rootId: string;
  readonly vmId: string;
  readonly configuration: Uint8Array;
  readonly allowStopIteration: boolean;
  readonly host: FilterHost;
}

/** Where a module comes from, when it is not the entry's file. */
export type CodeSource =
  | { kind: 'file'; path: string }
  | { kind: 'bytes'; bytes: Uint8Array }
  | { kind: 'remote'; cluster: string; uri: string; sha256: string; timeout: number }
  | { kind: 'oci'; path: string; tag: string | undefined };

export interface WasmOptions {
  readonly rootId: string;
  readonly vmId: string;
  readonly vmConfiguration: Uint8Array;
  readonly environment: readonly string[];
  readonly capabilities: ReadonlySet<string> | undefined;
  readonly configuration: Uint8Array;
  readonly allowStopIteration: boolean;
  /** `undefined` where the entry's `on_error` says it. */
  readonly failOpen: boolean | undefined;
  readonly code: CodeSource | undefined;
}

/** Keys of an entry. `vm` and `code` are Weir's, `root_id` is both's, the others are Envoy's `PluginConfig`. */
export const OPTIONS = [
  'root_id',
  'vm',
  'code',
  'vm_config',
  'configuration',
  'fail_open',
  'failure_policy',
  'capability_restriction_config',
  'allow_on_headers_stop_iteration',
] as const;

const REMOTE_TIMEOUT = 30_000;

/** @throws FilterConfigError */
export function readOptions(spec: FilterSpec): WasmOptions {
  const mosn = mosnShape(spec.config);
  if (mosn !== undefined) return mosn;
  const envoy = envoyShape(spec.config);
  const given = { ...spec.options, ...envoy };
  const unknown = Object.keys(given).find((key) => !(OPTIONS as readonly string[]).includes(key) && key !== 'name');
  if (unknown !== undefined) throw refuse('config', `unknown key \`${unknown}\` in Envoy's PluginConfig`);
  const vm = vmOptions(given);
  const configuration =
    envoy === undefined && given.configuration === undefined ? spec.config : (given.configuration ?? null);
  return {
    rootId: text(given.root_id ?? '', 'root_id'),
    ...vm,
    capabilities: capabilities(given.capability_restriction_config),
    configuration: bytesOf(configuration, 'configuration'),
    allowStopIteration: flag(given.allow_on_headers_stop_iteration ?? false, 'allow_on_headers_stop_iteration'),
    failOpen: failOpen(given),
  };
}

/** Envoy's `envoy.extensions.filters.http.wasm.v3.Wasm`, as it stands in a filter's `typed_config`. */
function envoyShape(config: Json): Readonly<Record<string, Json>> | undefined {
  if (!isRecord(config) || typeof config['@type'] !== 'string' || !config['@type'].endsWith('.Wasm')) return undefined;
  return record(config.config ?? {}, 'config');
}

/** MOSN's `proxywasm` filter: every other key with a text is given to the module as a map. Source: MOSN, `pkg/filter/stream/proxywasm`. */
function mosnShape(config: Json): WasmOptions | undefined {
  if (!isRecord(config) || !isRecord(config.vm_config ?? null)) return undefined;
  const vm = config.vm_config as Readonly<Record<string, Json>>;
  if (typeof vm.path !== 'string' && typeof vm.engine !== 'string') return undefined;
  if (typeof vm.path !== 'string') {
    throw refuse('config', 'MOSN’s vm_config needs a `path`', 'a module from a URL: code: { remote: ... }');
  }
  const pairs = Object.entries(config)
    .filter(([, value]) => typeof value === 'string')
    .map(([key, value]): [string, string] => [latin1(key), latin1(value as string)]);
  return {
    rootId: config.root_context_id === undefined ? '' : String(config.root_context_id),
    vmId: '',
    vmConfiguration: new Uint8Array(0),
    environment: [],
    capabilities: undefined,
    configuration: encodePairs(pairs),
    allowStopIteration: false,
    failOpen: undefined,
    code: { kind: 'file', path: vm.path },
  };
}

function vmOptions(given: Readonly<Record<string, Json>>) {
  if (given.vm !== undefined && given.vm_config !== undefined)
    throw refuse('vm', 'give one of vm and vm_config, not both');
  const code = given.code === undefined ? undefined : codeSource(given.code, 'code');
  if (given.vm_config === undefined) {
    const vm = known(record(given.vm ?? {}, 'vm'), ['id', 'configuration', 'env'], 'vm');
    return {
      vmId: text(vm.id ?? '', 'vm'),
      vmConfiguration: bytesOf(vm.configuration ?? null, 'vm'),
      environment: environment(record(vm.env ?? {}, 'vm'), 'vm'),
      code,
    };
  }
  const keys = [
    'vm_id',
    'runtime',
    'code',
    'configuration',
    'allow_precompiled',
    'nack_on_code_cache_miss',
    'environment_variables',
  ];
  const vm = known(record(given.vm_config, 'vm_config'), keys, 'vm_config');
  const variables = known(
    record(vm.environment_variables ?? {}, 'vm_config'),
    ['host_env_keys', 'key_values'],
    'vm_config',
  );
  const named = Array.isArray(variables.host_env_keys) ? variables.host_env_keys.map(String) : [];
  const fromHost = Object.fromEntries(
    named.filter((name) => process.env[name] !== undefined).map((name) => [name, process.env[name] as string]),
  );
  return {
    vmId: text(vm.vm_id ?? '', 'vm_config'),
    vmConfiguration: bytesOf(vm.configuration ?? null, 'vm_config'),
    environment: environment({ ...fromHost, ...record(variables.key_values ?? {}, 'vm_config') }, 'vm_config'),
    code: vm.code === undefined ? code : codeSource(vm.code, 'vm_config'),
  };
}

/** Envoy's `AsyncDataSource`, and an image layout on disk. */
function codeSource(value: Json, key: string): CodeSource {
  const { local, remote, oci, ...others } = record(value, key);
  const source = local === undefined ? others : record(local, key);
  if (remote !== undefined) {
    const { http_uri = {}, sha256, retry_policy: _, ...rest } = record(remote, key);
    known(rest, [], key);
    const { uri, cluster, timeout } = known(record(http_uri, key), ['uri', 'cluster', 'timeout'], key);
    if (typeof uri !== 'string' || typeof cluster !== 'string')
      throw refuse(key, 'a remote source needs http_uri: { uri, cluster }');
    if (typeof sha256 !== 'string' || !/^[0-9a-fA-F]{64}$/.test(sha256)) {
      throw refuse(key, 'a remote source needs its sha256, 64 hexadecimal digits', 'sha256sum prints it');
    }
    const seconds = /^([0-9.]+)s$/.exec(String(timeout ?? ''))?.[1];
    return {
      kind: 'remote',
      cluster,
      uri,
      sha256: sha256.toLowerCase(),
      timeout: seconds === undefined ? REMOTE_TIMEOUT : Number(seconds) * 1000,
    };
  }
  if (oci !== undefined) {
    const { path, tag } = known(record(oci, key), ['path', 'tag'], key);
    return { kind: 'oci', path: text(path ?? '', key), tag: tag === undefined ? undefined : text(tag, key) };
  }
  const { filename, inline_bytes, inline_string } = known(source, ['filename', 'inline_bytes', 'inline_string'], key);
  if (typeof filename === 'string') return { kind: 'file', path: filename };
  if (typeof inline_bytes === 'string') return { kind: 'bytes', bytes: Buffer.from(inline_bytes, 'base64') };
  if (typeof inline_string === 'string') return { kind: 'bytes', bytes: Buffer.from(inline_string, 'utf8') };
  throw refuse(key, 'the code needs one of filename, inline_bytes (base64), remote and oci');
}

/** A configuration as bytes: text as it is, a mapping as JSON, Envoy's `Any` by its type. */
function bytesOf(value: Json, key: string): Uint8Array {
  if (value === null) return new Uint8Array(0);
  if (typeof value === 'string') return Buffer.from(value, 'utf8');
  if (!isRecord(value) || typeof value['@type'] !== 'string') return Buffer.from(JSON.stringify(value), 'utf8');
  const type = value['@type'].split(/[/.]/).at(-1);
  const { value: content } = value;
  switch (type) {
    case 'StringValue':
      return Buffer.from(text(content ?? '', key), 'utf8');
    case 'BytesValue':
      return Buffer.from(text(content ?? '', key), 'base64');
    case 'Struct':
      return Buffer.from(JSON.stringify(content ?? {}), 'utf8');
    default:
      throw refuse(
        key,
        `a configuration of the type ${value['@type']} can't be read`,
        'types: StringValue, BytesValue, Struct',
      );
  }
}

function capabilities(value: Json | undefined): ReadonlySet<string> | undefined {
  const key = 'capability_restriction_config';
  if (value === undefined) return undefined;
  const { allowed_capabilities = {} } = known(record(value, key), ['allowed_capabilities'], key);
  const names = Object.keys(record(allowed_capabilities, key));
  // Without any name Envoy restricts nothing.
  return names.length === 0 ? undefined : new Set(names);
}

function failOpen(given: Readonly<Record<string, Json>>): boolean | undefined {
  if (given.fail_open !== undefined) return flag(given.fail_open, 'fail_open');
  switch (given.failure_policy) {
    case undefined:
    case 'UNSPECIFIED':
      return undefined;
    case 'FAIL_OPEN':
      return true;
    // A module is always started again after a failure.
    case 'FAIL_CLOSED':
    case 'FAIL_RELOAD':
      return false;
    default:
      throw refuse(
        'failure_policy',
        `there is no policy ${JSON.stringify(given.failure_policy)}`,
        'FAIL_CLOSED, FAIL_OPEN or FAIL_RELOAD',
      );
  }
}

function environment(values: Readonly<Record<string, Json>>, key: string): string[] {
  return Object.entries(values).map(([name, value]) => {
    if (typeof value !== 'string' && typeof value !== 'number') throw refuse(key, `the variable ${name} must be text`);
    return `${name}=${value}`;
  });
}

function known(
  value: Readonly<Record<string, Json>>,
  keys: readonly string[],
  key: string,
): Readonly<Record<string, Json>> {
  const unknown = Object.keys(value).find((name) => !keys.includes(name));
  if (unknown !== undefined)
    throw refuse(key, `unknown key \`${unknown}\``, keys.length > 0 ? `known keys: ${keys.join(', ')}` : undefined);
  return value;
}

function isRecord(value: Json): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function record(value: Json, key: string): Readonly<Record<string, Json>> {
  if (isRecord(value)) return value;
  throw refuse(key, 'must be a mapping');
}

function text(value: Json, key: string): string {
  if (typeof value === 'string') return value;
  throw refuse(key, 'must be text');
}

function flag(value: Json, key: string): boolean {
  if (typeof value === 'boolean') return value;
  throw refuse(key, 'must be true or false');
}

function latin1(value: string): string {
  return Buffer.from(value, 'utf8').toString('latin1');
}

function refuse(key: string, message: string, hint?: string): FilterConfigError {
  return new FilterConfigError(`${key}: ${message}`, key === 'config' ? { hint } : { option: key, hint });
}
