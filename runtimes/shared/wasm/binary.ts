/** Reading and writing WebAssembly's binary format. Source: WebAssembly core specification, chapter 5. */

/** The module does not follow the binary format, or uses what this host does not take. */
export class WasmFormatError extends Error {
  override readonly name = 'WasmFormatError';
}

export const SectionId = {
  Custom: 0,
  Type: 1,
  Import: 2,
  Function: 3,
  Table: 4,
  Memory: 5,
  Global: 6,
  Export: 7,
  Start: 8,
  Element: 9,
  Code: 10,
  Data: 11,
  DataCount: 12,
  Tag: 13,
} as const;

/** The order of the known sections in a module. */
const SECTION_ORDER = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];

export interface Section {
  id: number;
  /** Where the content starts and ends in the module. */
  start: number;
  end: number;
}

/** Reads numbers and names from a part of a module. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  byte(): number {
    if (this.at >= this.end) throw new WasmFormatError('the module ends too early');
    return this.bytes[this.at++] as number;
  }

  /** An unsigned LEB128 number of 32 bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new WasmFormatError('a number in the module is too long');
  }

  /** Skips a LEB128 number of at most 64 bits. */
  skipNumber(): void {
    for (let i = 0; i < 10; i++) if (this.byte() < 0x80) return;
    throw new WasmFormatError('a number in the module is too long');
  }

  skip(count: number): void {
    this.at += count;
    if (this.at > this.end) throw new WasmFormatError('the module ends too early');
  }

  name(): string {
    const length = this.u32();
    const start = this.at;
    this.skip(length);
    return new TextDecoder().decode(this.bytes.subarray(start, this.at));
  }
}

/** The sections of a module, in its order. @throws WasmFormatError */
export function sectionsOf(module: Uint8Array): Section[] {
  if (module.length < 8 || module[0] !== 0 || module[1] !== 0x61 || module[2] !== 0x73 || module[3] !== 0x6d) {
    throw new WasmFormatError('this is not a WebAssembly module: it does not begin with \\0asm');
  }
  if (module[4] !== 1 || module[6] !== 0) {
    throw new WasmFormatError(
      module[6] === 1 ? 'this is a WebAssembly component, not a core module' : 'the version of this module is unknown',
    );
  }
  const reader = new Reader(module, 8);
  const sections: Section[] = [];
  while (!reader.done) {
    const id = reader.byte();
    const size = reader.u32();
    const start = reader.at;
    reader.skip(size);
    sections.push({ id, start, end: reader.at });
  }
  return sections;
}

/** Whether the bytes begin as a component does (layer 1 of the binary format). */
export function isComponent(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 8 && bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d && bytes[6] === 1
  );
}

/** Whether the bytes begin as a core module does. */
export function isCoreModule(bytes: Uint8Array): boolean {
  return (
    bytes.length >= 8 && bytes[0] === 0 && bytes[1] === 0x61 && bytes[2] === 0x73 && bytes[3] === 0x6d && bytes[6] === 0
  );
}

/** The names that a module exports; empty when it is malformed. */
export function exportNames(module: Uint8Array): string[] {
  try {
    const section = sectionsOf(module).find(({ id }) => id === SectionId.Export);
    if (section === undefined) return [];
    const reader = new Reader(module, section.start, section.end);
    const names: string[] = [];
    for (let count = reader.u32(); count > 0; count--) {
      names.push(reader.name());
      reader.byte();
      reader.u32();
    }
    return names;
  } catch (error) {
    if (error instanceof WasmFormatError) return [];
    throw error;
  }
}

/** A number as unsigned LEB128. */
export function u32(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? byte | 0x80 : byte);
  } while (rest > 0);
  return bytes;
}

/** A positive number as signed LEB128, as `i32.const` has it. */
export function positiveI32(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    if (rest === 0 && (byte & 0x40) === 0) {
      bytes.push(byte);
      return bytes;
    }
    bytes.push(byte | 0x80);
  }
}

/** A name with its length. */
export function nameBytes(name: string): number[] {
  const bytes = new TextEncoder().encode(name);
  return [...u32(bytes.length), ...bytes];
}

/** Puts sections together again; those in `replaced` get other contents, and missing ones are put where the order wants them. */
export function rebuild(
  module: Uint8Array,
  sections: readonly Section[],
  replaced: ReadonlyMap<number, Uint8Array>,
): { bytes: Uint8Array<ArrayBuffer>; starts: Map<number, number> } {
  const parts: { id: number; content: Uint8Array }[] = sections.map(({ id, start, end }) => ({
    id,
    content: (id === SectionId.Custom ? undefined : replaced.get(id)) ?? module.subarray(start, end),
  }));
  for (const [id, content] of replaced) {
    if (parts.some((part) => part.id === id)) continue;
    const rank = SECTION_ORDER.indexOf(id);
    const before = parts.findIndex((part) => SECTION_ORDER.indexOf(part.id) > rank);
    parts.splice(before < 0 ? parts.length : before, 0, { id, content });
  }
  const size = parts.reduce((sum, { content }) => sum + 1 + u32(content.length).length + content.length, 8);
  const bytes = new Uint8Array(size);
  bytes.set(module.subarray(0, 8));
  const starts = new Map<number, number>();
  let at = 8;
  for (const { id, content } of parts) {
    const head = [id, ...u32(content.length)];
    bytes.set(head, at);
    at += head.length;
    starts.set(id, at);
    bytes.set(content, at);
    at += content.length;
  }
  return { bytes, starts };
}
