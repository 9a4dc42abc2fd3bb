/** CEL expressions over attributes: the foreign functions `expr_create`, `expr_evaluate`, `expr_delete`. Source: Envoy, `foreign.cc`; observed. */
import { createRequire } from 'node:module';
import { RE2JS } from 're2js';
import type { Json } from '../../../src/abi/index.ts';
import { Status } from '../constants.ts';
import type { Context } from '../context.ts';
import type { Machine } from '../machine.ts';
import { encodePairs } from '../pairs.ts';
import { attributeOf } from './properties.ts';

type Cel = typeof import('@marcbachmann/cel-js');
type Evaluate = (variables: Record<string, unknown>) => unknown;

/** Bounds what a loop of definitions can do. */
const MOST_EXPRESSIONS = 1024;
const LONGEST = 16 * 1024;
/** What evaluating one is worth, as calls of the host. */
const CALLS = 20;

/** The attributes of each variable that is a structure. Source: Envoy, "Attributes". */
const STRUCTURES: Readonly<Record<string, readonly string[]>> = {
  request:
    'path url_path host scheme method headers referer useragent id protocol query size total_size time duration'.split(
      ' ',
    ),
  response: 'code code_details flags grpc_status headers trailers size total_size'.split(' '),
  connection: 'id mtls requested_server_name'.split(' '),
  source: ['address', 'port'],
  destination: ['address', 'port'],
  upstream: ['address', 'port', 'local_address', 'request_attempt_count'],
  xds: 'cluster_name route_name virtual_host_name listener_name listener_direction route_metadata virtual_host_metadata node'.split(
    ' ',
  ),
};
const VALUES = [
  'plugin_name',
  'plugin_root_id',
  'plugin_vm_id',
  'metadata',
  'cluster_name',
  'route_name',
  'connection_id',
];
const NANOSECONDS = 1_000_000n;

let loaded: Cel | undefined;
/** Loaded with the first expression. */
const cel = (): Cel => {
  loaded ??= createRequire(import.meta.url)('@marcbachmann/cel-js') as Cel;
  return loaded;
};

/** The expressions of one machine. */
export class Expressions {
  readonly #machine: Machine;
  readonly #known = new Map<number, Evaluate>();
  #next = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  create(text: Uint8Array): Uint8Array | Status {
    if (text.length > LONGEST || this.#known.size >= MOST_EXPRESSIONS) return Status.BadArgument;
    try {
      const evaluate = parse(Buffer.from(text).toString('utf8'));
      const token = this.#next++;
      this.#known.set(token, evaluate);
      return u32(token);
    } catch {
      return Status.BadArgument;
    }
  }

