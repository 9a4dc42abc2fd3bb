/**
 * Values of Lua in JavaScript: nil is `undefined`; booleans and numbers are themselves; a string is a string of the code points
 * 0–255, one per byte; and the classes here and in table.ts. Functions return one value as it is, and none or several as an array,
 * which is no Lua value.
 */
import type { LuaTable } from './table.ts';

export type LuaValue = undefined | boolean | number | string | LuaTable | LuaFunction | LuaCoroutine | HostObject;
export type Results = LuaValue | LuaValue[];

/** The results of a function that returns nothing, which differs from returning nil. */
export const NONE: LuaValue[] = [];
Object.freeze(NONE);

/** The values of results, as an array that may be shared. */
export function listOf(results: Results): LuaValue[] {
  return Array.isArray(results) ? results : [results];
}

/** Everything but nil and false. */
export function truthy(value: LuaValue): boolean {
  return value !== undefined && value !== false;
}

export type NativeFunction = (...args: LuaValue[]) => Results;
/** A function that can wait in the middle: it yields what it waits for and goes on with what comes back. */
export type WaitingFunction = (...args: LuaValue[]) => Generator<unknown, Results, Results>;

/** The texts and places of one compiled source; see compiler/. */
export interface ChunkInfo {
  /** As in error messages: `[string "..."]`. */
  readonly name: string;
  /** By line of the generated JavaScript: what stands there in Lua. */
  readonly sites: readonly (Site | undefined)[];
}

/** One operation of the source that can fail. */
export interface Site {
  readonly line: number;
  /** What the operands are called: `global 'x'`; the called function's for a call. */
  readonly names: readonly (string | undefined)[];
  /** A tail call: its frame does not count. */
  readonly tail: boolean;
}

/** The variable that holds a function's globals (`setfenv` puts another table there). */
export interface Environment {
  t: LuaTable;
}

export class LuaFunction {
  /** Calls it where nothing can wait. */
  readonly s: NativeFunction;
  /** Calls it where it can wait; `null` for a function that never does. */
  readonly g: WaitingFunction | null;
  /** What it holds of its surroundings, for the measure of memory. */
  readonly upvalues: (() => LuaValue[]) | undefined;
  /** `undefined` for a function that is not written in Lua. */
  readonly chunk: ChunkInfo | undefined;
  readonly environment: Environment | undefined;

  constructor(
    s: NativeFunction,
    g: WaitingFunction | null,
    chunk?: ChunkInfo,
    environment?: Environment,
    upvalues?: () => LuaValue[],
  ) {
    this.s = s;
    this.g = g;
    this.chunk = chunk;
    this.environment = environment;
    this.upvalues = upvalues;
  }
}

/** A call in tail position, which its caller's caller makes: endless tail recursion needs no stack. */
export class TailCall extends Array<LuaValue> {
  readonly callee: LuaFunction;
  readonly args: LuaValue[];

  constructor(callee: LuaFunction, args: LuaValue[]) {
    super();
    this.callee = callee;
    this.args = args;
  }
}

export class LuaCoroutine {
  status: 'suspended' | 'running' | 'normal' | 'dead' = 'suspended';
  readonly body: LuaFunction;
  /** The running body; `undefined` before it starts. */
  iterator: Generator<unknown, Results, Results> | undefined;
  /** Depth of calls within it. */
  depth = 0;

  constructor(body: LuaFunction) {
    this.body = body;
  }
}

/** What an object that Weir gives to a script lives as long as. */
export interface Scope {
  /** Counts up when everything that was handed out dies. */
  epoch: number;
}

/** A kind of host objects: its name and its methods. */
export interface HostKind {
  readonly name: string;
  readonly methods: ReadonlyMap<LuaValue, LuaFunction>;
  readonly pairs: LuaFunction | undefined;
}

/** An object of Weir in a script's hands: userdata, whose insides no script reaches. */
export class HostObject {
  readonly kind: HostKind;
  readonly value: unknown;
  readonly scope: Scope;
  readonly epoch: number;

  constructor(kind: HostKind, value: unknown, scope: Scope) {
    this.kind = kind;
    this.value = value;
    this.scope = scope;
    this.epoch = scope.epoch;
  }
}

/** A userdata of the script's own (`newproxy`): nothing but an identity with a metatable. */
export const PROXY_KIND: HostKind = { name: 'proxy', methods: new Map(), pairs: undefined };

export function typeOf(value: LuaValue): string {
  switch (typeof value) {
    case 'undefined':
      return 'nil';
    case 'boolean':
    case 'number':
    case 'string':
      return typeof value;
    default:
      if (value instanceof LuaFunction) return 'function';
      if (value instanceof LuaCoroutine) return 'thread';
      return value instanceof HostObject ? 'userdata' : 'table';
  }
}

const addresses = new WeakMap<object, number>();
let lastAddress = 0x4000_0000;

/** A number that tells objects apart in `tostring`; it is no address, so that it gives nothing away. */
export function addressOf(object: object): string {
  let address = addresses.get(object);
  if (address === undefined) {
    lastAddress += 32;
    address = lastAddress;
    addresses.set(object, address);
  }
  return `0x${address.toString(16).padStart(8, '0')}`;
}
