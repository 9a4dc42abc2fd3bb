/**
 * Puts budgets into a WebAssembly module before it is compiled: a maximum for its memory, and fuel, which every instruction costs.
 *
 * Fuel is a global of the module. Each function's entry and each loop's head take from it what is certain to run next and trap when
 * it is used up, so that neither a loop nor recursion gets by; large branches pay where they begin. A branch of few instructions is
 * paid for in advance where control comes from, at most `MERGED` instructions too much; so a tight loop has one charge in a round.
 * Instructions that work on many bytes at once pay by their operand.
 */
import {
  exportNames,
  nameBytes,
  positiveI32,
  Reader,
  rebuild,
  type Section,
  SectionId,
  sectionsOf,
  u32,
  WasmFormatError,
} from './binary.ts';
import { BULK, Op, skipImmediates, skipValueType } from './instructions.ts';

const PAGE = 65_536;
/** Instructions of branches that may be paid for in advance. */
const MERGED = 64;
/** What growing a memory or a table costs, as instructions. */
const GROW_COST = 1000;
/** An instruction that copies or fills costs one more for so many bytes, as a power of two; tables, for so many elements. */
const BYTES_SHIFT = 4;
const ELEMENTS_SHIFT = 2;

export interface Budgeted {
  bytes: Uint8Array<ArrayBuffer>;
  /** The export under which the fuel is: a mutable i32 global, which is negative once it is used up. */
  fuelExport: string;
  /** Gives the place in the original module of a place in the new one, for traps. */
  originalOffset(offset: number): number;
}

/** What a module may use. */
export interface Budget {
  /** Bytes of its memory. */
  memory: number;
  /** It is a part of a component: it may import memories and tables, which another part has, with its limits. */
  isPart?: boolean;
  /** Instructions until the fuel is set for the first time: of its start function. At most 2³¹ - 1. */
  start: number;
}

/**
 * @throws WasmFormatError when the module needs more memory from the start, or has what can't be bounded.
 */
export function addBudgets(module: Uint8Array, budget: Budget): Budgeted {
  if (!WebAssembly.validate(Uint8Array.from(module))) {
    sectionsOf(module);
    throw new WasmFormatError(`this is not a valid WebAssembly module: ${compileError(module)}`);
  }
  const sections = sectionsOf(module);
  const find = (id: number) => sections.find((section) => section.id === id);
  const reader = (section: Section) => new Reader(module, section.start, section.end);
  const importedGlobals = countImports(find(SectionId.Import), reader, budget.isPart === true);
  const replaced = new Map<number, Uint8Array>();
  const memory = find(SectionId.Memory);
  if (memory !== undefined) replaced.set(SectionId.Memory, limitMemory(reader(memory), budget.memory));
  const globals = find(SectionId.Global);
  const globalCount = globals === undefined ? 0 : reader(globals).u32();
  const fuel = importedGlobals + globalCount;
  // The fuel, and a place for an operand; each: i32, mutable, i32.const, end.
  const global = (value: number) => [0x7f, 1, 0x41, ...positiveI32(value), Op.End];
  replaced.set(SectionId.Global, append(module, globals, [global(budget.start), global(0)]));
  const names = exportNames(module);
  let fuelExport = 'weir_fuel';
  while (names.includes(fuelExport)) fuelExport += '_';
  replaced.set(SectionId.Export, append(module, find(SectionId.Export), [[...nameBytes(fuelExport), 3, ...u32(fuel)]]));
  const code = find(SectionId.Code);
  const moves: [from: number, to: number][] = [];
  if (code !== undefined) replaced.set(SectionId.Code, meterCode(reader(code), fuel, moves));
  const { bytes, starts } = rebuild(module, sections, replaced);
  const codeStart = starts.get(SectionId.Code) ?? 0;
  return {
    bytes,
    fuelExport,
    originalOffset: (offset) => {
      let low = 0;
      let high = moves.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if ((moves[middle]?.[1] ?? 0) + codeStart <= offset) low = middle;
        else high = middle - 1;
      }
      const move = moves[low];
      return move === undefined ? offset : move[0] + (offset - codeStart - move[1]);
    },
  };
}

