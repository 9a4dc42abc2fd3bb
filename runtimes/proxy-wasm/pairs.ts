/** Maps as the ABI writes them. Source: Proxy-Wasm ABI specification 0.2.1, "Serialization"; limits: proxy-wasm-cpp-host, `pairs_util.cc`. */
import type { HeaderMap } from '../../src/abi/index.ts';

const MAX_BYTES = 1024 * 1024;
const MAX_PAIRS = 1024;

export type Pair = readonly [name: string, value: string];

/** Bytes of all names and values. */
export function byteSize(headers: HeaderMap): number {
  let size = 0;
  for (let i = 0; i < headers.size; i++) size += headers.nameAt(i).length + headers.valueAt(i).length;
  return size;
}

/** Bytes of a map in the ABI's format. */
function pairsSize(pairs: Iterable<Pair>): number {
  let size = 4;
  for (const [name, value] of pairs) size += 10 + name.length + value.length;
  return size;
}

/** Text is of the code points 0–255. */
export function encodePairs(pairs: readonly Pair[] | HeaderMap): Uint8Array {
  const list = [...pairs];
  if (list.length === 0) return new Uint8Array(0);
  const bytes = Buffer.alloc(pairsSize(list));
  bytes.writeUInt32LE(list.length, 0);
  let at = 4 + 8 * list.length;
  for (const [i, [name, value]] of list.entries()) {
    bytes.writeUInt32LE(name.length, 4 + 8 * i);
    bytes.writeUInt32LE(value.length, 8 + 8 * i);
    bytes.write(name, at, name.length, 'latin1');
    bytes.write(value, at + name.length + 1, value.length, 'latin1');
    at += name.length + value.length + 2;
  }
  return bytes;
}

/** What cannot be read is taken as empty, as proxy-wasm-cpp-host does. */
export function decodePairs(bytes: Uint8Array): Pair[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (buffer.length < 4 || buffer.length > MAX_BYTES) return [];
  const count = buffer.readUInt32LE(0);
  let at = 4 + 8 * count;
  if (count > MAX_PAIRS || at > buffer.length) return [];
  const pairs: Pair[] = [];
  for (let i = 0; i < count; i++) {
    const nameEnd = at + buffer.readUInt32LE(4 + 8 * i);
    const valueEnd = nameEnd + 1 + buffer.readUInt32LE(8 + 8 * i);
    if (valueEnd >= buffer.length || buffer[nameEnd] !== 0 || buffer[valueEnd] !== 0) return [];
    pairs.push([buffer.toString('latin1', at, nameEnd), buffer.toString('latin1', nameEnd + 1, valueEnd)]);
    at = valueEnd + 1;
  }
  return at === buffer.length ? pairs : [];
}
