/** Reads MOSN's configuration key by key: what nobody has read in the end is an error that names it. */
import type { ConfigPath, Diagnostic } from '../diagnostics.ts';

export type Report = (path: ConfigPath, message: string, hint?: string, key?: string) => Diagnostic;

/** What goes on while a configuration is converted. */
export interface Conversion {
  readonly faults: Diagnostic[];
  readonly diagnose: Report;
  /** From a path of Weir's configuration, as JSON, to the one of MOSN's that it stands for. */
  readonly places: Map<string, ConfigPath>;
}

type Kind = 'string' | 'number' | 'boolean';
interface Kinds {
  string: string;
  number: number;
  boolean: boolean;
}

/** A mapping whose keys are taken one by one. */
export class MosnObject {
  readonly path: ConfigPath;
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #conversion: Conversion;
  readonly #taken = new Set<string>();

  constructor(value: unknown, path: ConfigPath, conversion: Conversion) {
    this.path = path;
    this.#conversion = conversion;
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      this.#value = value as Record<string, unknown>;
    } else {
      this.#value = {};
      this.fault('a mapping is expected here');
    }
  }

  has(key: string): boolean {
    return this.#value[key] !== undefined && this.#value[key] !== null;
  }

  /** The value as it is; `undefined` when it is not there. */
  take(key: string): unknown {
    this.#taken.add(key);
    return this.#value[key] ?? undefined;
  }

  string(key: string): string | undefined {
    return this.#typed(key, 'string');
  }
  number(key: string): number | undefined {
    return this.#typed(key, 'number');
  }
  boolean(key: string): boolean | undefined {
    return this.#typed(key, 'boolean');
  }

  /** A mapping; `undefined` when it is not there. */
  object(key: string): MosnObject | undefined {
    const value = this.take(key);
    return value === undefined ? undefined : new MosnObject(value, [...this.path, key], this.#conversion);
  }

  /** A list of mappings; empty when it is not there. */
  objects(key: string): MosnObject[] {
    const value = this.take(key);
    if (value === undefined) return [];
    if (!Array.isArray(value)) {
      this.fault(`\`${key}\` must be a list`, key);
      return [];
    }
    return value.map((item, i) => new MosnObject(item, [...this.path, key, i], this.#conversion));
  }

  /** A value that changes nothing when it is one of these; any other is an error. */
  only(key: string, allowed: readonly unknown[], why: string): void {
    const value = this.take(key);
    if (value !== undefined && !allowed.includes(value))
      this.fault(`\`${key}: ${JSON.stringify(value)}\`: ${why}`, key);
  }

  fault(message: string, key?: string, hint?: string): void {
    const { faults, diagnose } = this.#conversion;
    const below = key !== undefined && this.has(key);
    faults.push(below ? diagnose(this.path, message, hint, key) : diagnose(this.path, message, hint));
  }

  /** What stands at `place` in Weir's configuration comes from here. */
  becomes(place: ConfigPath, key?: string): void {
    this.#conversion.places.set(JSON.stringify(place), key === undefined ? this.path : [...this.path, key]);
  }

  /** Every key must have been taken by now. */
  done(): void {
    for (const key of Object.keys(this.#value)) {
      if (!this.#taken.has(key)) this.fault(`\`${key}\` of MOSN has no counterpart in Weir`, key);
    }
  }

  #typed<K extends Kind>(key: string, kind: K): Kinds[K] | undefined {
    const value = this.take(key);
    if (value === undefined || typeof value === kind) return value as Kinds[K] | undefined;
    this.fault(`\`${key}\` must be a ${kind}`, key);
    return undefined;
  }
}
