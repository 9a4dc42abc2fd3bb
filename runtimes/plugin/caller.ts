/** Whatever a streaming protocol is spoken to: a plugin's processes, or a service behind a cluster. */
import { type FilterHost, HeaderMap, type PluginProcess } from '../../src/abi/index.ts';
import { GrpcCode, GrpcError, type GrpcEvents } from './grpc-connection.ts';
import type { ClientOptions } from './plugin-client.ts';

export interface Method {
  /** Full name, e.g. `weir.plugin.v1.Filter`. */
  readonly service: string;
  readonly method: string;
}

/** One open gRPC stream. */
export interface CallHandle {
  /** The process at the other end, where there is one. */
  readonly process: PluginProcess | undefined;
  send(message: Uint8Array, end: boolean): void;
  end(): void;
  cancel(error: GrpcError): void;
}

export interface Caller {
  readonly options: ClientOptions;
  /** A stream, when one can be had without waiting. */
  openNow(method: Method, events: GrpcEvents): CallHandle | undefined;
  /** @throws GrpcError when there is nobody to speak to in time. */
  open(method: Method, events: GrpcEvents): Promise<CallHandle>;
  /** Whether a process answered in its time. */
  note(process: PluginProcess, answered: boolean): void;
  close(): void;
}

/** A service behind one of Weir's clusters. */
export class ClusterCaller implements Caller {
  readonly options: ClientOptions;
  readonly #host: FilterHost;
  readonly #cluster: string;

  constructor(host: FilterHost, cluster: string, options: ClientOptions) {
    this.#host = host;
    this.#cluster = cluster;
    this.options = options;
  }

  openNow({ service, method }: Method, events: GrpcEvents): CallHandle {
    let over = false;
    const end = (error: GrpcError | undefined) => {
      if (over) return;
      over = true;
      events.onEnd(error);
    };
    const stream = this.#host.grpc(
      this.#cluster,
      { service, method, metadata: new HeaderMap() },
      {
        onInitialMetadata() {},
        onMessage: (message) => events.onMessage(Buffer.from(message.buffer, message.byteOffset, message.length)),
        onTrailingMetadata() {},
        onClose: (code, message) => end(code === GrpcCode.ok ? undefined : new GrpcError(code, message)),
      },
    );
    return {
      process: undefined,
      send: (message, last) => stream.send(message, last),
      end: () => stream.end(),
      cancel(error) {
        stream.cancel();
        end(error);
      },
    };
  }

  open(method: Method, events: GrpcEvents): Promise<CallHandle> {
    return Promise.resolve(this.openNow(method, events));
  }

  note(): void {}

  close(): void {}
}
