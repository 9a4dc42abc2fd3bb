/** The functions that a module may import, put together from their groups. */

import { Status } from '../constants.ts';
import type { Machine } from '../machine.ts';
import { bufferFunctions } from './buffers.ts';
import { callFunctions } from './calls.ts';
import { foreignFunctions } from './foreign.ts';
import { generalFunctions } from './general.ts';
import { mapFunctions } from './maps.ts';
import { metricFunctions } from './metrics.ts';
import { propertyFunctions } from './properties.ts';
import { sharedFunctions } from './shared.ts';
import { streamFunctions } from './streams.ts';
import { wasiFunctions } from './wasi.ts';

/** A host function takes numbers (a 64-bit one as a bigint) and returns a status. */
// biome-ignore lint/suspicious/noExplicitAny: their parameters are numbers, and bigints where the ABI says i64
export type HostFunction = (...args: any[]) => number | undefined;
export type HostFunctions = Record<string, HostFunction>;

/** Both names that SDKs know WASI preview 1 by. */
const WASI_MODULES = ['wasi_snapshot_preview1', 'wasi_unstable'];
/** What a module may call before its start functions have returned. */
const AT_START = new Set(['proxy_log', 'proxy_get_log_level', 'proxy_get_current_time_nanoseconds']);
/** What a WASI function that the entry does not allow returns. */
const ENOTCAPABLE = 76;

function proxyFunctions(machine: Machine): HostFunctions {
  return {
    ...generalFunctions(machine),
    ...mapFunctions(machine),
    ...bufferFunctions(machine),
    ...streamFunctions(machine),
    ...callFunctions(machine),
    ...sharedFunctions(machine),
    ...metricFunctions(machine),
    ...propertyFunctions(machine),
    ...foreignFunctions(machine),
  };
}

/** Of Emscripten's libraries, which modules made with the C++ SDK import. */
const EMSCRIPTEN: HostFunctions = {
  emscripten_notify_memory_growth: () => undefined,
  pthread_equal: (a: number, b: number) => (a === b ? 1 : 0),
};

/** The imports of one machine. */
export function hostFunctions(
  machine: Machine,
  imports: readonly { module: string; name: string }[],
): WebAssembly.Imports {
  const proxy = proxyFunctions(machine);
  const wasi = wasiFunctions(machine);
  const linked: Record<string, Record<string, HostFunction>> = {};
  for (const { module, name } of imports) {
    linked[module] ??= {};
    const found = functionOf(machine, module, name, proxy, wasi);
    if (found !== undefined) linked[module][name] = found;
  }
  return linked;
}

/** Imports that no function here stands for. */
export function unknownImports(imports: readonly { module: string; name: string; kind: string }[]): string[] {
  return imports
    .filter(({ module, name, kind }) => kind !== 'function' || !isKnown(module, name))
    .map(({ module, name }) => `${module}.${name}`);
}

function isKnown(module: string, name: string): boolean {
  KNOWN ??= { proxy: Object.keys(proxyFunctions({} as Machine)), wasi: Object.keys(wasiFunctions({} as Machine)) };
  if (WASI_MODULES.includes(module)) return KNOWN.wasi.includes(name);
  return module === 'env' && (KNOWN.proxy.includes(name) || EMSCRIPTEN[name] !== undefined);
}
let KNOWN: { proxy: string[]; wasi: string[] } | undefined;

function functionOf(
  machine: Machine,
  module: string,
  name: string,
  proxy: HostFunctions,
  wasi: HostFunctions,
): HostFunction | undefined {
  if (WASI_MODULES.includes(module)) {
    const found = wasi[name];
    if (found === undefined) return undefined;
    return machine.allows(name) ? metered(machine, found) : () => ENOTCAPABLE;
  }
  if (module !== 'env') return undefined;
  const emscripten = EMSCRIPTEN[name];
  if (emscripten !== undefined) return emscripten;
  const found = proxy[name];
  if (found === undefined) return undefined;
  if (!machine.allows(name)) return () => Status.InternalFailure;
  return AT_START.has(name) ? metered(machine, found) : onceStarted(machine, found);
}

/** Written out by the number of parameters, since this is on the way of every host call. */
function metered(machine: Machine, callee: HostFunction): HostFunction {
  switch (callee.length) {
    case 1:
      return (a) => {
        machine.charge();
        return callee(a);
      };
    case 3:
      return (a, b, c) => {
        machine.charge();
        return callee(a, b, c);
      };
    case 5:
      return (a, b, c, d, e) => {
        machine.charge();
        return callee(a, b, c, d, e);
      };
    default:
      return (...args) => {
        machine.charge();
        return callee(...args);
      };
  }
}

function onceStarted(machine: Machine, callee: HostFunction): HostFunction {
  const called = metered(machine, callee);
  switch (callee.length) {
    case 5:
      return (a, b, c, d, e) => (machine.starting ? Status.InternalFailure : called(a, b, c, d, e));
    default:
      return (...args) => (machine.starting ? Status.InternalFailure : called(...args));
  }
}