  evaluate(argument: Uint8Array): Uint8Array | Status {
    if (argument.length !== 4) return Status.BadArgument;
    const evaluate = this.#known.get(Buffer.from(argument).readUInt32LE());
    if (evaluate === undefined) return Status.NotFound;
    for (let i = 0; i < CALLS; i++) this.#machine.charge();
    let value: unknown;
    try {
      value = evaluate(variablesOf(this.#machine.effective));
    } catch {
      return Status.InternalFailure;
    }
    return serialized(value) ?? Status.SerializationFailure;
  }

  delete(argument: Uint8Array): Uint8Array | Status {
    if (argument.length !== 4) return Status.BadArgument;
    this.#known.delete(Buffer.from(argument).readUInt32LE());
    return new Uint8Array(0);
  }
}

/** @throws Error when the text is no expression. */
function parse(text: string): Evaluate {
  const { Environment } = cel();
  const environment = new Environment({ unlistedVariablesAreDyn: true });
  // The library's own `matches` is JavaScript's, which a pattern can keep busy for ever.
  environment.registerFunction(`string.${LINEAR_MATCHES}(string): bool`, (value: string, pattern: string) =>
    RE2JS.compile(pattern).matcher(value).find(),
  );
  const calls: [from: number, to: number][] = [];
  look(environment.parse(text).ast, calls, false);
  let linear = text;
  for (const [from, to] of calls.toSorted((a, b) => b[0] - a[0])) {
    linear = linear.slice(0, from) + linear.slice(from, to).replace('matches', LINEAR_MATCHES) + linear.slice(to);
  }
  return environment.parse(linear) as Evaluate;
}

const LINEAR_MATCHES = 'linearMatches';

/** A node of the library's syntax tree. */
interface Node {
  op: string;
  args: unknown;
  start: number;
  end: number;
}

/** Macros that go over a list; one within another would take the product of their sizes. */
const LOOPS = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/**
 * Finds where calls of `matches` have their names: between what they are called on and their first argument.
 * @throws Error when loops are nested.
 */
function look(node: unknown, found: [number, number][], looping: boolean): void {
  if (Array.isArray(node)) {
    for (const part of node) look(part, found, looping);
    return;
  }
  if (typeof node !== 'object' || node === null || !('op' in node)) return;
  const { op, args, end } = node as Node;
  const [name, on] = Array.isArray(args) ? (args as [unknown, Node]) : [];
  if (name === 'matches' && op === 'call') throw new Error('matches is called on a text: text.matches(pattern)');
  if (name === 'matches' && op === 'rcall') {
    const first = (args as [string, Node, Node[]])[2][0];
    found.push([(on as Node).end, first?.start ?? end]);
  }
  const loops = op === 'rcall' && LOOPS.has(name as string);
  if (loops && looping) throw new Error('a loop within a loop is not supported');
  look(args, found, looping || loops);
}

/** Variables are looked up when the expression asks for them. */
function variablesOf(context: Context | undefined): Record<string, unknown> {
  const variables: Record<string, unknown> = {};
  for (const [name, attributes] of Object.entries(STRUCTURES)) {
    define(variables, name, () => {
      const structure: Record<string, unknown> = {};
      for (const attribute of attributes) {
        const value = attributeOf(context, `${name}\0${attribute}`);
        if (value === undefined) continue;
        structure[attribute] = attribute === 'time' ? new Date(Number((value as bigint) / NANOSECONDS)) : plain(value);
      }
      return structure;
    });
  }
  for (const name of VALUES) {
    const value = attributeOf(context, name);
    if (value !== undefined) variables[name] = plain(value);
  }
  return variables;
}

function define(target: Record<string, unknown>, name: string, get: () => unknown): void {
  Object.defineProperty(target, name, { enumerable: true, get });
}

/** Headers as a map of their first values. */
function plain(value: NonNullable<ReturnType<typeof attributeOf>>): unknown {
  if (typeof value !== 'object' || value instanceof Uint8Array || !(Symbol.iterator in value)) return value;
  const map: Record<string, string> = {};
  for (const [name, text] of value as Iterable<[string, string]>) map[name] ??= text;
  return map;
}

function serialized(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  switch (typeof value) {
    case 'string':
      // Headers are strings of bytes; other text is not.
      return Buffer.from(value, /[^\x00-\xff]/.test(value) ? 'utf8' : 'latin1');
    case 'boolean':
      return Uint8Array.of(value ? 1 : 0);
    case 'bigint':
      return i64(value);
    case 'number': {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(value);
      return bytes;
    }
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (value instanceof Date) return i64(BigInt(value.getTime()) * NANOSECONDS);
  if ('seconds' in value && 'nanos' in value) {
    return i64(BigInt(value.seconds as bigint) * 1_000_000_000n + BigInt(value.nanos as number));
  }
  if (Array.isArray(value)) return pairs(value.map((item) => [item, '']));
  return pairs(Object.entries(value as Record<string, Json>));
}

/** A list has its items as names. `undefined` when one of them is a structure itself. */
function pairs(entries: readonly (readonly [unknown, unknown])[]): Uint8Array | undefined {
  const list: [string, string][] = [];
  for (const [name, value] of entries) {
    if ([name, value].some((part) => typeof part === 'object')) return undefined;
    const [first, second] = [serialized(name), serialized(value)];
    if (first === undefined || second === undefined) return undefined;
    list.push([Buffer.from(first).toString('latin1'), Buffer.from(second).toString('latin1')]);
  }
  return encodePairs(list);
}

function i64(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt.asIntN(64, value));
  return bytes;
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
