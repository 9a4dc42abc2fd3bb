/** Numbers and their texts. Sources: Lua 5.1 reference manual, section 2.2.1; LuaJIT's `%.14g`. */

/** The text of a number, as `tostring` gives it. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value) && value < 1e14 && value > -1e14) return Object.is(value, -0) ? '-0' : String(value);
  return formatGeneral(value, 14);
}

/** C's `%.<precision>g`. */
export function formatGeneral(value: number, precision: number, alternate = false): string {
  if (Number.isNaN(value)) return 'nan';
  if (value === Infinity) return 'inf';
  if (value === -Infinity) return '-inf';
  const digits = precision === 0 ? 1 : precision;
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const exponential = value.toExponential(digits - 1);
  const exponent = Number(exponential.slice(exponential.indexOf('e') + 1));
  if (exponent < -4 || exponent >= digits) {
    const mantissa = exponential.slice(0, exponential.indexOf('e'));
    return `${alternate ? mantissa : trimZeros(mantissa)}e${formatExponent(exponent)}`;
  }
  const fixed = value.toFixed(Math.max(0, Math.min(100, digits - 1 - exponent)));
  return alternate ? fixed : trimZeros(fixed);
}

/** At least two digits, with a sign. */
export function formatExponent(exponent: number): string {
  return `${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

function trimZeros(text: string): string {
  if (!text.includes('.')) return text;
  let end = text.length;
  while (text.charCodeAt(end - 1) === 48) end--;
  return text.slice(0, text.charCodeAt(end - 1) === 46 ? end - 1 : end);
}

const DECIMAL = /^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$/;
const HEXADECIMAL = /^([-+]?)0[xX]([0-9a-fA-F]*)(?:\.([0-9a-fA-F]*))?(?:[pP]([-+]?[0-9]+))?$/;
/** Longer texts are no numbers that anyone means. */
const MAX_TEXT = 400;

/** The number that a string stands for; `undefined` when it is none. Blanks around it do not matter. */
export function parseNumber(text: string): number | undefined {
  const first = text.charCodeAt(0);
  // Most strings that are asked about begin with a letter other than these.
  if (first > 57 && first !== 105 && first !== 73 && first !== 110 && first !== 78) return undefined;
  if (text.length > MAX_TEXT) return undefined;
  const trimmed = text.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, '');
  if (DECIMAL.test(trimmed)) return Number(trimmed);
  const hex = HEXADECIMAL.exec(trimmed);
  if (hex !== null) return parseHexadecimal(hex);
  const word = trimmed.toLowerCase().replace(/^[-+]/, '');
  const sign = trimmed.startsWith('-') ? -1 : 1;
  if (word === 'inf' || word === 'infinity') return sign * Infinity;
  return word === 'nan' ? Number.NaN : undefined;
}

function parseHexadecimal([, sign, whole = '', fraction = '', exponent]: RegExpExecArray): number | undefined {
  if (whole === '' && fraction === '') return undefined;
  let value = 0;
  for (const digit of whole + fraction) value = value * 16 + Number.parseInt(digit, 16);
  value *= 2 ** (Number(exponent ?? 0) - 4 * fraction.length);
  return sign === '-' ? -value : value;
}

/** A text in a base other than 10 (`tonumber(text, base)`). */
export function parseInBase(text: string, base: number): number | undefined {
  const match = /^[ \t\n\v\f\r]*(-?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-zA-Z]+)[ \t\n\v\f\r]*$/.exec(
    base === 16 ? text : text.replace(/0[xX]/, '0x'),
  );
  if (match === null || (base !== 16 && /0x/i.test(text))) return undefined;
  let value = 0;
  for (const character of match[2] as string) {
    const digit = Number.parseInt(character, 36);
    if (digit >= base) return undefined;
    value = value * base + digit;
  }
  return match[1] === '-' ? -value : value;
}
