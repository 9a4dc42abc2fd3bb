/** The header map that every filter, in every runtime, reads and edits. */

/** Thrown when a name or a value could not be sent on the wire as it is. Source: RFC 9110, sections 5.1 and 5.5. */
export class InvalidHeaderError extends Error {
  override readonly name = 'InvalidHeaderError';
}

const INVALID_NAME = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/;
const INVALID_VALUE = /[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/;
const PSEUDO_NAMES = new Set([':method', ':path', ':authority', ':scheme', ':status']);
const COLON = 58;

/**
 * An ordered list of header fields, duplicates kept, with the pseudo-headers (`:method :path :authority :scheme` of a
 * request, `:status` of a response) in front. Names compare without case and are kept in lower case; `host` is another
 * name for `:authority`. Values are strings of the code points 0–255, one per byte (latin-1).
 */
export class HeaderMap implements Iterable<[name: string, value: string]> {
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  #revision = 0;

  /** @param entries fields to start with; each is checked as `add` does. */
  constructor(entries?: Iterable<readonly [string, string]>) {
    if (entries !== undefined) for (const [name, value] of entries) this.add(name, value);
  }

  /** Counts up with every change that a filter makes. */
  get revision(): number {
    return this.#revision;
  }

  /** The number of fields, pseudo-headers and duplicates counted. */
  get size(): number {
    return this.#names.length;
  }

  /**
   * The value under `name`, or `undefined`. Several fields of one name are joined by `,` (RFC 9110, section 5.3), so that
   * a filter that compares the result can't be misled by a second field.
   */
  get(name: string): string | undefined {
    const key = normalizeName(name);
    const names = this.#names;
    const first = names.indexOf(key);
    if (first < 0) return undefined;
    let value = this.#values[first] as string;
    for (let i = names.indexOf(key, first + 1); i >= 0; i = names.indexOf(key, i + 1)) value += `,${this.#values[i]}`;
    return value;
  }

  /** All values under `name`, in order; empty when there is none. */
  getAll(name: string): string[] {
    const key = normalizeName(name);
    return this.#values.filter((_, i) => this.#names[i] === key);
  }

  has(name: string): boolean {
    return this.#names.includes(normalizeName(name));
  }

  /**
   * Appends a field.
   * @throws InvalidHeaderError when the name is no token or the value holds CR, LF, NUL, another control or a code point over 255.
   */
  add(name: string, value: string): void {
    const key = checkName(name);
    checkValue(key, value);
    if (key.charCodeAt(0) === COLON) {
      this.set(key, value);
      return;
    }
    this.#revision++;
    this.#names.push(key);
    this.#values.push(value);
  }

  /**
   * Puts `value` in the place of the first field of that name and drops the others; appends when there is none.
   * @throws InvalidHeaderError as `add` does.
   */
  set(name: string, value: string): void {
    const key = checkName(name);
    checkValue(key, value);
    this.#revision++;
    const first = this.#names.indexOf(key);
    if (first >= 0) {
      this.#values[first] = value;
      this.#removeFrom(key, first + 1);
    } else if (key.charCodeAt(0) === COLON) {
      let at = 0;
      while (at < this.#names.length && this.#names[at]?.charCodeAt(0) === COLON) at++;
      this.#names.splice(at, 0, key);
      this.#values.splice(at, 0, value);
    } else {
      this.#names.push(key);
      this.#values.push(value);
    }
  }

  /** Removes every field of that name; says whether there was one. */
  remove(name: string): boolean {
    return this.#removeFrom(normalizeName(name), 0);
  }

  /** The name of field `index` (0-based, in order), in lower case. For loops that must not allocate. */
  nameAt(index: number): string {
    return this.#names[index] as string;
  }

  /** The value of field `index` (0-based, in order). */
  valueAt(index: number): string {
    return this.#values[index] as string;
  }

  /**
   * Appends a field that the caller has checked already: a lower-case token, a value without controls. The codec's way in;
   * filters use `add`.
   */
  append(name: string, value: string): void {
    this.#names.push(name);
    this.#values.push(value);
  }

  /** Puts a value that the caller has checked already in the place of field `index`. For the codec. */
  replaceAt(index: number, value: string): void {
    this.#values[index] = value;
  }

  /** A copy that shares nothing with this one. */
  clone(): HeaderMap {
    const copy = new HeaderMap();
    for (let i = 0; i < this.#names.length; i++) copy.append(this.#names[i] as string, this.#values[i] as string);
    return copy;
  }

  *[Symbol.iterator](): Iterator<[name: string, value: string]> {
    for (let i = 0; i < this.#names.length; i++) yield [this.#names[i] as string, this.#values[i] as string];
  }

  #removeFrom(key: string, start: number): boolean {
    let found = false;
    for (let i = this.#names.indexOf(key, start); i >= 0; i = this.#names.indexOf(key, i)) {
      this.#revision++;
      this.#names.splice(i, 1);
      this.#values.splice(i, 1);
      found = true;
    }
    return found;
  }
}

function normalizeName(name: string): string {
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code >= 65 && code <= 90) {
      const lower = name.toLowerCase();
      return lower === 'host' ? ':authority' : lower;
    }
  }
  return name === 'host' ? ':authority' : name;
}

function checkName(name: string): string {
  const key = normalizeName(name);
  if (key.charCodeAt(0) === COLON) {
    if (!PSEUDO_NAMES.has(key)) throw new InvalidHeaderError(`${JSON.stringify(name)} is no pseudo-header of HTTP`);
  } else if (key === '' || INVALID_NAME.test(key)) {
    throw new InvalidHeaderError(`${JSON.stringify(name)} is not a valid header name`);
  }
  return key;
}

function checkValue(name: string, value: string): void {
  if (typeof value !== 'string') {
    throw new InvalidHeaderError(`the value of header ${JSON.stringify(name)} must be a string, not ${typeof value}`);
  }
  if (INVALID_VALUE.test(value)) {
    throw new InvalidHeaderError(
      `the value of header ${JSON.stringify(name)} holds a character that can't be sent: CR, LF, NUL and other controls are refused, and code points over 255`,
    );
  }
  if (name.charCodeAt(0) === COLON) checkPseudoValue(name, value);
}

/** A pseudo-header becomes a part of the start line, where a blank would end it. */
function checkPseudoValue(name: string, value: string): void {
  const valid =
    name === ':status'
      ? /^[1-9][0-9]{2}$/.test(value)
      : name === ':method'
        ? value !== '' && !INVALID_NAME.test(value)
        : !/[\x00-\x20\x7f-\xff]/.test(value) && (name !== ':path' || value !== '');
  if (!valid) throw new InvalidHeaderError(`${JSON.stringify(value)} is not a valid ${name}`);
}