function compileError(module: Uint8Array): string {
  try {
    new WebAssembly.Module(Uint8Array.from(module));
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** The number of imported globals; refuses memories and tables, which only the host could bound. */
function countImports(section: Section | undefined, open: (section: Section) => Reader, isPart: boolean): number {
  if (section === undefined) return 0;
  const reader = open(section);
  let globals = 0;
  for (let count = reader.u32(); count > 0; count--) {
    const name = `${reader.name()}.${reader.name()}`;
    const kind = reader.byte();
    if (kind === 0) reader.u32();
    else if (kind === 3) {
      skipValueType(reader);
      reader.byte();
      globals++;
    } else if (kind === 4) {
      reader.byte();
      reader.u32();
    } else if (isPart) {
      if (kind === 1) skipValueType(reader);
      const flags = reader.byte();
      reader.skipNumber();
      if ((flags & 1) === 1) reader.skipNumber();
    } else {
      throw new WasmFormatError(
        `the module imports the ${kind === 1 ? 'table' : 'memory'} ${name}; it must have its own`,
      );
    }
  }
  return globals;
}

function limitMemory(reader: Reader, limit: number): Uint8Array {
  const most = Math.floor(limit / PAGE);
  const count = reader.u32();
  if (count === 0) return Uint8Array.of(0);
  const flags = reader.byte();
  if (count !== 1 || flags > 1) throw new WasmFormatError('only one plain memory with 32-bit addresses is supported');
  const initial = reader.u32();
  const declared = flags === 1 ? reader.u32() : most;
  if (initial > most) {
    throw new WasmFormatError(
      `the module needs ${initial * PAGE} bytes of memory from the start, and its limit is ${limit}: raise \`limits.memory\``,
    );
  }
  return Uint8Array.from([1, 1, ...u32(initial), ...u32(Math.min(declared, most))]);
}

/** A section that counts its entries, with more of them. */
function append(module: Uint8Array, section: Section | undefined, entries: readonly number[][]): Uint8Array {
  const added = entries.flat();
  if (section === undefined) return Uint8Array.from([entries.length, ...added]);
  const reader = new Reader(module, section.start, section.end);
  const count = u32(reader.u32() + entries.length);
  const content = new Uint8Array(count.length + section.end - reader.at + added.length);
  content.set(count);
  content.set(module.subarray(reader.at, section.end), count.length);
  content.set(added, content.length - added.length);
  return content;
}

/** Instructions that end a branch: nothing can be put before them that it would pay for. */
const JOINS = new Set<number>([Op.End, Op.Else, Op.Catch, Op.CatchAll, Op.Delegate]);

/** A place where fuel is taken. */
interface Charge {
  cost: number;
}

/** Bytes that are put before the byte `at` of the original. */
interface Insertion {
  at: number;
  charge: Charge | undefined;
  /** Trap when nothing is left. */
  checks: boolean;
  bytes: readonly number[];
}

function meterCode(reader: Reader, fuel: number, moves: [number, number][]): Uint8Array {
  const count = reader.u32();
  const out = new ByteWriter(reader.end - reader.at);
  out.write(u32(count));
  for (let i = 0; i < count; i++) {
    const size = reader.u32();
    const start = reader.at;
    const end = start + size;
    meterFunction(new Reader(reader.bytes, start, end), fuel, out, moves);
    reader.skip(size);
  }
  return out.finish();
}

/** A block, loop, if or try that is open: what pays for the code behind it. */
interface Frame {
  outer: Charge;
}

function meterFunction(reader: Reader, fuel: number, out: ByteWriter, moves: [number, number][]): void {
  const start = reader.at;
  const insertions: Insertion[] = [];
  const get = [0x23, ...u32(fuel)];
  const set = [0x24, ...u32(fuel)];
  for (let groups = reader.u32(); groups > 0; groups--) {
    reader.u32();
    skipValueType(reader);
  }
  let current: Charge = { cost: 1 };
  insertions.push({ at: reader.at, charge: current, checks: true, bytes: [] });
  const frames: Frame[] = [];
  /** This code may not run although `current` pays for it: from a certain size on it pays for itself. */
  let conditional = false;
  while (!reader.done) {
    const at = reader.at;
    const code = reader.byte();
    if (conditional && current.cost >= MERGED && !JOINS.has(code)) {
      conditional = false;
      current = { cost: 0 };
      insertions.push({ at, charge: current, checks: false, bytes: [] });
    }
    const rest = skipImmediates(code, reader);
    switch (code) {
      case Op.Block:
      case Op.Try:
      case Op.TryTable:
        frames.push({ outer: current });
        break;
      case Op.If:
        current.cost++;
        frames.push({ outer: current });
        conditional = true;
        break;
      case Op.Loop:
        frames.push({ outer: current });
        current = { cost: 1 };
        insertions.push({ at: reader.at, charge: current, checks: true, bytes: [] });
        conditional = false;
        break;
      case Op.Else:
      case Op.Catch:
      case Op.CatchAll:
        current = (frames.at(-1) as Frame).outer;
        conditional = true;
        break;
      case Op.End:
      case Op.Delegate: {
        const frame = frames.pop();
        if (frame === undefined) break;
        current = frame.outer;
        conditional = true;
        break;
      }
      case Op.BrIf:
      case Op.BrTable:
      case Op.BrOnNull:
      case Op.BrOnNonNull:
        current.cost++;
        conditional = true;
        break;
      case Op.MemoryGrow:
        current.cost += GROW_COST;
        break;
      case Op.Numeric:
        current.cost += rest === BULK.TableGrow ? GROW_COST : 1;
        if (rest >= BULK.MemoryInit) chargeOperand(rest, at);
        break;
      default:
        current.cost++;
    }
  }
  emit();

  /** An instruction whose last operand is how much it does. */
  function chargeOperand(operation: number, at: number): void {
    const bytes = operation === BULK.MemoryInit || operation === BULK.MemoryCopy || operation === BULK.MemoryFill;
    const elements =
      operation === BULK.TableInit ||
      operation === BULK.TableCopy ||
      operation === BULK.TableGrow ||
      operation === BULK.TableFill;
    if (!bytes && !elements) return;
    const shift = bytes ? BYTES_SHIFT : ELEMENTS_SHIFT;
    insertions.push({
      at,
      charge: undefined,
      checks: true,
      // Global `fuel + 1` keeps the operand meanwhile.
      bytes: [0x24, ...u32(fuel + 1), ...get, 0x23, ...u32(fuel + 1), 0x41, shift, 0x76, 0x6b, ...set],
    });
  }

  function emit(): void {
    const body = new ByteWriter(reader.end - start + insertions.length * 16);
    const bodyMoves: [number, number][] = [];
    let from = start;
    for (const { at, charge, checks, bytes } of insertions) {
      body.copy(reader.bytes, from, at);
      from = at;
      if (charge !== undefined) body.write([...get, 0x41, ...positiveI32(charge.cost), 0x6b, ...set]);
      body.write(bytes);
      // global.get fuel, i32.const 0, i32.lt_s, if, unreachable, end
      if (checks) body.write([...get, 0x41, 0, 0x48, Op.If, 0x40, 0, Op.End]);
      if (charge === undefined) body.write([0x23, ...u32(fuel + 1)]);
      bodyMoves.push([at, body.length]);
    }
    body.copy(reader.bytes, from, reader.end);
    const content = body.finish();
    out.write(u32(content.length));
    for (const [original, place] of bodyMoves) moves.push([original, place + out.length]);
    out.copy(content, 0, content.length);
  }
}

class ByteWriter {
  #bytes: Uint8Array;
  length = 0;

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(Math.max(64, capacity));
  }

  write(bytes: readonly number[]): void {
    this.#reserve(bytes.length);
    for (const byte of bytes) this.#bytes[this.length++] = byte;
  }

  copy(bytes: Uint8Array, from: number, to: number): void {
    this.#reserve(to - from);
    this.#bytes.set(bytes.subarray(from, to), this.length);
    this.length += to - from;
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  #reserve(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.length + more, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
  }
}
