/** A module's memory: every pointer and length that the module gives is checked here. */

const NOTHING = new Uint8Array(0);

export class GuestMemory {
  #memory: WebAssembly.Memory | undefined;
  #allocate: (size: number) => number = () => 0;
  #bytes: Buffer = Buffer.alloc(0);
  #view = new DataView(new ArrayBuffer(0));

  /** @param allocate the module's allocator; it may make the memory grow. */
  attach(memory: WebAssembly.Memory, allocate: (size: number) => number): void {
    this.#memory = memory;
    this.#allocate = allocate;
  }

  /** Bytes of the whole memory. */
  get size(): number {
    return this.#current().length;
  }

  /** Whether `size` bytes from `pointer` on are in the memory; both as the module gives them. */
  holds(pointer: number, size: number): boolean {
    return (pointer >>> 0) + (size >>> 0) <= this.#current().length;
  }

  /** Text of the code points 0–255, one per byte. Only for what `holds` says. */
  text(pointer: number, size: number): string {
    const start = pointer >>> 0;
    return this.#current().toString('latin1', start, start + (size >>> 0));
  }

  utf8(pointer: number, size: number): string {
    const start = pointer >>> 0;
    return this.#current().toString('utf8', start, start + (size >>> 0));
  }

  /** A copy. Only for what `holds` says. */
  copy(pointer: number, size: number): Uint8Array {
    if (size === 0) return NOTHING;
    const start = pointer >>> 0;
    return Uint8Array.prototype.slice.call(this.#current(), start, start + (size >>> 0));
  }

  /** False when the place is outside. */
  writeU32(pointer: number, value: number): boolean {
    if (!this.holds(pointer, 4)) return false;
    this.#view.setUint32(pointer >>> 0, value, true);
    return true;
  }

  readU32(pointer: number): number {
    this.#current();
    return this.#view.getUint32(pointer >>> 0, true);
  }

  writeU64(pointer: number, value: bigint): boolean {
    if (!this.holds(pointer, 8)) return false;
    this.#view.setBigUint64(pointer >>> 0, value, true);
    return true;
  }

  /** Writes into memory that the module has given already. */
  write(pointer: number, bytes: Uint8Array): boolean {
    if (!this.holds(pointer, bytes.length)) return false;
    this.#current().set(bytes, pointer >>> 0);
    return true;
  }

  /** Gives bytes to the module in memory of its allocator, which it owns then. False when a place is outside or there is no memory. */
  give(bytes: Uint8Array, pointerTo: number, sizeTo: number): boolean {
    const pointer = bytes.length === 0 ? 0 : this.#reserve(bytes.length);
    if (pointer < 0) return false;
    if (bytes.length > 0) this.#bytes.set(bytes, pointer);
    return this.writeU32(pointerTo, pointer) && this.writeU32(sizeTo, bytes.length);
  }

  /** The same with text of the code points 0–255. */
  giveText(text: string, pointerTo: number, sizeTo: number): boolean {
    const pointer = text.length === 0 ? 0 : this.#reserve(text.length);
    if (pointer < 0) return false;
    if (text.length > 0) this.#bytes.write(text, pointer, text.length, 'latin1');
    return this.writeU32(pointerTo, pointer) && this.writeU32(sizeTo, text.length);
  }

  /** Memory of the module's allocator, or -1. */
  #reserve(size: number): number {
    const pointer = this.#allocate(size) >>> 0;
    return pointer !== 0 && this.holds(pointer, size) ? pointer : -1;
  }

  /** A memory that grew has left its former buffer empty. */
  #current(): Buffer {
    if (this.#bytes.length === 0 && this.#memory !== undefined) {
      this.#bytes = Buffer.from(this.#memory.buffer);
      this.#view = new DataView(this.#memory.buffer);
    }
    return this.#bytes;
  }
}
