/** Of `os`, what only tells the time. Source: Lua 5.1 reference manual, section 5.8. */
import { LuaTable } from '../vm/table.ts';
import type { Vm } from '../vm/vm.ts';
import { type Library, library } from './library.ts';

export function createOs(vm: Vm): Library {
  return library({
    clock: () => performance.now() / 1000,
    difftime: (...args) => vm.number(args, 0) - (args[1] === undefined ? 0 : vm.number(args, 1)),
    time(...args) {
      if (args[0] === undefined) return Math.floor(Date.now() / 1000);
      const table = vm.table(args, 0);
      const field = (name: string, otherwise?: number): number => {
        const value = table.str(name);
        const number = typeof value === 'string' ? Number(value) : value;
        if (typeof number === 'number' && !Number.isNaN(number)) return number;
        if (otherwise !== undefined) return otherwise;
        throw vm.nativeError(`field '${name}' missing in date table`);
      };
      const [year, month, day] = [field('year'), field('month'), field('day')];
      const date = new Date(year, month - 1, day, field('hour', 12), field('min', 0), field('sec', 0));
      return Math.floor(date.getTime() / 1000);
    },
    date(...args) {
      const format = args[0] === undefined ? '%c' : vm.string(args, 0);
      const seconds = args[1] === undefined ? Math.floor(Date.now() / 1000) : vm.number(args, 1);
      const utc = format.startsWith('!');
      // The parts of a UTC date are read from one that is moved by the offset.
      const local = new Date(seconds * 1000);
      const date = utc ? local : new Date(local.getTime() - local.getTimezoneOffset() * 60_000);
      const pattern = utc ? format.slice(1) : format;
      if (pattern.startsWith('*t')) return dateTable(date);
      if (Number.isNaN(date.getTime())) return undefined;
      vm.meter.charge(pattern.length * 20);
      return pattern.replace(/%(.)/gs, (_, letter: string) => DATE_FIELDS[letter]?.(date) ?? `%${letter}`);
    },
  });
}

function dateTable(date: Date): LuaTable {
  const table = new LuaTable();
  table.set('year', date.getUTCFullYear());
  table.set('month', date.getUTCMonth() + 1);
  table.set('day', date.getUTCDate());
  table.set('hour', date.getUTCHours());
  table.set('min', date.getUTCMinutes());
  table.set('sec', date.getUTCSeconds());
  table.set('wday', date.getUTCDay() + 1);
  table.set('yday', yearDay(date));
  table.set('isdst', false);
  return table;
}

function yearDay(date: Date): number {
  return Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1;
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = 'January February March April May June July August September October November December'.split(' ');
const two = (value: number) => String(value).padStart(2, '0');

/** C's `strftime` in the C locale. */
const DATE_FIELDS: Readonly<Record<string, (date: Date) => string>> = Object.assign(Object.create(null), {
  a: (d: Date) => DAYS[d.getUTCDay()]?.slice(0, 3),
  A: (d: Date) => DAYS[d.getUTCDay()],
  b: (d: Date) => MONTHS[d.getUTCMonth()]?.slice(0, 3),
  B: (d: Date) => MONTHS[d.getUTCMonth()],
  c: (d: Date) =>
    `${DAYS[d.getUTCDay()]?.slice(0, 3)} ${MONTHS[d.getUTCMonth()]?.slice(0, 3)} ${String(d.getUTCDate()).padStart(2)} ${time(d)} ${d.getUTCFullYear()}`,
  d: (d: Date) => two(d.getUTCDate()),
  D: (d: Date) => `${two(d.getUTCMonth() + 1)}/${two(d.getUTCDate())}/${two(d.getUTCFullYear() % 100)}`,
  F: (d: Date) => `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`,
  H: (d: Date) => two(d.getUTCHours()),
  I: (d: Date) => two(((d.getUTCHours() + 11) % 12) + 1),
  j: (d: Date) => String(yearDay(d)).padStart(3, '0'),
  m: (d: Date) => two(d.getUTCMonth() + 1),
  M: (d: Date) => two(d.getUTCMinutes()),
  p: (d: Date) => (d.getUTCHours() < 12 ? 'AM' : 'PM'),
  S: (d: Date) => two(d.getUTCSeconds()),
  T: time,
  w: (d: Date) => String(d.getUTCDay()),
  x: (d: Date) => `${two(d.getUTCMonth() + 1)}/${two(d.getUTCDate())}/${two(d.getUTCFullYear() % 100)}`,
  X: time,
  y: (d: Date) => two(d.getUTCFullYear() % 100),
  Y: (d: Date) => String(d.getUTCFullYear()),
  Z: () => 'UTC',
  '%': () => '%',
});

function time(date: Date): string {
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
}
