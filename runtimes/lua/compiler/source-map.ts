/** A source map from generated lines to lines of the script, so that a debugger (`--inspect`) shows Lua. Source: ECMA-426, "Source map". */
import type { Site } from '../vm/values.ts';

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** A comment that ends generated code. @param lines the operation at each generated line, from line 1. */
export function sourceMapComment(file: string, source: string, lines: readonly (Site | undefined)[]): string {
  const map = { version: 3, sources: [file], sourcesContent: [source], names: [], mappings: mappings(lines.slice(1)) };
  return `\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(JSON.stringify(map)).toString('base64')}`;
}

/** One segment a line, from its first column to column 0 of the script's line; fields are relative to the segment before. */
function mappings(lines: readonly (Site | undefined)[]): string {
  let previous = 0;
  return lines
    .map((site) => {
      if (site === undefined) return '';
      const line = site.line - 1;
      const segment = `AA${vlq(line - previous)}A`;
      previous = line;
      return segment;
    })
    .join(';');
}

/** A number in base 64, variable length, with the sign in the lowest bit. */
function vlq(value: number): string {
  let rest = value < 0 ? (-value << 1) | 1 : value << 1;
  let text = '';
  do {
    const digit = rest & 31;
    rest >>>= 5;
    text += DIGITS[rest > 0 ? digit | 32 : digit];
  } while (rest > 0);
  return text;
}
