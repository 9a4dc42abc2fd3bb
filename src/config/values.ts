/** The typed values of a configuration: sizes, durations, addresses. */
import { z } from 'zod';
import { parseDuration, parseSize } from '../abi/units.ts';

function converted(pattern: string, wanted: string, parse: (text: string | number) => number | undefined) {
  return z
    .union([z.string(), z.number()])
    .transform((value, context) => {
      const result = parse(value);
      if (result !== undefined && Number.isSafeInteger(Math.round(result))) return Math.round(result);
      context.issues.push({ code: 'custom', message: `${JSON.stringify(value)} is no ${wanted}`, input: value });
      return z.NEVER;
    })
    .meta({ pattern });
}

/** A number of bytes. */
export const size = () => converted('^[0-9_]+(B|KiB|MiB|GiB)?$', 'size: write bytes as 512, 64KiB or 16MiB', parseSize);
/** A number of milliseconds; 0 switches a timeout off. */
export const duration = () =>
  converted('^(0|[0-9]+(\\.[0-9]+)?(ms|s|m|h))$', 'duration: write it as 50ms, 1.5s, 2m, 1h or 0', parseDuration);

/** A whole number from `minimum` on; `1_000_000` may be written with underscores. */
export const count = (minimum: number) =>
  converted('^[0-9_]+$', `whole number from ${minimum} on`, (text) => {
    const value = /^[0-9_]+$/.test(String(text)) ? Number(String(text).replaceAll('_', '')) : Number.NaN;
    return value >= minimum ? value : undefined;
  });

/** A host and a port. */
export interface Address {
  host: string;
  port: number;
}

/** Splits `127.0.0.1:80`, `[::1]:80` or `name:80`; `undefined` when it is none of these. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s/]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  return port > 65_535 ? undefined : { host: (match[1] ?? match[2]) as string, port };
}

export const address = () =>
  z.string().transform((value, context): Address => {
    const result = parseAddress(value);
    if (result !== undefined) return result;
    context.issues.push({
      code: 'custom',
      message: `${JSON.stringify(value)} is no address: write 127.0.0.1:8080, [::1]:8080 or name:8080`,
      input: value,
    });
    return z.NEVER;
  });

/** `host:port`, with brackets around an IPv6 host. */
export function formatAddress(value: Address): string {
  return value.host.includes(':') ? `[${value.host}]:${value.port}` : `${value.host}:${value.port}`;
}
