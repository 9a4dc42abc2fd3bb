/** Envoy's external processing messages, and what turns headers and mutations into them and back. */
import type { HeaderMap, Json } from '../../src/abi/index.ts';
import { messageType } from './messages.ts';

export interface HeaderMutation {
  set_headers: { header?: { key: string; value: string; raw_value: Uint8Array }; append?: { value: boolean } }[];
  remove_headers: string[];
}

export interface CommonResponse {
  status: number;
  header_mutation?: HeaderMutation;
  body_mutation?: { body?: Uint8Array; clear_body?: boolean };
  clear_route_cache: boolean;
}

export interface Immediate {
  status?: { code: number };
  headers?: HeaderMutation;
  body: Uint8Array;
  grpc_status?: { status: number };
  details: string;
}

interface Value {
  number_value?: number;
  string_value?: string;
  bool_value?: boolean;
  struct_value?: Struct;
  list_value?: { values: Value[] };
}
interface Struct {
  fields: Record<string, Value>;
}

export type PartName =
  | 'request_headers'
  | 'response_headers'
  | 'request_body'
  | 'response_body'
  | 'request_trailers'
  | 'response_trailers';

export type ProcessingResponse = {
  [P in PartName]?: { response?: CommonResponse; header_mutation?: HeaderMutation };
} & {
  immediate_response?: Immediate;
  dynamic_metadata?: Struct;
  mode_override?: Record<string, number>;
};

const PACKAGE = 'envoy.service.ext_proc.v3';
export const METHOD = { service: `${PACKAGE}.ExternalProcessor`, method: 'Process' };
export const Request = messageType<object>('ext_proc', `${PACKAGE}.ProcessingRequest`);
export const Response = messageType<ProcessingResponse>('ext_proc', `${PACKAGE}.ProcessingResponse`);

export function headersMessage(headers: HeaderMap): object {
  return { headers: [...headers].map(([key, value]) => ({ key, raw_value: Buffer.from(value, 'latin1') })) };
}

export interface MutationRules {
  allow_all_routing: boolean;
  allow_envoy: boolean;
  disallow_system: boolean;
  disallow_all: boolean;
  disallow_is_error: boolean;
}

/** Headers that decide where a request goes. Source: Envoy, config.common.mutation_rules.v3. */
const ROUTING = new Set(['host', ':authority', ':scheme', ':method']);

/**
 * Makes the edits that are allowed; what is not is left out. `append_action` has no effect and `append` has, as in Envoy 1.40.
 * @throws Error when one is not allowed and the rules call that an error.
 */
export function mutate(headers: HeaderMap, mutation: HeaderMutation | undefined, rules: MutationRules): void {
  if (mutation === undefined) return;
  for (const name of mutation.remove_headers) {
    if (isAllowed(name.toLowerCase(), true, rules)) headers.remove(name);
  }
  for (const { header, append } of mutation.set_headers) {
    if (!header || !isAllowed(header.key.toLowerCase(), false, rules)) continue;
    const { key, value, raw_value: raw } = header;
    const text = raw.length > 0 ? Buffer.from(raw).toString('latin1') : Buffer.from(value).toString('latin1');
    const name = key.toLowerCase() === 'host' ? ':authority' : key;
    if (append?.value === true) headers.add(name, text);
    else headers.set(name, text);
  }
}

function isAllowed(name: string, removal: boolean, rules: MutationRules): boolean {
  const allowed =
    !rules.disallow_all &&
    (rules.allow_envoy || !name.startsWith('x-envoy')) &&
    (rules.allow_all_routing || !ROUTING.has(name)) &&
    !(name.startsWith(':') && (removal || rules.disallow_system)) &&
    !(removal && name === 'host');
  if (!allowed && rules.disallow_is_error) throw new Error(`it may not change the header ${name}`);
  return allowed;
}

export function jsonOf({ fields }: Struct): Record<string, Json> {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, jsonValue(value)]));
}

function jsonValue(value: Value): Json {
  if (value.struct_value) return jsonOf(value.struct_value);
  if (value.list_value) return value.list_value.values.map(jsonValue);
  if (Object.hasOwn(value, 'string_value')) return value.string_value as string;
  if (Object.hasOwn(value, 'number_value')) return value.number_value as number;
  return Object.hasOwn(value, 'bool_value') ? (value.bool_value as boolean) : null;
}
