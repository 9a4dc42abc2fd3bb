/** The facts of one stream, as filters and the access log see them. */
import type { DynamicMetadata, Json, StreamInfo, TlsInfo } from '../abi/index.ts';

/** The addresses of a connection. */
export interface ConnectionAddresses {
  readonly id: number;
  /** `ip:port`. */
  readonly remote: string;
  readonly local: string;
  readonly tls: TlsInfo | undefined;
}

export class StreamRecord implements StreamInfo {
  readonly id: number;
  readonly listener: string;
  readonly protocol: string;
  readonly startTime = Date.now();
  /** `performance.now()` at the start. */
  readonly started = performance.now();
  readonly #addresses: ConnectionAddresses;
  /** Milliseconds; fixed at the stream's end. */
  total = -1;
  virtualHost = '';
  route = '';
  cluster = '';
  endpoint = '';
  upstreamConnection: { readonly localAddress: string } | undefined = undefined;
  responseCode = 0;
  responseCodeDetails = '';
  responseFlags: readonly string[] = [];
  bytesReceived = 0;
  bytesSent = 0;

  constructor(id: number, listener: string, protocol: string, addresses: ConnectionAddresses) {
    this.id = id;
    this.listener = listener;
    this.protocol = protocol;
    this.#addresses = addresses;
  }

  get duration(): number {
    return this.total < 0 ? performance.now() - this.started : this.total;
  }
  get connectionId(): number {
    return this.#addresses.id;
  }
  get tls(): TlsInfo | undefined {
    return this.#addresses.tls;
  }
  get upstreamLocalAddress(): string {
    return this.upstreamConnection?.localAddress ?? '';
  }
  get downstreamRemoteAddress(): string {
    return this.#addresses.remote;
  }
  get downstreamLocalAddress(): string {
    return this.#addresses.local;
  }

  addFlag(flag: string | undefined): void {
    if (flag !== undefined && !this.responseFlags.includes(flag)) this.responseFlags = [...this.responseFlags, flag];
  }
}

/** Metadata of one stream; most streams have none. */
export class StreamMetadata implements DynamicMetadata {
  #values: Map<string, Record<string, Json>> | undefined;

  get(namespace: string): Readonly<Record<string, Json>> | undefined {
    return this.#values?.get(namespace);
  }

  namespaces(): string[] {
    return [...(this.#values?.keys() ?? [])];
  }

  set(namespace: string, key: string, value: Json): void {
    this.#values ??= new Map();
    let values = this.#values.get(namespace);
    if (values === undefined) {
      values = Object.create(null) as Record<string, Json>;
      this.#values.set(namespace, values);
    }
    values[key] = value;
  }
}
