/** A loaded script: its state in one of the engines, its hooks, and where in its text something is. */
import { readFileSync } from 'node:fs';
import {
  type Counter,
  FilterConfigError,
  type FilterHost,
  type FilterSpec,
  type Json,
  type SourcePosition,
  type Stream,
} from '../../src/abi/index.ts';
import type { Kinds } from './api/index.ts';
import { ScriptStats } from './api/stats.ts';
import { type Hook, type ScriptEngine, ScriptFailure, type ScriptState } from './engine.ts';
import { findModule } from './modules.ts';
import type { LuaOptions, RouteScripts } from './options.ts';
import { createWeirLibrary } from './weir-library.ts';

/** Where a script comes from. */
export interface ScriptText {
  /** Its bytes. */
  bytes: Uint8Array;
  /** What errors call it. */
  file: string;
}

/** What all scripts of one entry share. */
export interface ScriptContext {
  spec: FilterSpec;
  host: FilterHost;
  options: LuaOptions;
  engine: ScriptEngine;
  kinds: Kinds;
  routes: RouteScripts;
}

const DEFAULT_INSTRUCTIONS = 1_000_000;
const DEFAULT_MEMORY = 16 * 1024 * 1024;

export class LuaScript {
  readonly name: string;
  readonly api: Kinds;
  readonly stats: ScriptStats;
  onRequest: Hook | undefined;
  onResponse: Hook | undefined;
  onLog: Hook | undefined;
  /** `respond()` on the response side is refused, as in Envoy. */
  readonly envoyResponses: boolean;
  readonly errors: Counter | undefined;
  readonly executions: Counter | undefined;
  /** Milliseconds that a hook may take, waiting included. */
  readonly timeLimit: number;
  readonly #context: ScriptContext;
  readonly #text: ScriptText;
  #state: ScriptState;
  readonly #engine: ScriptEngine;

  /** @throws FilterConfigError when the script does not compile, or fails while it is loaded. */
  constructor(context: ScriptContext, text: ScriptText) {
    const { spec, host, options, engine, kinds } = context;
    this.name = spec.name;
    this.api = kinds;
    this.envoyResponses = options.envoy_compat;
    this.timeLimit = spec.limits.time;
    this.stats = new ScriptStats(host, options.stat_prefix);
    this.errors = this.stats.counter('lua_errors');
    this.executions = this.stats.counter('lua_executions');
    this.#context = context;
    this.#text = text;
    this.#engine = engine;
    this.#state = this.#load();
    this.#findHooks();
    if (this.onRequest === undefined && this.onResponse === undefined && this.onLog === undefined) {
      host.log.warn('the script has none of envoy_on_request(), envoy_on_response() and on_log(): it does nothing');
    }
  }

  /** The route's `filter_context`, or else the entry's. */
  filterContextOf(stream: Stream): Json | undefined {
    const { routes, options, spec } = this.#context;
    return routes.settingsOf(stream)?.filter_context ?? stream.routeConfig ?? options.filter_context ?? spec.config;
  }

  positionOf(failure: ScriptFailure): SourcePosition | undefined {
    const { line, column } = failure;
    if (line === undefined) return undefined;
    return { file: this.#text.file, line, column, frame: codeFrame(this.#text.bytes, line) };
  }

  /** The functions that were running, the innermost first. */
  traceOf({ trace }: ScriptFailure): string[] {
    const { file } = this.#text;
    return trace.map(({ line, called }) =>
      `${called === undefined ? '' : `call of ${called} `}(${file}:${line})`.trim(),
    );
  }

  /** Begins anew with fresh globals: the old ones hold too much. Streams that wait in the old ones finish there. */
  renew(): void {
    const { host } = this.#context;
    const old = this.#state;
    try {
      this.#state = this.#load();
    } catch (error) {
      host.log.critical(`the script can't be loaded anew: ${error instanceof Error ? error.message : error}`);
      return;
    }
    old.close();
    this.#findHooks();
    host.log.error('the script was loaded anew with fresh globals');
  }

  #findHooks(): void {
    this.onRequest = this.#state.hook('envoy_on_request');
    this.onResponse = this.#state.hook('envoy_on_response');
    this.onLog = this.#state.hook('on_log');
  }

  close(): void {
    this.#state.close();
  }

  #load(): ScriptState {
    const { spec, host, options } = this.#context;
    const { bytes } = this.#text;
    try {
      return this.#engine.load({
        text: Buffer.from(bytes).toString('latin1'),
        limits: {
          instructions: spec.limits.instructions ?? DEFAULT_INSTRUCTIONS,
          memory: spec.limits.memory ?? DEFAULT_MEMORY,
          time: spec.limits.time,
        },
        log: host.log,
        library: createWeirLibrary(this.#context),
        findModule: (name) => findModule(name, options.modules, host),
      });
    } catch (error) {
      if (!(error instanceof ScriptFailure)) throw error;
      throw new FilterConfigError(`script load error: ${error.message}`, { position: this.positionOf(error) });
    }
  }
}

/** The line with those around it. */
function codeFrame(bytes: Uint8Array, line: number): string | undefined {
  const lines = new TextDecoder().decode(bytes).trimEnd().split('\n');
  if (lines[line - 1] === undefined) return undefined;
  const first = Math.max(1, line - 2);
  const width = String(line + 1).length;
  return lines
    .slice(first - 1, line + 1)
    .map((text, i) => {
      const number = first + i;
      return `${number === line ? '>' : ' '} ${String(number).padStart(width)} | ${text.trimEnd().slice(0, 200)}`;
    })
    .join('\n');
}

/** The text of a file. @throws FilterConfigError */
export function readScript(file: string): ScriptText {
  try {
    return { bytes: readFileSync(file), file };
  } catch (error) {
    throw new FilterConfigError(`can't read the script: ${error instanceof Error ? error.message : error}`);
  }
}
