/** Failures of filters: what was thrown as an error, and an error as text. */
import { ExtensionError } from '../abi/index.ts';

/** Where and why a filter failed, with the code and the functions that led there. */
export function describeError({ position, trace, message }: ExtensionError, newline: string): string {
  const place = position === undefined ? '' : ` at ${[position.file, position.line].filter(Boolean).join(':')}`;
  const frame = position?.frame === undefined ? [] : position.frame.split('\n');
  const lines = [`${place}: ${message}`, ...frame, ...trace.map((each) => `  at ${each}`)];
  return lines.join(newline);
}

/** The same as the value of a header. */
export function errorHeader(filter: string, error: ExtensionError): string {
  const text = `${filter}${describeError(error, ' | ')}`;
  return text.replace(/[^\x20-\x7e]/g, ' ').slice(0, MAX_ERROR_HEADER);
}

const MAX_ERROR_HEADER = 2000;

/** What a filter threw, with its place. */
export function toExtensionError(error: unknown): ExtensionError {
  if (error instanceof ExtensionError) return error;
  const position = error instanceof Error ? positionOf(error) : undefined;
  return new ExtensionError('threw', error instanceof Error ? `${error.name}: ${error.message}` : String(error), {
    cause: error,
    position,
  });
}

/** The first frame of a stack that names a file. */
function positionOf(error: Error): { file: string; line: number; column: number } | undefined {
  const match = /\(?((?:file:\/\/)?\/[^():]+?)(?:\?[^:)]*)?:([0-9]+):([0-9]+)\)?$/m.exec(error.stack ?? '');
  if (match === null) return undefined;
  return { file: (match[1] as string).replace('file://', ''), line: Number(match[2]), column: Number(match[3]) };
}
