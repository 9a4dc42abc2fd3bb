/** Errors in a configuration, each with file, line, column, the line itself and a hint. */
import { relative } from 'node:path';
import { WeirError } from '../errors.ts';

export type ConfigPath = readonly (string | number)[];

/** One fault, and where it is. Lines and columns count from 1. */
export interface Diagnostic {
  message: string;
  /** The value that it is about, where only its path is known yet. */
  path?: ConfigPath | undefined;
  file?: string | undefined;
  line?: number | undefined;
  column?: number | undefined;
  /** The lines around the fault with a caret below it. */
  frame?: string | undefined;
  hint?: string | undefined;
}

/** A configuration that can't be applied. `message` is the whole report, ready to print. */
export class ConfigurationError extends WeirError {
  override readonly name = 'ConfigurationError';
  readonly diagnostics: readonly Diagnostic[];

  constructor(diagnostics: readonly Diagnostic[]) {
    super('configuration_invalid', diagnostics.map(formatDiagnostic).join('\n\n'));
    this.diagnostics = diagnostics;
  }
}

function formatDiagnostic(diagnostic: Diagnostic): string {
  const { file, line, column, message, frame, hint } = diagnostic;
  const shown = file === undefined ? undefined : shortPath(file);
  const place = shown === undefined ? '' : `${[shown, line, column].filter((part) => part !== undefined).join(':')}: `;
  return [`${place}error: ${message}`, frame, hint === undefined ? undefined : `  hint: ${hint}`]
    .filter((part) => part !== undefined)
    .join('\n');
}

/** The path as a person would type it here: relative when it is below the working directory. */
function shortPath(file: string): string {
  const short = relative('', file);
  return short.startsWith('..') || short === '' ? file : short;
}

/** The line with one line of context before it and a caret under the column. */
export function codeFrame(text: string, line: number, column: number): string {
  const lines = text.split('\n');
  const width = String(line).length;
  const shown: string[] = [];
  for (let number = Math.max(1, line - 1); number <= line; number++) {
    shown.push(`  ${String(number).padStart(width)} | ${(lines[number - 1] ?? '').replace(/\r$/, '').slice(0, 160)}`);
  }
  shown.push(`  ${' '.repeat(width)} | ${' '.repeat(Math.max(0, column - 1))}^`);
  return shown.join('\n');
}

/** The known name that `wrong` most likely stands for, or `undefined` when none is near. */
export function nearest(wrong: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wrong.length / 3)) + 1;
  for (const name of known) {
    const distance = editDistance(wrong.toLowerCase(), name.toLowerCase(), bestDistance);
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** Edits (insert, delete, replace, swap of neighbours) from `a` to `b`, or `limit` when there are as many or more. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let value = Math.min(
        (previous[j] as number) + 1,
        (current[j - 1] as number) + 1,
        (previous[j - 1] as number) + cost,
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        value = Math.min(value, (beforePrevious[j - 2] as number) + 1);
      }
      current.push(value);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] as number;
}
