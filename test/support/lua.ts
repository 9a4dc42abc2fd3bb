/** Runs Lua scripts in the compiled engine alone, without a proxy. */
import { CompiledEngine } from '../../runtimes/lua/compiled/engine.ts';
import type { ScriptLimits, ScriptSource } from '../../runtimes/lua/engine.ts';
import { Vm } from '../../runtimes/lua/vm/vm.ts';
import type { Log } from '../../src/abi/index.ts';

export const LIMITS: ScriptLimits = { instructions: 1_000_000, memory: 16 * 1024 * 1024, time: 5000 };

export function newEngine(): CompiledEngine {
  return new CompiledEngine(new Vm());
}

/** A source whose `print` goes to `lines`. */
export function scriptSource(text: string, lines: string[] = [], limits: Partial<ScriptLimits> = {}): ScriptSource {
  const write = (message: string) => lines.push(message.replace(/^script log: /, ''));
  const log: Log = {
    isEnabled: () => true,
    trace: write,
    debug: write,
    info: write,
    warn: write,
    error: write,
    critical: write,
  };
  return {
    text,
    limits: { ...LIMITS, ...limits },
    log,
    library: { config: null, functions: new Map(), tables: new Map() },
    findModule: () => undefined,
  };
}

/** Runs a program to its end and gives what it printed; an error is the last line. */
export function runProgram(text: string, limits: Partial<ScriptLimits> = {}, engine = newEngine()): string[] {
  const lines: string[] = [];
  try {
    engine.load(scriptSource(text, lines, limits)).close();
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'ScriptFailure') throw error;
    lines.push(error.message);
  }
  return lines;
}
