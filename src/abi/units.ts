/** Sizes and durations as a configuration writes them. */

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Bytes, from `16MiB`, `64KiB`, `512B` or a plain number; `undefined` when the text is no size. */
export function parseSize(text: string | number): number | undefined {
  const match = /^([0-9]+)(|B|KiB|MiB|GiB)$/.exec(String(text).replaceAll('_', ''));
  return match === null ? undefined : Number(match[1]) * (SIZE_UNITS[match[2] as string] as number);
}

/** Milliseconds, from `50ms`, `1.5s`, `2m`, `1h` or `0`; `undefined` when the text is no duration. */
export function parseDuration(text: string | number): number | undefined {
  if (text === 0 || text === '0') return 0;
  const match = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)$/.exec(String(text));
  return match === null ? undefined : Number(match[1]) * (DURATION_UNITS[match[2] as string] as number);
}
