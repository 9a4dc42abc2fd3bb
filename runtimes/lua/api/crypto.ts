/** Signatures. Source: Envoy, "Lua" HTTP filter, `importPublicKey()` and `verifySignature()`. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { ScriptStream } from '../script-stream.ts';
import { ArgumentError, NativeError } from '../vm/errors.ts';
import { HostObject, type LuaValue } from '../vm/values.ts';
import type { Kinds } from './index.ts';
import { integer, type Method, type Methods, string } from './kind.ts';

export interface KeyObjectValue {
  run: ScriptStream;
  /** The key in DER; `undefined` when it could not be read. */
  der: string | undefined;
}

export const keyMethods: Methods<KeyObjectValue> = {
  get: ({ der }) => der,
};

/** `importPublicKey(der, length)` */
export function importPublicKey(kinds: Kinds): Method<ScriptStream> {
  return (run, args) => {
    const der = string(args, 0).slice(0, integer(args, 1));
    return kinds.publicKey.create({ run, der: readKey(der) === undefined ? undefined : der }, run);
  };
}

const HASHES = new Set(['sha1', 'sha224', 'sha256', 'sha384', 'sha512']);

/** `verifySignature(hash, key, signature, signatureLength, data, dataLength)` → whether it is right, and a message. */
export const verifySignature: Method<ScriptStream> = (_, args) => {
  const hash = string(args, 0).toLowerCase();
  const key = readKey(derOf(args));
  const signature = Buffer.from(string(args, 2).slice(0, integer(args, 3)), 'latin1');
  const data = Buffer.from(string(args, 4).slice(0, integer(args, 5)), 'latin1');
  if (key === undefined) throw new NativeError('invalid public key');
  if (!HASHES.has(hash)) return [false, `${hash} is not supported.`];
  let valid = false;
  try {
    valid = verify(hash, data, key, signature);
  } catch {
    // A signature of the wrong shape is a wrong signature.
  }
  return valid ? [true, ''] : [false, 'Failed to verify digest. Error code: 0'];
};

/** The key as a DER string, or as what `importPublicKey` gave. */
function derOf(args: LuaValue[]): string {
  const key = args[1];
  if (key instanceof HostObject && key.kind.name === 'public key') return (key.value as KeyObjectValue).der ?? '';
  if (key === undefined) throw new ArgumentError(3, 'string expected, got nil');
  return string(args, 1);
}

function readKey(der: string): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(der, 'latin1'), format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}
