/** Mathematical functions. Sources: Lua 5.1 reference manual, section 5.6; LuaJIT (`log` with a base). */
import { mod, pow } from '../vm/operations.ts';
import type { Vm } from '../vm/vm.ts';
import { type Library, library } from './library.ts';

const PLAIN = [
  'abs',
  'acos',
  'asin',
  'atan',
  'ceil',
  'cos',
  'cosh',
  'exp',
  'floor',
  'log10',
  'sin',
  'sinh',
  'sqrt',
  'tan',
  'tanh',
] as const;

export function createMath(vm: Vm): Library {
  const random = new Random();
  const plain = Object.fromEntries(
    PLAIN.map((name) => {
      const operate = Math[name];
      return [name, (...args: Parameters<typeof vm.number>[0]) => operate(vm.number(args, 0))];
    }),
  );
  const extreme = (better: (a: number, b: number) => boolean) => {
    return (...args: Parameters<typeof vm.number>[0]) => {
      let best = vm.number(args, 0);
      for (let i = 1; i < args.length; i++) {
        const value = vm.number(args, i);
        if (better(value, best)) best = value;
      }
      return best;
    };
  };
  return library({
    ...plain,
    pi: Math.PI,
    huge: Infinity,
    atan2: (...args) => Math.atan2(vm.number(args, 0), vm.number(args, 1)),
    deg: (...args) => vm.number(args, 0) * (180 / Math.PI),
    rad: (...args) => vm.number(args, 0) * (Math.PI / 180),
    fmod: (...args) => vm.number(args, 0) % vm.number(args, 1),
    mod: (...args) => mod(vm.number(args, 0), vm.number(args, 1)),
    pow: (...args) => pow(vm.number(args, 0), vm.number(args, 1)),
    ldexp: (...args) => vm.number(args, 0) * 2 ** vm.integer(args, 1),
    log(...args) {
      const value = vm.number(args, 0);
      if (args[1] === undefined) return Math.log(value);
      const base = vm.number(args, 1);
      return base === 2 ? Math.log2(value) : base === 10 ? Math.log10(value) : Math.log(value) / Math.log(base);
    },
    frexp: (...args) => frexp(vm.number(args, 0)),
    modf(...args) {
      const value = vm.number(args, 0);
      const whole = Math.trunc(value);
      return [whole, Number.isFinite(value) ? value - whole : Number.isNaN(value) ? value : 0];
    },
    max: extreme((a, b) => a > b),
    min: extreme((a, b) => a < b),
    random(...args) {
      const value = random.next();
      if (args.length === 0) return value;
      const low = args.length === 1 ? 1 : vm.number(args, 0);
      const high = vm.number(args, args.length === 1 ? 0 : 1);
      if (low > high) throw vm.argumentError(args.length === 1 ? 1 : 2, 'interval is empty');
      return Math.floor(value * (high - low + 1)) + low;
    },
    randomseed(...args) {
      random.seed(vm.number(args, 0));
      return [];
    },
  });
}

function frexp(value: number): [number, number] {
  if (value === 0 || !Number.isFinite(value)) return [value, 0];
  let exponent = Math.max(-1023, Math.floor(Math.log2(Math.abs(value))) + 1);
  let mantissa = value * 2 ** -exponent;
  while (Math.abs(mantissa) < 0.5) {
    mantissa *= 2;
    exponent--;
  }
  while (Math.abs(mantissa) >= 1) {
    mantissa /= 2;
    exponent++;
  }
  return [mantissa, exponent];
}

/** A seedable generator (xorshift128), seeded at random, so that scripts can't guess each other's numbers from a fixed start. */
class Random {
  readonly #state = crypto.getRandomValues(new Uint32Array(4));

  next(): number {
    return ((this.#step() >>> 5) * 67_108_864 + (this.#step() >>> 6)) / 9_007_199_254_740_992;
  }

  seed(value: number): void {
    const bytes = new Uint32Array(new Float64Array([value]).buffer);
    this.#state.set([bytes[0] as number, bytes[1] as number, 0x9e3779b9, 0x243f6a88]);
    for (let i = 0; i < 16; i++) this.#step();
  }

  #step(): number {
    const s = this.#state;
    let t = s[3] as number;
    t ^= t << 11;
    t ^= t >>> 8;
    s[3] = s[2] as number;
    s[2] = s[1] as number;
    s[1] = s[0] as number;
    s[0] = (t ^ (s[0] as number) ^ ((s[0] as number) >>> 19)) >>> 0;
    return s[0] as number;
  }
}
