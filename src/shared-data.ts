/**
 * A key-value store that all workers share: a hash table in shared memory behind one lock. Nothing of a filter runs while the lock
 * is held, so that a worker that is ended can't leave it taken but by running out of memory, for which it is taken over after a second.
 */
import type { SharedData, SharedEntry } from './abi/index.ts';

/** Places of the header, as 32-bit numbers. */
const LOCK = 0;
const TOP = 1;
const COUNT = 2;
const VERSION = 3;
const FREE_LISTS = 4;
/** Blocks are of 64 bytes times a power of two. */
const SMALLEST = 64;
const CLASSES = 20;
const BUCKETS_AT = FREE_LISTS + CLASSES;

/** Places in a block, as 32-bit numbers. */
const NEXT = 0;
const HASH = 1;
const KEY_LENGTH = 2;
const VALUE_LENGTH = 3;
const SIZE_CLASS = 4;
const ENTRY_VERSION = 5;
/** Where the expiry is (milliseconds since 1970, 0 for none), as a 64-bit number. */
const EXPIRES = 3;
const HEAD_BYTES = 32;

/** Milliseconds after which a taken lock is taken over. */
const LOCK_TIMEOUT = 1000;
const MAX_KEY = 1024;

/** The store is full even without what has expired. */
export class SharedDataFullError extends Error {
  override readonly name = 'SharedDataFullError';
}

/** @param bytes of the whole store. */
export function createSharedMemory(bytes: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(Math.ceil(bytes / SMALLEST) * SMALLEST);
  const ints = new Int32Array(memory);
  ints[TOP] = blocksAt(memory);
  return memory;
}

/** One bucket for about 256 bytes. */
function bucketsOf(memory: SharedArrayBuffer): number {
  return Math.max(16, 2 ** Math.floor(Math.log2(memory.byteLength / 256)));
}

function blocksAt(memory: SharedArrayBuffer): number {
  return Math.ceil(((BUCKETS_AT + bucketsOf(memory)) * 4) / SMALLEST) * SMALLEST;
}

export class SharedStore {
  readonly #ints: Int32Array;
  readonly #floats: Float64Array;
  readonly #bytes: Buffer;
  readonly #buckets: number;

  constructor(memory: SharedArrayBuffer) {
    this.#ints = new Int32Array(memory);
    this.#floats = new Float64Array(memory);
    this.#bytes = Buffer.from(memory);
    this.#buckets = bucketsOf(memory);
  }

  /** A view whose keys no other namespace sees. */
  namespace(name: string): SharedData {
    const full = (key: string) => {
      const text = `${name}\0${key}`;
      if (text.length > MAX_KEY) throw new RangeError(`a key of shared data has at most ${MAX_KEY} bytes`);
      return text;
    };
    return {
      get: (key) => this.#locked(() => this.#read(full(key))),
      set: (key, value, ttl) => this.#locked(() => this.#write(full(key), value, ttl)),
      delete: (key) => this.#locked(() => this.#remove(full(key))),
      increment: (key, by, ttl) => this.#locked(() => this.#increment(full(key), by, ttl)),
      compareAndSet: (key, version, value, ttl) =>
        this.#locked(() => {
          if ((this.#read(full(key))?.version ?? 0) !== version) return false;
          this.#write(full(key), value, ttl);
          return true;
        }),
    };
  }

  /** Entries, expired ones included. */
  get size(): number {
    return this.#ints[COUNT] as number;
  }

  #read(key: string): SharedEntry | undefined {
    const block = this.#find(key);
    if (block === 0) return undefined;
    const at = block + HEAD_BYTES + this.#int(block, KEY_LENGTH);
    const value = this.#bytes.toString('latin1', at, at + this.#int(block, VALUE_LENGTH));
    return { value, version: this.#int(block, ENTRY_VERSION) };
  }

  #write(key: string, value: string, ttl: number | undefined): void {
    const needed = HEAD_BYTES + key.length + value.length;
    let block = this.#find(key);
    if (block !== 0 && sizeOf(this.#int(block, SIZE_CLASS)) < needed) {
      this.#remove(key);
      block = 0;
    }
    if (block === 0) block = this.#insert(key, needed);
    this.#set(block, VALUE_LENGTH, value.length);
    this.#ints[VERSION] = ((this.#ints[VERSION] as number) + 1) & 0x7fffffff || 1;
    this.#set(block, ENTRY_VERSION, this.#ints[VERSION] as number);
    this.#floats[block / 8 + EXPIRES] = ttl === undefined ? 0 : Date.now() + ttl;
    this.#bytes.write(value, block + HEAD_BYTES + key.length, value.length, 'latin1');
  }

