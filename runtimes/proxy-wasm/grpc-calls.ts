/** The gRPC calls and streams of one plugin. */
import { ExtensionError, type GrpcStream, type HeaderMap } from '../../src/abi/index.ts';
import type { RootContext } from './context.ts';
import type { Callback, Machine } from './machine.ts';

const CALL_BITS = 1;
const STREAM_BITS = 2;

export interface GrpcTarget {
  service: string;
  method: string;
  metadata: HeaderMap;
}

export class GrpcCalls {
  /** What the running callback may read. */
  initialMetadata: HeaderMap | undefined;
  trailingMetadata: HeaderMap | undefined;
  message: Uint8Array | undefined;
  readonly #machine: Machine;
  readonly #root: RootContext;
  readonly #streams = new Map<number, GrpcStream>();

  constructor(machine: Machine, root: RootContext) {
    this.#machine = machine;
    this.#root = root;
  }

  /**
   * Its number; `undefined` when there is no such cluster.
   * @param unary a call of one message each way, with milliseconds until it is given up.
   */
  open(
    cluster: string,
    target: GrpcTarget,
    unary: { message: Uint8Array; timeout: number } | undefined,
  ): number | undefined {
    const id = this.#machine.nextCallId(unary === undefined ? STREAM_BITS : CALL_BITS);
    try {
      const stream = this.#root.plugin.host.grpc(
        cluster,
        { ...target, timeout: unary?.timeout },
        {
          onInitialMetadata: (metadata) => {
            this.initialMetadata = metadata;
            if (unary === undefined) this.#call('proxy_on_grpc_receive_initial_metadata', id, metadata.size);
            this.initialMetadata = undefined;
          },
          onMessage: (message) => {
            this.message = message;
            this.#call('proxy_on_grpc_receive', id, message.length);
            this.message = undefined;
            if (unary !== undefined) this.#streams.delete(id);
          },
          onTrailingMetadata: (metadata) => {
            this.trailingMetadata = metadata;
            if (unary === undefined) this.#call('proxy_on_grpc_receive_trailing_metadata', id, metadata.size);
            this.trailingMetadata = undefined;
          },
          onClose: (code, message) => {
            // A unary call that got its message has ended with it, as in Envoy.
            if (!this.#streams.delete(id)) return;
            this.#root.status = { code, message };
            this.#call('proxy_on_grpc_close', id, code);
            this.#root.status = { code: 0, message: '' };
          },
        },
      );
      this.#streams.set(id, stream);
      if (unary !== undefined) stream.send(unary.message, true);
      return id;
    } catch (error) {
      if (!(error instanceof ExtensionError)) throw error;
      this.#root.plugin.host.log.debug(`gRPC call: ${error.message}`);
      return undefined;
    }
  }

  send(id: number, message: Uint8Array, end: boolean): boolean {
    const stream = this.#streams.get(id);
    stream?.send(message, end);
    return stream !== undefined;
  }

  /** Ends it on both sides; no callback comes any more. */
  cancel(id: number): boolean {
    const stream = this.#streams.get(id);
    this.#streams.delete(id);
    stream?.cancel();
    return stream !== undefined;
  }

  /** Ends this side of a stream; a call is cancelled. */
  close(id: number): boolean {
    if ((id & 3) === CALL_BITS) return this.cancel(id);
    const stream = this.#streams.get(id);
    stream?.end();
    return stream !== undefined;
  }

  cancelAll(): void {
    for (const id of [...this.#streams.keys()]) this.cancel(id);
  }

  #call(callback: Callback, id: number, value: number): void {
    this.#machine.callRoot(this.#root, callback, id, value);
  }
}
