/** One configuration file: its text, its YAML nodes, and where in it a value stands. */
import { dirname } from 'node:path';
import {
  type Document,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  Scalar,
  visit,
} from 'yaml';
import { type ConfigPath, ConfigurationError, codeFrame, type Diagnostic } from './diagnostics.ts';

/** `${NAME}`, `${NAME:-default}`; `$${` stands for a plain `${`. */
const VARIABLE = /\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})/g;

export class ConfigSource {
  readonly file: string;
  /** What relative paths in this file start from. */
  readonly directory: string;
  readonly #text: string;
  readonly #lines = new LineCounter();
  readonly #document: Document.Parsed;

  /**
   * Parses `text` (YAML 1.2; JSON is a part of it) and puts in the environment's values.
   * @throws ConfigurationError for bad syntax and for a variable that is not set.
   */
  constructor(file: string, text: string, environment: Readonly<Record<string, string | undefined>>) {
    this.file = file;
    this.directory = file === '-' ? process.cwd() : dirname(file);
    this.#text = text;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: true });
    if (this.#document.errors.length > 0) {
      throw new ConfigurationError(this.#document.errors.map((error) => this.#at(error.pos[0], error.message)));
    }
    const faults: Diagnostic[] = [];
    visit(this.#document, {
      Scalar: (key, node, path) => {
        const pair = path.at(-1);
        if (key === 'key' || (isPair(pair) && isScalar(pair.key) && pair.key.value === 'source')) return;
        this.#substitute(node, environment, faults);
      },
    });
    if (faults.length > 0) throw new ConfigurationError(faults);
  }

  /** The plain value of the whole file. */
  toJS(): unknown {
    return this.#document.toJS({ maxAliasCount: 1000 }) ?? {};
  }

  /** A diagnostic for the value at `path`, or for the nearest one around it; `key` points at that key of the mapping there. */
  diagnose(path: ConfigPath, message: string, hint?: string, key?: string): Diagnostic {
    let node: unknown = this.#document.contents;
    let offset = (node as Node | null)?.range?.[0] ?? 0;
    for (const part of path) {
      const next = isMap(node)
        ? node.items.find((pair) => isScalar(pair.key) && pair.key.value === part)
        : isSeq(node)
          ? { key: node.items[part as number], value: node.items[part as number] }
          : undefined;
      if (next === undefined) break;
      node = next.value;
      offset = (node as Node | null)?.range?.[0] ?? (next.key as Node | null)?.range?.[0] ?? offset;
    }
    if (key !== undefined && isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key);
      offset = (pair?.key as Node | undefined)?.range?.[0] ?? offset;
    }
    return this.#at(offset, message, hint);
  }

  #at(offset: number, message: string, hint?: string): Diagnostic {
    const { line, col } = this.#lines.linePos(offset);
    return { message, hint, file: this.file, line, column: col, frame: codeFrame(this.#text, line, col) };
  }

  #substitute(node: Scalar, environment: Readonly<Record<string, string | undefined>>, faults: Diagnostic[]): void {
    if (typeof node.value !== 'string' || !node.value.includes('${')) return;
    const text = node.value.replace(VARIABLE, (_, whole: string, name: string, fallback: string | undefined) => {
      if (whole === '${') return '${';
      const value = environment[name] ?? fallback;
      if (value !== undefined) return value;
      faults.push(
        this.#at(
          node.range?.[0] ?? 0,
          `the environment variable ${name} is not set`,
          `set it, or give a default: \${${name}:-value}`,
        ),
      );
      return '';
    });
    // A plain scalar gets its type from its new text, as if it had been written there: `workers: ${N}`.
    node.value = node.type === Scalar.PLAIN ? (parseDocument(text).toJS() ?? text) : text;
  }
}
