/** What a module sees as a context: one for each plugin (root), one for each stream. */
import { type CallResponse, ExtensionError, type HeaderMap, type Stream } from '../../src/abi/index.ts';
import type { GrpcCalls } from './grpc-calls.ts';
import type { Machine } from './machine.ts';
import type { PluginSettings } from './options.ts';

export type Context = RootContext | StreamContext;

/** Milliseconds that a plugin may put off its end. */
const MAX_DEFERRED_END = 5000;

/** One entry of the configuration within a machine. */
export class RootContext {
  readonly machine: Machine;
  readonly id: number;
  readonly plugin: PluginSettings;
  /** `proxy_on_configure` runs: the plugin's configuration can be read. */
  configuring = false;
  closed = false;
  /** The response that `proxy_on_http_call_response` may read. */
  callResponse: CallResponse | undefined;
  /** What `proxy_get_status` says. */
  status: { code: number; message: string } = { code: 0, message: '' };
  grpc: GrpcCalls | undefined;
  #ticker: NodeJS.Timeout | undefined;
  /** Milliseconds; 0 for no ticks. */
  #period = 0;
  /** It put off its end, until `proxy_done`. */
  #ending: NodeJS.Timeout | undefined;

  constructor(machine: Machine, id: number, plugin: PluginSettings) {
    this.machine = machine;
    this.id = id;
    this.plugin = plugin;
  }

  get root(): RootContext {
    return this;
  }

  /** @param ms 0: no more ticks. */
  setTickPeriod(ms: number): void {
    clearTimeout(this.#ticker);
    this.#period = Math.min(ms, 2 ** 31 - 1);
    if (ms > 0 && !this.closed) this.#schedule(this.#period);
  }

  /** Ticks take at most half of a worker's time, whatever the period. */
  #schedule(delay: number): void {
    this.#ticker = setTimeout(() => {
      const ticker = this.#ticker;
      const started = performance.now();
      this.machine.callRoot(this, 'proxy_on_tick');
      const took = performance.now() - started;
      // The tick itself may have set another period.
      if (!this.closed && this.#ticker === ticker && this.#period > 0)
        this.#schedule(Math.max(this.#period - took, took));
    }, delay);
    this.#ticker.unref();
  }

  /** The configuration that it belongs to is gone. */
  end(): void {
    if (this.closed || this.#ending !== undefined) return;
    this.setTickPeriod(0);
    if (this.machine.failed === undefined && this.machine.has('proxy_on_done')) {
      try {
        if (this.machine.call(this, 'proxy_on_done') === 0) {
          this.#ending = setTimeout(() => this.#finish(), MAX_DEFERRED_END);
          this.#ending.unref();
          return;
        }
      } catch (error) {
        if (!(error instanceof ExtensionError)) throw error;
        this.plugin.host.log.error(`the module failed in proxy_on_done: ${error.message}`);
      }
    }
    this.#finish();
  }

  /** The module says that it is done; false when nobody waited for it. */
  done(): boolean {
    if (this.#ending === undefined) return false;
    clearTimeout(this.#ending);
    this.machine.defer(() => this.#finish());
    return true;
  }

  /** The machine has failed: nothing runs any more. */
  stop(): void {
    this.closed = true;
    clearTimeout(this.#ticker);
    clearTimeout(this.#ending);
    this.grpc?.cancelAll();
  }

  #finish(): void {
    if (this.closed) return;
    this.machine.callRoot(this, 'proxy_on_delete');
    this.stop();
    const { roots } = this.machine;
    const at = roots.indexOf(this);
    if (at >= 0) roots.splice(at, 1);
  }
}

/** One direction of a stream, as far as the module may see it now. */
export class ContextSide {
  /** `undefined` unless a callback for them runs or has held them. As in Envoy, they can't be read once they have gone on. */
  headers: HeaderMap | undefined;
  trailers: HeaderMap | undefined;
  /** The body that a running body callback reads and changes. */
  body: Uint8Array | undefined;
  /** The module has changed it. */
  changed = false;
  /** Held by the module's last result. */
  paused = false;
  /** It holds a body. */
  bodyHeld = false;
  /** It has held a body to see all of it, and goes on to. */
  buffers = false;
  /** The next piece of the body has waited behind a stop: it comes whole, with its end. */
  waited = false;
}

/** One stream. */
export class StreamContext {
  readonly machine: Machine;
  readonly id: number;
  readonly root: RootContext;
  readonly stream: Stream;
  readonly request = new ContextSide();
  readonly response = new ContextSide();
  /** The callback for logs runs: everything can be read, nothing changed. */
  logging = false;
  /** A hook of this stream runs. */
  inHook = false;
  /** The running hook has answered or closed the stream: its result does not count. */
  stopped = false;
  /** It was answered by the module. */
  answered = false;

  constructor(machine: Machine, id: number, root: RootContext, stream: Stream) {
    this.machine = machine;
    this.id = id;
    this.root = root;
    this.stream = stream;
  }

  get plugin(): PluginSettings {
    return this.root.plugin;
  }

  /** The machine has failed in another callback: what this stream waits for won't come. */
  machineFailed(error: ExtensionError): void {
    if (this.inHook || !(this.request.paused || this.response.paused)) return;
    this.stream.setTimer(0, () => {
      throw new ExtensionError('threw', `the module failed in another callback: ${error.message}`);
    });
  }
}
