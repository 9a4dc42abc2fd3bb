/**
 * Lua's table: an array part from 1 on, and a hash part in order of insertion. Entries that were set to nil keep their place until
 * the next rebuild, so that a traversal may clear fields. Flat and without accessors, since scripts spend their time here.
 */
import type { LuaValue } from './values.ts';

/** Up to so many keys are found by looking at them one by one, which is as fast as a map and much smaller. */
const LINEAR = 8;

/** Bytes that an entry is counted as. */
export const ENTRY_SIZE = 40;
/** Bytes that an empty table is counted as. */
export const TABLE_SIZE = 80;

export class LuaTable {
  /** Element i of the array part at index i - 1; never ends with nil. */
  arr: LuaValue[] = [];
  keys: LuaValue[] | undefined = undefined;
  vals: LuaValue[] | undefined = undefined;
  /** Places of the keys, once there are many. */
  places: Map<LuaValue, number> | undefined = undefined;
  /** Keys that have a value. */
  live = 0;
  meta: LuaTable | undefined = undefined;

  get(key: LuaValue): LuaValue {
    if (typeof key === 'number') {
      const { arr } = this;
      if (key > 0 && key <= arr.length) {
        const i = key - 1;
        if ((i | 0) === i) return arr[i];
      }
    }
    if (this.keys === undefined) return undefined;
    const place = this.#place(key);
    return place < 0 ? undefined : (this.vals as LuaValue[])[place];
  }

  /** The same for a string. */
  str(key: string): LuaValue {
    const { keys } = this;
    if (keys === undefined) return undefined;
    if (this.places === undefined) {
      for (let i = 0; i < keys.length; i++) if (keys[i] === key) return (this.vals as LuaValue[])[i];
      return undefined;
    }
    const place = this.places.get(key);
    return place === undefined ? undefined : (this.vals as LuaValue[])[place];
  }

  /** Sets without metamethods; the caller has refused nil and NaN as keys. True when the table grew by an entry. */
  set(key: LuaValue, value: LuaValue): boolean {
    if (typeof key === 'number') {
      const { arr } = this;
      const { length } = arr;
      if (key > 0 && key <= length) {
        const i = key - 1;
        if ((i | 0) === i) {
          arr[i] = value;
          if (value === undefined && i === length - 1) this.#trim();
          return false;
        }
      } else if (key === length + 1) {
        if (value === undefined) return this.#setHash(key, value);
        arr.push(value);
        if (this.live > 0) this.#migrate();
        return true;
      }
    }
    return this.#setHash(key, value);
  }

  /** Moves what is at `index` (in the array part) and behind it up by one. */
  insertAt(index: number, value: LuaValue): void {
    this.arr.splice(index - 1, 0, value);
    if (this.live > 0) {
      if (this.#place(this.arr.length) >= 0) this.#setHash(this.arr.length, undefined);
      this.#migrate();
    }
  }

  /** Takes element `index` of the array part out and moves what is behind it down. */
  removeAt(index: number): LuaValue {
    const [value] = this.arr.splice(index - 1, 1);
    this.#trim();
    return value;
  }

  /** Gives a new table its list. What has the same place in the hash part goes. */
  fill(values: LuaValue[]): void {
    for (let i = values.length; i < this.arr.length; i++) values.push(this.arr[i]);
    this.arr = values;
    this.#trim();
    if (this.live === 0) return;
    const vals = this.vals as LuaValue[];
    for (const [i, key] of (this.keys as LuaValue[]).entries()) {
      const listed = Number.isInteger(key) && (key as number) >= 1 && (key as number) <= this.arr.length;
      if (!listed || vals[i] === undefined) continue;
      vals[i] = undefined;
      this.live--;
    }
    this.#migrate();
  }

  /** A border (Lua 5.1 reference manual, section 2.5.5). */
  length(): number {
    return this.arr.length;
  }

  /** The cursor after `cursor`; 0 begins and 0 ends. The array part has 1, 2, ..., the hash part -1, -2, ... */
  advance(cursor: number): number {
    let next = 0;
    if (cursor >= 0) {
      const { arr } = this;
      for (let i = cursor; i < arr.length; i++) if (arr[i] !== undefined) return i + 1;
    } else next = -cursor;
    const { vals } = this;
    if (vals === undefined) return 0;
    for (; next < vals.length; next++) if (vals[next] !== undefined) return -next - 1;
    return 0;
  }

  keyAt(cursor: number): LuaValue {
    return cursor > 0 ? cursor : (this.keys as LuaValue[])[-cursor - 1];
  }

  valueAt(cursor: number): LuaValue {
    return cursor > 0 ? this.arr[cursor - 1] : (this.vals as LuaValue[])[-cursor - 1];
  }

  /** The cursor of a key; `undefined` when the table has no such key. */
  cursorOf(key: LuaValue): number | undefined {
    if (key === undefined) return 0;
    if (typeof key === 'number' && key > 0 && (key | 0) === key && key <= this.arr.length) return key;
    const place = this.keys === undefined ? -1 : this.#place(key);
    if (place >= 0) return -place - 1;
    // The array part may have lost its end since.
    return typeof key === 'number' && key > 0 && (key | 0) === key ? key : undefined;
  }

  #place(key: LuaValue): number {
    if (this.places !== undefined) return this.places.get(key) ?? -1;
    return (this.keys as LuaValue[]).indexOf(key);
  }

  #setHash(key: LuaValue, value: LuaValue): boolean {
    if (this.keys === undefined) {
      if (value === undefined) return false;
      this.keys = [key];
      this.vals = [value];
      this.live = 1;
      return true;
    }
    const vals = this.vals as LuaValue[];
    const place = this.#place(key);
    if (place >= 0) {
      if (value === undefined) {
        if (vals[place] !== undefined) this.live--;
      } else if (vals[place] === undefined) this.live++;
      vals[place] = value;
      return false;
    }
    if (value === undefined) return false;
    if (vals.length >= LINEAR && this.live <= vals.length >> 1) this.#rebuild();
    const { keys } = this;
    keys.push(key);
    (this.vals as LuaValue[]).push(value);
    this.live++;
    if (this.places !== undefined) this.places.set(key, keys.length - 1);
    else if (keys.length > LINEAR) this.#rebuild();
    return true;
  }

  /** Drops entries without a value, and makes the map of places when there are many. */
  #rebuild(): void {
    const keys: LuaValue[] = [];
    const vals: LuaValue[] = [];
    for (const [i, value] of (this.vals as LuaValue[]).entries()) {
      if (value === undefined) continue;
      keys.push((this.keys as LuaValue[])[i]);
      vals.push(value);
    }
    this.keys = keys;
    this.vals = vals;
    this.places = undefined;
    if (keys.length > LINEAR) this.places = new Map(keys.map((key, i) => [key, i]));
  }

  /** The array part must not end with nil. */
  #trim(): void {
    const { arr } = this;
    let { length } = arr;
    while (length > 0 && arr[length - 1] === undefined) length--;
    arr.length = length;
  }

  /** Moves what follows the array part from the hash part. */
  #migrate(): void {
    const { arr } = this;
    for (;;) {
      const place = this.#place(arr.length + 1);
      const value = place < 0 ? undefined : (this.vals as LuaValue[])[place];
      if (value === undefined) return;
      (this.vals as LuaValue[])[place] = undefined;
      this.live--;
      arr.push(value);
    }
  }
}
