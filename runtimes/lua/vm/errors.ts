/** Errors of a script, and where they happened: the place comes from JavaScript's stack, so that running code pays nothing for it. */
import type { ChunkInfo, LuaValue, Site } from './values.ts';

/** An error that a script may catch; any value, as in Lua. */
export class LuaError {
  readonly value: LuaValue;
  /** Where it was raised, for the log. */
  readonly traceback: readonly Frame[];

  constructor(value: LuaValue, traceback: readonly Frame[] = []) {
    this.value = value;
    this.traceback = traceback;
  }
}

/** The end of a hook that no script can catch: a used-up budget, or `respond()`, which never returns. */
export class ScriptAbort {
  readonly reason: 'budget' | 'responded';
  readonly message: string;
  readonly traceback: readonly Frame[];

  constructor(reason: ScriptAbort['reason'], message: string, traceback: readonly Frame[] = []) {
    this.reason = reason;
    this.message = message;
    this.traceback = traceback;
  }
}

/** A wrong argument, raised by a native function: which, counted from 1 with `self`, and what is wrong with it. */
export class ArgumentError {
  readonly argument: number;
  readonly detail: string;

  constructor(argument: number, detail: string) {
    this.argument = argument;
    this.detail = detail;
  }
}

/** An error of a native function; the engine puts the caller's place before it. */
export class NativeError {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

/** A running function of a script, and what it is at; `native` stands for a function that is not written in Lua. */
export type Frame = { readonly chunk: ChunkInfo; readonly site: Site } | 'native';

/** Scripts' frames carry a file name that begins so. */
export const CHUNK_PREFIX = 'weir-lua:';
/** Frames of these functions stand for a native function that called a script's. */
const NATIVE_CALLERS = new Set(['callFromNative', 'callFromNativeWaiting']);

/** Sources by the file name of their generated code. */
export class ChunkRegistry {
  readonly #chunks = new Map<string, WeakRef<ChunkInfo>>();
  readonly #gone = new FinalizationRegistry<string>((file) => this.#chunks.delete(file));

  add(file: string, chunk: ChunkInfo): void {
    this.#chunks.set(file, new WeakRef(chunk));
    this.#gone.register(chunk, file);
  }

  get size(): number {
    return this.#chunks.size;
  }

  /**
   * The running functions, the innermost first, up to `limit` frames of JavaScript. One that has made a tail call is no longer
   * there; `operation`: what fails is the innermost function's own operation, so that it counts in any case.
   */
  frames(limit: number, operation: boolean): Frame[] {
    const frames: Frame[] = [];
    for (const callSite of callSites(limit)) {
      const file = callSite.getScriptNameOrSourceURL() ?? '';
      if (file.startsWith(CHUNK_PREFIX)) {
        const chunk = this.#chunks.get(file)?.deref();
        const site = chunk?.sites[callSite.getLineNumber() ?? 0];
        const counts = site !== undefined && (!site.tail || (operation && frames.length === 0));
        if (chunk !== undefined && counts) frames.push({ chunk, site });
      } else if (NATIVE_CALLERS.has(callSite.getFunctionName() ?? '')) frames.push('native');
    }
    return frames;
  }
}

function callSites(limit: number): NodeJS.CallSite[] {
  const { prepareStackTrace, stackTraceLimit } = Error;
  const holder: { stack?: NodeJS.CallSite[] } = {};
  try {
    Error.prepareStackTrace = (_, sites) => sites;
    Error.stackTraceLimit = limit;
    Error.captureStackTrace(holder);
    return holder.stack ?? [];
  } finally {
    Error.prepareStackTrace = prepareStackTrace;
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** `[string "..."]:12: `, or nothing when the frame is no script's. */
export function placeOf(frame: Frame | undefined): string {
  return frame === undefined || frame === 'native' ? '' : `${frame.chunk.name}:${frame.site.line}: `;
}

/** The name of a chunk in messages. Source: Lua 5.1, `luaO_chunkid` (a chunk whose name is its text). */
export function chunkId(name: string): string {
  if (name.startsWith('=')) return name.slice(1, 60);
  if (name.startsWith('@')) return name.length > 60 ? `...${name.slice(name.length - 56)}` : name.slice(1);
  const end = name.search(/[\r\n]/);
  let text = end < 0 ? name : name.slice(0, end);
  const whole = end < 0 && text.length <= 60 - 15;
  if (text.length > 45) text = text.slice(0, 45);
  return whole ? `[string "${text}"]` : `[string "${text}..."]`;
}
