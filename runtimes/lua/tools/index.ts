/** What the command line does with scripts besides running them. */
import { CompiledEngine } from '../compiled/engine.ts';
import { Vm } from '../vm/vm.ts';
import { checkScript, type Finding, type Nearest } from './check.ts';

export { luaTypes } from './types.ts';
export type { Finding };

/** Globals besides the library's. */
const GIVEN = ['weir', 'print', 'require', 'load', 'loadstring', 'EnvoyTimestampResolution'];

/** @param source one character per byte. */
export function check(source: string, nearest: Nearest): Finding[] {
  const { globals } = new CompiledEngine(new Vm()).library.open();
  return checkScript(source, [...GIVEN, ...(globals.keys ?? []).map(String)], nearest);
}
