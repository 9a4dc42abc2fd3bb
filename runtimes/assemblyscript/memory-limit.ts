/** Gives a WebAssembly module's own memory a maximum. Source: WebAssembly core specification, binary format, section 5 (memory). */

const MEMORY_SECTION = 5;
const PAGE = 65_536;

interface Cursor {
  at: number;
}

function readU32(bytes: Uint8Array, cursor: Cursor): number {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) throw new Error('the module ends too early');
    value += (byte & 0x7f) * 2 ** shift;
    if ((byte & 0x80) === 0) return value;
  }
  throw new Error('a number in the module is too long');
}

function writeU32(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? byte | 0x80 : byte);
  } while (rest > 0);
  return bytes;
}

/**
 * The module with a memory of at most `limit` bytes: growing it further fails inside the module.
 * @throws Error when it needs more from the start, or is malformed.
 */
export function limitMemory(module: Uint8Array, limit: number): Uint8Array<ArrayBuffer> {
  const maximum = Math.floor(limit / PAGE);
  const cursor: Cursor = { at: 8 };
  while (cursor.at < module.length) {
    const start = cursor.at;
    const id = module[cursor.at++];
    const size = readU32(module, cursor);
    const end = cursor.at + size;
    if (id !== MEMORY_SECTION) {
      cursor.at = end;
      continue;
    }
    const count = readU32(module, cursor);
    const flags = readU32(module, cursor);
    if (count !== 1 || flags > 1) throw new Error('only one plain memory is supported');
    const initial = readU32(module, cursor);
    const declared = (flags & 1) === 1 ? readU32(module, cursor) : maximum;
    if (initial > maximum) {
      throw new Error(`the module needs ${initial * PAGE} bytes of memory from the start, and its limit is ${limit}`);
    }
    const content = [1, 1, ...writeU32(initial), ...writeU32(Math.min(declared, maximum))];
    const section = [MEMORY_SECTION, ...writeU32(content.length), ...content];
    const limited = new Uint8Array(start + section.length + module.length - end);
    limited.set(module.subarray(0, start));
    limited.set(section, start);
    limited.set(module.subarray(end), start + section.length);
    return limited;
  }
  throw new Error('the module has no memory of its own; compile it without --importMemory');
}
