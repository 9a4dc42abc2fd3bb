/** The Lua runtime: scripts with Envoy's calling convention, interpreted by fengari (Lua 5.3) in a sandbox with budgets. */
import { readFileSync } from 'node:fs';
import {
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { createLuaFilter } from './lua-filter.ts';
import { LuaScript } from './script.ts';

export function createLuaRuntime(): FilterRuntime {
  return { name: 'lua', sniff: ({ path }) => path.endsWith('.lua'), load };
}

function load(spec: FilterSpec, host: FilterHost): StreamFilterFactory {
  if (spec.file === undefined && spec.source === undefined) {
    throw new FilterConfigError('a Lua filter needs a file in `use:` or a script in `source:`');
  }
  const source = spec.file === undefined ? new TextEncoder().encode(spec.source) : readFileSync(spec.file);
  const script = new LuaScript(spec, Uint8Array.from(source), host);
  return { clearsRouteCache: script.onRequest !== undefined, create: (stream) => createLuaFilter(script, stream) };
}
