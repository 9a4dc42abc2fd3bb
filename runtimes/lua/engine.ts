/** What a script needs of the engine that runs it; there are two: compiled (Lua 5.1, as LuaJIT) and fengari (Lua 5.3). */
import type { Json, Log } from '../../src/abi/index.ts';
import type { HostFunction, Wait } from './api/kind.ts';
import type { HostObject, Results } from './vm/values.ts';

/** The budgets of a script. */
export interface ScriptLimits {
  /** Instructions of a hook. */
  readonly instructions: number;
  /** Bytes of what a run adds and the globals hold. */
  readonly memory: number;
  /** Milliseconds of a hook, waiting included. */
  readonly time: number;
}

/** A line of a script that was running when it failed. */
export interface TraceLine {
  line: number;
  /** What was called there. */
  called: string | undefined;
}

/** A script failed: at load, or in a hook. */
export class ScriptFailure extends Error {
  override readonly name = 'ScriptFailure';
  /** It used up its instructions, memory or time. */
  readonly budget: boolean;
  /** The script's globals hold more than they may: its state is of no use any more. */
  readonly exhausted: boolean;
  /** From 1; `undefined` when it is not known. */
  readonly line: number | undefined;
  readonly column: number | undefined;
  /** The innermost first. */
  readonly trace: readonly TraceLine[];

  constructor(
    message: string,
    detail: {
      budget?: boolean;
      exhausted?: boolean;
      line?: number | undefined;
      column?: number | undefined;
      trace?: readonly TraceLine[];
    } = {},
  ) {
    super(message);
    this.budget = detail.budget === true;
    this.exhausted = detail.exhausted === true;
    this.line = detail.line;
    this.column = detail.column;
    this.trace = detail.trace ?? [];
  }
}

/** One call of a hook. Both methods give what it waits for, or nothing at its end. @throws ScriptFailure */
export interface Activation {
  start(handle: HostObject): Wait | undefined;
  resume(results: Results): Wait | undefined;
}

/** A function of the script that Weir calls. */
export interface Hook {
  begin(): Activation;
}

/** A loaded script with its globals. */
export interface ScriptState {
  /** The global function of that name. */
  hook(name: string): Hook | undefined;
  /** Lets go of what it holds. */
  close(): void;
}

export interface ScriptSource {
  /** One character per byte. */
  text: string;
  limits: ScriptLimits;
  log: Log;
  /** The global `weir`. */
  library: WeirLibrary;
  /** Text of a module that the script requires, one character per byte; `undefined` when there is none. */
  findModule(name: string): { text: string; file: string } | undefined;
}

/** Members of the table `weir`. */
export interface WeirLibrary {
  config: Json;
  functions: ReadonlyMap<string, HostFunction>;
  /** Tables of functions. */
  tables: ReadonlyMap<string, ReadonlyMap<string, HostFunction>>;
}

export interface ScriptEngine {
  /** Loads a script: its main chunk runs once. @throws ScriptFailure */
  load(source: ScriptSource): ScriptState;
}
