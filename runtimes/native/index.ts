/** The runtime of the filters that are built in: `use:` a bare name. */
import type { FilterRuntime, Json, StreamFilterFactory } from '../../src/abi/index.ts';
import { FilterConfigError } from '../../src/abi/index.ts';
import { createDirectResponseFilter } from './direct-response.ts';
import { createHeadersFilter } from './headers.ts';
import { createRequireHeaderFilter } from './require-header.ts';

const BUILTINS: ReadonlyMap<string, (config: Json) => StreamFilterFactory> = new Map([
  ['direct-response', createDirectResponseFilter],
  ['headers', createHeadersFilter],
  ['require-header', createRequireHeaderFilter],
]);

export function createNativeRuntime(): FilterRuntime {
  return {
    name: 'native',
    builtins: [...BUILTINS.keys()],
    sniff: () => false,
    provides: (name) => BUILTINS.has(name),
    load(spec) {
      const create = BUILTINS.get(spec.use);
      if (create === undefined) throw new FilterConfigError(`there is no built-in filter \`${spec.use}\``);
      return create(spec.config);
    },
  };
}