  #increment(key: string, by: number, ttl: number | undefined): number {
    const block = this.#find(key);
    const old = block === 0 ? 0 : Number(this.#read(key)?.value);
    if (Number.isNaN(old)) throw new RangeError('the value of shared data to be incremented is no number');
    const expires = block === 0 ? 0 : (this.#floats[block / 8 + EXPIRES] as number);
    this.#write(key, String(old + by), ttl);
    // A window that has begun ends when it was to end.
    if (expires !== 0) this.#floats[this.#find(key) / 8 + EXPIRES] = expires;
    return old + by;
  }

  #remove(key: string): boolean {
    const hash = hashOf(key);
    const bucket = this.#bucket(hash);
    let previous = 0;
    for (let block = this.#ints[bucket] as number; block !== 0; block = this.#int(block, NEXT)) {
      if (this.#is(block, hash, key)) {
        this.#unlink(bucket, previous, block);
        return true;
      }
      previous = block;
    }
    return false;
  }

  /** The live entry of a key, or 0. */
  #find(key: string): number {
    const hash = hashOf(key);
    for (let block = this.#ints[this.#bucket(hash)] as number; block !== 0; block = this.#int(block, NEXT)) {
      if (!this.#is(block, hash, key)) continue;
      if (!this.#isExpired(block, Date.now())) return block;
      this.#remove(key);
      return 0;
    }
    return 0;
  }

  #is(block: number, hash: number, key: string): boolean {
    if (this.#int(block, HASH) !== hash || this.#int(block, KEY_LENGTH) !== key.length) return false;
    return this.#bytes.toString('latin1', block + HEAD_BYTES, block + HEAD_BYTES + key.length) === key;
  }

  #isExpired(block: number, now: number): boolean {
    const expires = this.#floats[block / 8 + EXPIRES] as number;
    return expires !== 0 && expires <= now;
  }

  #insert(key: string, needed: number): number {
    const sizeClass = classOf(needed);
    let block = this.#take(sizeClass);
    if (block === 0) {
      this.#sweep();
      block = this.#take(sizeClass);
    }
    if (block === 0) throw new SharedDataFullError('the data that workers share is full (`shared_memory:`)');
    const hash = hashOf(key);
    const bucket = this.#bucket(hash);
    this.#set(block, SIZE_CLASS, sizeClass);
    this.#set(block, HASH, hash);
    this.#set(block, KEY_LENGTH, key.length);
    this.#set(block, NEXT, this.#ints[bucket] as number);
    this.#bytes.write(key, block + HEAD_BYTES, key.length, 'latin1');
    this.#ints[bucket] = block;
    (this.#ints[COUNT] as number)++;
    return block;
  }

  /** A block of that class, or of the next larger ones; 0 when there is none. */
  #take(sizeClass: number): number {
    const free = this.#ints[FREE_LISTS + sizeClass] as number;
    if (free !== 0) {
      this.#ints[FREE_LISTS + sizeClass] = this.#int(free, NEXT);
      return free;
    }
    const top = this.#ints[TOP] as number;
    if (sizeClass < CLASSES && top + sizeOf(sizeClass) <= this.#bytes.length) {
      this.#ints[TOP] = top + sizeOf(sizeClass);
      return top;
    }
    return 0;
  }

  #unlink(bucket: number, previous: number, block: number): void {
    if (previous === 0) this.#ints[bucket] = this.#int(block, NEXT);
    else this.#set(previous, NEXT, this.#int(block, NEXT));
    const list = FREE_LISTS + this.#int(block, SIZE_CLASS);
    this.#set(block, NEXT, this.#ints[list] as number);
    this.#ints[list] = block;
    (this.#ints[COUNT] as number)--;
  }

  /** Frees what has expired. */
  #sweep(): void {
    const now = Date.now();
    for (let bucket = BUCKETS_AT; bucket < BUCKETS_AT + this.#buckets; bucket++) {
      let previous = 0;
      for (let block = this.#ints[bucket] as number; block !== 0; ) {
        const next = this.#int(block, NEXT);
        if (this.#isExpired(block, now)) this.#unlink(bucket, previous, block);
        else previous = block;
        block = next;
      }
    }
  }

  #locked<T>(work: () => T): T {
    const ints = this.#ints;
    let since = 0;
    while (Atomics.compareExchange(ints, LOCK, 0, 1) !== 0) {
      since ||= performance.now();
      if (performance.now() - since > LOCK_TIMEOUT) break;
      Atomics.wait(ints, LOCK, 1, 1);
    }
    try {
      return work();
    } finally {
      Atomics.store(ints, LOCK, 0);
      Atomics.notify(ints, LOCK, 1);
    }
  }

  #bucket(hash: number): number {
    return BUCKETS_AT + (hash & (this.#buckets - 1));
  }

  #int(block: number, place: number): number {
    return this.#ints[block / 4 + place] as number;
  }

  #set(block: number, place: number, value: number): void {
    this.#ints[block / 4 + place] = value;
  }
}

function sizeOf(sizeClass: number): number {
  return SMALLEST << sizeClass;
}

function classOf(bytes: number): number {
  let sizeClass = 0;
  while (sizeClass < CLASSES && sizeOf(sizeClass) < bytes) sizeClass++;
  return sizeClass;
}

/** FNV-1a. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash | 0;
}
