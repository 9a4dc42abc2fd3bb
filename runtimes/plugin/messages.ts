/** The messages of `proto/`, encoded and decoded by protobufjs. */
import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';

/** A message type: what is given to be encoded, and what comes of decoding; fields that are not given have protobuf's defaults. */
export interface MessageType<T, Decoded = T> {
  encode(value: T): Uint8Array;
  /** @throws Error when the bytes are no such message. */
  decode(bytes: Uint8Array): Decoded;
}

const roots = new Map<string, protobuf.Root>();

/** The message `name` of the file `proto/<file>.proto`. */
export function messageType<T extends object, Decoded = T>(file: string, name: string): MessageType<T, Decoded> {
  let root = roots.get(file);
  if (root === undefined) {
    const source = readFileSync(new URL(`./proto/${file}.proto`, import.meta.url), 'utf8');
    root = protobuf.parse(source, { keepCase: true }).root;
    roots.set(file, root);
  }
  const type = root.lookupType(name);
  return {
    encode: (value) => type.encode(value as protobuf.Message).finish(),
    decode: (bytes) => type.decode(bytes) as unknown as Decoded,
  };
}

/** The hook of each part of `weir.plugin.v1`, by the part's number less one. */
export const PART_HOOKS = [
  'onRequestHeaders',
  'onRequestBody',
  'onRequestTrailers',
  'onResponseHeaders',
  'onResponseBody',
  'onResponseTrailers',
  'onComplete',
] as const;
