/** How long each instruction is: what its immediates are. Source: WebAssembly core specification 3.0, section 5.4. */
import { type Reader, WasmFormatError } from './binary.ts';

export const Op = {
  Block: 0x02,
  Loop: 0x03,
  If: 0x04,
  Else: 0x05,
  Try: 0x06,
  Catch: 0x07,
  Delegate: 0x18,
  CatchAll: 0x19,
  TryTable: 0x1f,
  End: 0x0b,
  Br: 0x0c,
  BrIf: 0x0d,
  BrTable: 0x0e,
  Return: 0x0f,
  MemoryGrow: 0x40,
  BrOnNull: 0xd5,
  BrOnNonNull: 0xd6,
  /** Prefixes: the rest of the code follows as a number. */
  Numeric: 0xfc,
  Vector: 0xfd,
  Atomic: 0xfe,
} as const;

/** Codes behind 0xfc whose last operand says how much is to be done. */
export const BULK = {
  MemoryInit: 8,
  MemoryCopy: 10,
  MemoryFill: 11,
  TableInit: 12,
  TableCopy: 14,
  TableGrow: 15,
  TableFill: 17,
};

function skipMemoryArgument(reader: Reader): void {
  // Bit 6 of the alignment says that the number of a memory follows.
  if ((reader.u32() & 0x40) !== 0) reader.u32();
  reader.skipNumber();
}

function skipBlockType(reader: Reader): void {
  const first = reader.byte();
  // A reference type has its heap type behind it; a type's number is a LEB128 number.
  if (first === 0x63 || first === 0x64) reader.skipNumber();
  else if (first >= 0x80) reader.skipNumber();
}

/** Reads the immediates of the instruction `code`; returns what follows a prefix, or 0. @throws WasmFormatError */
export function skipImmediates(code: number, reader: Reader): number {
  if (code >= 0x45 && code <= 0xc4) return 0;
  if (code >= 0x28 && code <= 0x3e) {
    skipMemoryArgument(reader);
    return 0;
  }
  switch (code) {
    case 0x00: // unreachable
    case 0x01: // nop
    case Op.Else:
    case 0x0a: // throw_ref
    case Op.End:
    case Op.Return:
    case Op.CatchAll:
    case 0x1a: // drop
    case 0x1b: // select
    case 0xd1: // ref.is_null
    case 0xd3: // ref.eq
    case 0xd4: // ref.as_non_null
      return 0;
    case Op.Block:
    case Op.Loop:
    case Op.If:
    case Op.Try:
      skipBlockType(reader);
      return 0;
    case Op.TryTable:
      skipBlockType(reader);
      for (let count = reader.u32(); count > 0; count--) {
        // catch and catch_ref name a tag, catch_all and catch_all_ref do not.
        if (reader.byte() < 2) reader.u32();
        reader.u32();
      }
      return 0;
    case Op.Catch:
    case 0x08: // throw
    case 0x09: // rethrow
    case Op.Br:
    case Op.BrIf:
    case 0x10: // call
    case 0x12: // return_call
    case 0x14: // call_ref
    case 0x15: // return_call_ref
    case Op.Delegate:
    case 0x20: // local.get
    case 0x21: // local.set
    case 0x22: // local.tee
    case 0x23: // global.get
    case 0x24: // global.set
    case 0x25: // table.get
    case 0x26: // table.set
    case 0x3f: // memory.size
    case Op.MemoryGrow:
    case 0xd2: // ref.func
    case Op.BrOnNull:
    case Op.BrOnNonNull:
      reader.u32();
      return 0;
    case Op.BrTable:
      for (let count = reader.u32() + 1; count > 0; count--) reader.u32();
      return 0;
    case 0x11: // call_indirect
    case 0x13: // return_call_indirect
      reader.u32();
      reader.u32();
      return 0;
    case 0x1c: // select with types
      for (let count = reader.u32(); count > 0; count--) skipValueType(reader);
      return 0;
    case 0x41: // i32.const
    case 0x42: // i64.const
    case 0xd0: // ref.null
      reader.skipNumber();
      return 0;
    case 0x43: // f32.const
      reader.skip(4);
      return 0;
    case 0x44: // f64.const
      reader.skip(8);
      return 0;
    case Op.Numeric:
      return skipNumeric(reader);
    case Op.Vector:
      return skipVector(reader);
    case Op.Atomic:
      return skipAtomic(reader);
    default:
      throw unknown(code);
  }
}

export function skipValueType(reader: Reader): void {
  const first = reader.byte();
  if (first === 0x63 || first === 0x64) reader.skipNumber();
}

function skipNumeric(reader: Reader): number {
  const code = reader.u32();
  if (code <= 7) return code; // saturating truncations
  const count = [2, 1, 2, 1, 2, 1, 2, 1, 1, 1][code - 8];
  if (count === undefined) throw unknown(Op.Numeric, code);
  for (let i = 0; i < count; i++) reader.u32();
  return code;
}

function skipVector(reader: Reader): number {
  const code = reader.u32();
  if (code <= 11 || code === 92 || code === 93) skipMemoryArgument(reader);
  else if (code === 12 || code === 13)
    reader.skip(16); // v128.const, i8x16.shuffle
  else if (code >= 21 && code <= 34)
    reader.skip(1); // lanes
  else if (code >= 84 && code <= 91) {
    skipMemoryArgument(reader);
    reader.skip(1);
  } else if (code > 275) throw unknown(Op.Vector, code);
  return code;
}

function skipAtomic(reader: Reader): number {
  const code = reader.u32();
  if (code === 3)
    reader.skip(1); // atomic.fence
  else if (code <= 2 || (code >= 16 && code <= 78)) skipMemoryArgument(reader);
  else throw unknown(Op.Atomic, code);
  return code;
}

function unknown(code: number, rest?: number): WasmFormatError {
  const text = [code, rest]
    .filter((part) => part !== undefined)
    .map((part) => `0x${part.toString(16)}`)
    .join(' ');
  const hint = code === 0xfb ? ': garbage-collected objects are not bounded by a module’s memory' : '';
  return new WasmFormatError(`the module has an instruction that this host does not take (${text})${hint}`);
}
