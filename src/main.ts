/** The package's entry: the embedding API, and what filters written in TypeScript import. */
import { createRuntimes } from '../runtimes/index.ts';
import type { ConfigInput } from './config/schema.ts';
import { Proxy as BareProxy, type ProxyOptions } from './proxy.ts';

export * from './abi/index.ts';
export { ConfigurationError, type Diagnostic } from './config/diagnostics.ts';
export type { ConfigInput } from './config/schema.ts';
export { ERROR_KINDS, type ErrorCode, WeirError } from './errors.ts';
export { createRuntimes } from '../runtimes/index.ts';

/**
 * A proxy in this thread, with every runtime that ships with Weir:
 * `const proxy = await new Proxy({ listeners: [...], clusters: [...] }).listen()`, and `await proxy.close()` at the end.
 */
export class Proxy extends BareProxy {
  /**
   * @param config the same shape as a configuration file.
   * @param options `directory`: what relative paths start from (default: the working directory); `runtimes`: others than
   *   the ones that ship.
   * @throws ConfigurationError
   */
  constructor(config: ConfigInput, options: Partial<ProxyOptions> & { directory?: string } = {}) {
    super(config, { runtimes: createRuntimes(), ...options });
  }
}
