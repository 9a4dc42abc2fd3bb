/** `string.format`. Sources: Lua 5.1 reference manual, section 5.4; C's `printf`. */
import { formatExponent, formatGeneral } from '../vm/numbers.ts';
import type { LuaValue } from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';

interface Spec {
  flags: string;
  width: number;
  /** -1: none was given. */
  precision: number;
  conversion: string;
  /** Nothing but the conversion. */
  plain: boolean;
}

/** A format, taken apart: texts and what stands between them. */
type Parts = (string | Spec)[];

/** Formats that were used, since scripts use few and often. */
const MAX_CACHED = 200;
const cache = new Map<string, Parts>();

export function format(vm: Vm, args: LuaValue[]): string {
  const pattern = vm.string(args, 0);
  const parts = cache.get(pattern) ?? parse(vm, pattern);
  let result = '';
  let argument = 0;
  for (const part of parts) {
    result += typeof part === 'string' ? part : convert(vm, args, ++argument, part);
    if (result.length > vm.meter.maxString) vm.meter.checkString(result.length);
  }
  vm.meter.checkString(result.length);
  return result;
}

function parse(vm: Vm, pattern: string): Parts {
  const parts: Parts = [];
  let last = 0;
  for (let at = pattern.indexOf('%'); at >= 0; at = pattern.indexOf('%', last)) {
    if (at > last) parts.push(pattern.slice(last, at));
    if (pattern.charCodeAt(at + 1) === 37) {
      parts.push('%');
      last = at + 2;
      continue;
    }
    const match = /^([-+ #0]*)([0-9]*)(?:\.([0-9]*))?(.?)/s.exec(pattern.slice(at + 1, at + 40)) as RegExpExecArray;
    const [whole, flags = '', width = '', precision, conversion = ''] = match;
    if (flags.length > 5) throw vm.nativeError('invalid format (repeated flags)');
    if (width.length > 2 || (precision?.length ?? 0) > 2) {
      throw vm.nativeError('invalid format (width or precision too long)');
    }
    const plain = flags === '' && width === '' && precision === undefined;
    parts.push({
      flags,
      width: Number(width),
      precision: precision === undefined ? -1 : Number(precision),
      conversion,
      plain,
    });
    last = at + 1 + whole.length;
  }
  if (last < pattern.length) parts.push(pattern.slice(last));
  if (cache.size >= MAX_CACHED) cache.clear();
  if (pattern.length < 1000) cache.set(pattern, parts);
  return parts;
}

function convert(vm: Vm, args: LuaValue[], i: number, spec: Spec): string {
  if ('diuxXoceEfFgGaAqs'.includes(spec.conversion)) vm.any(args, i);
  switch (spec.conversion) {
    case 's': {
      const value = args[i];
      if (spec.plain && typeof value === 'string') return value;
      const text = vm.tostring(args[i]);
      return pad(spec.precision >= 0 ? text.slice(0, spec.precision) : text, spec, false);
    }
    case 'd':
    case 'i':
      return signed(vm.number(args, i), spec);
    case 'u':
      return unsigned(vm.number(args, i), spec, 10);
    case 'x':
      return unsigned(vm.number(args, i), spec, 16);
    case 'X':
      return unsigned(vm.number(args, i), spec, 16).toUpperCase();
    case 'o':
      return unsigned(vm.number(args, i), spec, 8);
    case 'c':
      return pad(String.fromCharCode(vm.integer(args, i) & 255), spec, false);
    case 'e':
    case 'f':
    case 'g':
    case 'a':
      return float(vm.number(args, i), spec);
    case 'E':
    case 'F':
    case 'G':
    case 'A':
      return float(vm.number(args, i), { ...spec, conversion: spec.conversion.toLowerCase() }).toUpperCase();
    case 'q':
      return quote(vm.tostring(args[i]));
    default:
      throw vm.nativeError(`invalid option '%${spec.conversion}' to 'format'`);
  }
}

function pad(text: string, { flags, width }: Spec, zeros: boolean): string {
  if (text.length >= width) return text;
  if (flags.includes('-')) return text.padEnd(width);
  if (!zeros || !flags.includes('0')) return text.padStart(width);
  const sign = /^[-+ ]?(?:0[xX])?/.exec(text)?.[0] ?? '';
  return sign + text.slice(sign.length).padStart(width - sign.length, '0');
}

function withSign(text: string, negative: boolean, flags: string): string {
  if (negative) return `-${text}`;
  return flags.includes('+') ? `+${text}` : flags.includes(' ') ? ` ${text}` : text;
}

function signed(value: number, spec: Spec): string {
  if (spec.plain && (value | 0) === value) return String(value);
  if (!Number.isFinite(value)) return pad(withSign('9223372036854775808', true, ''), spec, false);
  const digits = BigInt(Math.trunc(value)).toString().replace('-', '').padStart(Math.max(spec.precision, 0), '0');
  return pad(withSign(digits, Math.trunc(value) < 0, spec.flags), spec, spec.precision < 0);
}

function unsigned(value: number, spec: Spec, base: number): string {
  const whole = Number.isFinite(value) ? BigInt.asUintN(64, BigInt(Math.trunc(value))) : 1n << 63n;
  let digits = whole.toString(base).padStart(Math.max(spec.precision, 0), '0');
  if (spec.flags.includes('#') && whole !== 0n) digits = (base === 16 ? '0x' : base === 8 ? '0' : '') + digits;
  return pad(digits, spec, spec.precision < 0);
}

function float(value: number, spec: Spec): string {
  const { flags, precision, conversion } = spec;
  const negative = value < 0 || Object.is(value, -0);
  const size = Math.abs(value);
  if (!Number.isFinite(value)) {
    const word = Number.isNaN(value) ? 'nan' : 'inf';
    return pad(withSign(word, value < 0, flags), spec, false);
  }
  let text: string;
  if (conversion === 'f') text = size.toFixed(precision < 0 ? 6 : precision);
  else if (conversion === 'g') text = formatGeneral(size, precision < 0 ? 6 : precision, flags.includes('#'));
  else if (conversion === 'e') {
    const [mantissa, exponent] = size.toExponential(precision < 0 ? 6 : precision).split('e') as [string, string];
    text = `${mantissa}e${formatExponent(Number(exponent))}`;
  } else text = hexadecimal(size, precision);
  // Numbers from 1e21 on are written out in C.
  if (conversion === 'f' && size >= 1e21) {
    const digits = precision < 0 ? 6 : precision;
    text = BigInt(size).toString() + (digits > 0 ? `.${'0'.repeat(digits)}` : '');
  }
  return pad(withSign(text, negative, flags), spec, true);
}

/** `%a`. */
function hexadecimal(value: number, precision: number): string {
  if (value === 0) return '0x0p+0';
  const exponent = Math.max(-1022, Math.floor(Math.log2(value)));
  let mantissa = value / 2 ** exponent;
  if (precision >= 0) mantissa = Math.round(mantissa * 16 ** precision) / 16 ** precision;
  const text = mantissa.toString(16);
  const [whole, fraction = ''] = text.split('.');
  const digits = precision >= 0 ? fraction.padEnd(precision, '0') : fraction;
  return `0x${whole}${digits === '' ? '' : `.${digits}`}p${exponent < 0 ? '-' : '+'}${Math.abs(exponent)}`;
}

/** `%q`: a text that Lua reads back. */
function quote(text: string): string {
  const escaped = text.replace(/["\\]|[\0-\x1f\x7f]/g, (c, at: number) => {
    if (c === '"' || c === '\\' || c === '\n') return `\\${c}`;
    const code = String(c.charCodeAt(0));
    return `\\${/[0-9]/.test(text[at + 1] ?? '') ? code.padStart(3, '0') : code}`;
  });
  return `"${escaped}"`;
}
