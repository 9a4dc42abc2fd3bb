/** The global table `weir` of a script: Weir's own, beyond Envoy's API. Texts are byte strings; digests are lower-case hex. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { fromBytes, jsonToLua, luaToJson } from './api/json.ts';
import { HostFunction, type MethodResult, number, string, table, Wait } from './api/kind.ts';
import type { WeirLibrary } from './engine.ts';
import { verifyToken } from './jwt.ts';
import type { ScriptContext } from './script.ts';
import { ArgumentError, NativeError } from './vm/errors.ts';
import { LuaTable } from './vm/table.ts';
import { type LuaValue, NONE } from './vm/values.ts';

type Members = Readonly<Record<string, (args: LuaValue[]) => MethodResult>>;

/** Names and members of the library; nested ones are tables. */
export function createWeirLibrary(context: ScriptContext): WeirLibrary {
  return {
    config: context.spec.config,
    functions: new Map([
      ...asFunctions({
        sha256: (args) => createHash('sha256').update(bytes(args, 0)).digest('hex'),
        hmac: (args) => hmac(args),
        equal: (args) => isEqual(bytes(args, 0), bytes(args, 1)),
        counter: (args) => count(context, args),
      }),
      ['jwt_verify', new HostFunction(plain(jwtVerify), true)],
    ]),
    tables: new Map([
      ['shared', asFunctions(sharedMembers(context))],
      ['json', asFunctions({ encode: (args) => encode(args), decode: (args) => decode(args) })],
      ['base64', asFunctions({ encode: (args) => encodeBase64(args), decode: (args) => decodeBase64(args) })],
    ]),
  };
}

function asFunctions(members: Members): ReadonlyMap<string, HostFunction> {
  return new Map(Object.entries(members).map(([name, call]) => [name, new HostFunction(plain(call))]));
}

/** Arguments of these functions count from 1, and those of methods from 2, with `self`. */
function plain(call: (args: LuaValue[]) => MethodResult): HostFunction['call'] {
  return (args) => {
    try {
      return call(args) as ReturnType<HostFunction['call']>;
    } catch (error) {
      throw error instanceof ArgumentError ? new ArgumentError(error.argument - 1, error.detail) : error;
    }
  };
}

function bytes(args: readonly LuaValue[], i: number): Buffer {
  return Buffer.from(string(args, i), 'latin1');
}

/** `weir.shared`: strings by key, over all workers; numbers become strings, times to live are in seconds. */
function sharedMembers({ spec, host, options }: ScriptContext): Members {
  const data = () => host.shared(options.shared ?? spec.name);
  return {
    /** → the value and its version, for `cas`; nothing when there is none. */
    get(args) {
      const entry = data().get(string(args, 0));
      return entry === undefined ? undefined : [entry.value, entry.version];
    },
    set(args) {
      guarded(() => data().set(string(args, 0), string(args, 1), timeToLive(args, 2)));
      return NONE;
    },
    delete: (args) => data().delete(string(args, 0)),
    incr(args) {
      const by = args[1] === undefined ? 1 : number(args, 1);
      return guarded(() => data().increment(string(args, 0), by, timeToLive(args, 2)));
    },
    /** Sets the value if its version is still that (0: there is none); says whether it did. */
    cas: (args) =>
      guarded(() => data().compareAndSet(string(args, 0), number(args, 1), string(args, 2), timeToLive(args, 3))),
  };
}

function timeToLive(args: readonly LuaValue[], i: number): number | undefined {
  if (args[i] === undefined) return undefined;
  const seconds = number(args, i);
  if (!(seconds > 0)) throw new NativeError('a time to live is more than 0 seconds');
  return seconds * 1000;
}

/** What the store refuses is an error of the script. */
function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof Error ? new NativeError(error.message) : error;
  }
}

const HASHES = ['sha1', 'sha256', 'sha384', 'sha512'];

/** `weir.hmac(hash, key, text)` */
function hmac(args: LuaValue[]): string {
  const hash = string(args, 0);
  if (!HASHES.includes(hash)) throw new NativeError(`there is no hash '${hash}': use ${HASHES.join(', ')}`);
  return createHmac(hash, bytes(args, 1)).update(bytes(args, 2)).digest('hex');
}

/** `weir.equal(a, b)`: in a time that does not tell where they differ. */
function isEqual(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** `weir.counter(name [, by])`: adds to the metric `weir_filter_<name>`. */
function count({ host }: ScriptContext, args: LuaValue[]): LuaValue[] {
  const name = string(args, 0);
  const by = args[1] === undefined ? 1 : number(args, 1);
  if (!(by >= 0)) throw new NativeError('a counter only grows');
  try {
    host.counter(name).add(by);
  } catch (error) {
    throw new NativeError(error instanceof Error ? error.message : String(error));
  }
  return NONE;
}

/** `weir.json.encode(value)`: a table with a first element is a list, an empty one an object. */
function encode(args: LuaValue[]): string {
  return Buffer.from(JSON.stringify(luaToJson(args[0], 'json.encode')), 'utf8').toString('latin1');
}

/** `weir.json.decode(text)` → the value; or nil and what is wrong with the text. */
function decode(args: LuaValue[]): LuaValue | LuaValue[] {
  const text = string(args, 0);
  try {
    return jsonToLua(JSON.parse(fromBytes(text)));
  } catch (error) {
    return [undefined, error instanceof Error ? error.message : String(error)];
  }
}

/** `weir.base64.encode(text [, "url"])` */
function encodeBase64(args: LuaValue[]): string {
  return bytes(args, 0).toString(alphabet(args) === 'url' ? 'base64url' : 'base64');
}

/** `weir.base64.decode(text [, "url"])` → nil for what is none. */
function decodeBase64(args: LuaValue[]): LuaValue {
  const text = string(args, 0);
  const pattern = alphabet(args) === 'url' ? /^[A-Za-z0-9_-]*={0,2}$/ : /^[A-Za-z0-9+/]*={0,2}$/;
  if (!pattern.test(text) || text.replace(/=+$/, '').length % 4 === 1) return undefined;
  return Buffer.from(text, 'base64').toString('latin1');
}

function alphabet(args: readonly LuaValue[]): string {
  const name = args[1] === undefined ? 'standard' : string(args, 1);
  if (name !== 'standard' && name !== 'url') throw new NativeError(`there is no base64 '${name}': use standard or url`);
  return name;
}

/**
 * `weir.jwt_verify(token, key [, options])` → the claims; or nil and the reason. The script waits for it. `key` is a secret, a public
 * key in PEM, or a table (a JWK or a set of them); options: `algorithms` (list), `issuer`, `audience`, `leeway` in seconds.
 */
function jwtVerify(args: LuaValue[]): Wait {
  const token = string(args, 0);
  const key = args[1] instanceof LuaTable ? luaToJson(args[1], 'jwt_verify') : fromBytes(string(args, 1));
  const options = args[2] === undefined ? {} : luaToJson(table(args, 2), 'jwt_verify');
  return new Wait(
    'call',
    verifyToken(token, key, options).then((result) => () => {
      return 'claims' in result ? jsonToLua(result.claims) : [undefined, result.reason];
    }),
  );
}
