/** LuaJIT's `bit` library. Source: Lua BitOp's documentation. */
import type { LuaValue } from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';
import { type Library, library } from './library.ts';

export function createBit(vm: Vm): Library {
  /** A number as a signed integer of 32 bits, rounded to the nearest, ties to even. */
  const bits = (args: readonly LuaValue[], i: number): number => {
    const number = vm.number(args, i);
    const floor = Math.floor(number);
    const rest = number - floor;
    return (rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor) | 0;
  };
  const fold = (operate: (a: number, b: number) => number) => {
    return (...args: LuaValue[]) => {
      let result = bits(args, 0);
      for (let i = 1; i < args.length; i++) result = operate(result, bits(args, i)) | 0;
      return result;
    };
  };
  const shift = (operate: (a: number, n: number) => number) => {
    return (...args: LuaValue[]) => operate(bits(args, 0), bits(args, 1) & 31) | 0;
  };
  return library({
    tobit: (...args) => bits(args, 0),
    bnot: (...args) => ~bits(args, 0),
    band: fold((a, b) => a & b),
    bor: fold((a, b) => a | b),
    bxor: fold((a, b) => a ^ b),
    lshift: shift((a, n) => a << n),
    rshift: shift((a, n) => a >>> n),
    arshift: shift((a, n) => a >> n),
    rol: shift((a, n) => (a << n) | (a >>> (32 - n))),
    ror: shift((a, n) => (a >>> n) | (a << (32 - n))),
    bswap(...args) {
      const a = bits(args, 0);
      return ((a & 0xff) << 24) | ((a & 0xff00) << 8) | ((a >>> 8) & 0xff00) | (a >>> 24);
    },
    tohex(...args) {
      const width = vm.optionalInteger(args, 1, 8);
      const digits = Math.min(Math.abs(width), 8);
      const text = (bits(args, 0) >>> 0)
        .toString(16)
        .padStart(8, '0')
        .slice(8 - digits);
      return width < 0 ? text.toUpperCase() : text;
    },
  });
}
