/** The package's entry: the embedding API, and what filters written in TypeScript import. */
import { createRuntimes } from '../runtimes/index.ts';
import { type LoadedConfig, loadConfigObject } from './config/load.ts';
import type { ConfigInput } from './config/schema.ts';
import { WeirError } from './errors.ts';
import { createLogger } from './observability/logger.ts';
import type { Metrics } from './observability/metrics.ts';
import { DataPlane, type DataPlaneOptions } from './proxy.ts';

export { createRuntimes } from '../runtimes/index.ts';
export * from './abi/index.ts';
export { ConfigurationError, type Diagnostic } from './config/diagnostics.ts';
export type { ConfigInput } from './config/schema.ts';
export { ERROR_KINDS, type ErrorCode, WeirError } from './errors.ts';

export interface ProxyOptions extends Partial<DataPlaneOptions> {
  /** What relative paths start from; default: the working directory. */
  directory?: string;
}

/**
 * A proxy in this thread, with every runtime that ships with Weir:
 * `const proxy = await new Proxy({ listeners: [...], clusters: [...] }).listen()`, and `await proxy.close()` at the end.
 */
// biome-ignore lint/suspicious/noShadowRestrictedNames: the name that the embedding API has by design
export class Proxy {
  readonly #directory: string | undefined;
  readonly #plane: DataPlane;
  #loaded: LoadedConfig;
  #started = false;

  /**
   * @param config the same shape as a configuration file.
   * @throws ConfigurationError
   */
  constructor(config: ConfigInput, { directory, ...options }: ProxyOptions = {}) {
    this.#directory = directory;
    this.#loaded = loadConfigObject(config, directory);
    const { level, format } = this.#loaded.config.log;
    this.#plane = new DataPlane({ logger: createLogger(level, format), runtimes: createRuntimes(), ...options });
  }

  /** The port of each listener by name; of use where the configuration says port 0. */
  get ports(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#plane.listeners.map((listener) => [listener.name, listener.port]));
  }

  get metrics(): Metrics {
    return this.#plane.metrics;
  }

  /**
   * Loads the filters and starts to listen.
   * @throws ConfigurationError, WeirError (`listen_failed`)
   */
  async listen(): Promise<this> {
    if (this.#started) throw new WeirError('configuration_invalid', 'this proxy was started already');
    this.#started = true;
    await this.#plane.commit(await this.#plane.prepare(this.#loaded));
    return this;
  }

  /**
   * Puts another configuration in the place of the running one; streams in flight end on theirs.
   * @throws ConfigurationError; the running one stays then.
   */
  async reload(config: ConfigInput): Promise<void> {
    const loaded = loadConfigObject(config, this.#directory);
    await this.#plane.commit(await this.#plane.prepare(loaded));
    this.#loaded = loaded;
  }

  /** Stops accepting, waits for streams in flight (at most `drain_timeout`), then ends. */
  close(): Promise<void> {
    return this.#plane.drain(this.#loaded.config.drain_timeout);
  }
}
