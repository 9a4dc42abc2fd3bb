/** The global table `weir` of a script: Weir's own, beyond Envoy's API. */
import type { WeirLibrary } from './engine.ts';
import type { ScriptContext } from './script.ts';

export function createWeirLibrary({ spec }: ScriptContext): WeirLibrary {
  return { config: spec.config, functions: new Map() };
}
