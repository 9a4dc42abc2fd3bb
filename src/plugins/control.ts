/** What Weir asks of a plugin's process besides calls: whether it is well, and to end. By @grpc/grpc-js, since speed does not matter here. */

import type { PluginProcess } from '../abi/index.ts';
import { type Grpc, grpc } from '../grpc-js.ts';

type Client = InstanceType<Grpc['Client']>;

/** `HealthCheckRequest { service: "plugin" }`, the service that go-plugin serves. Source: grpc.health.v1, go-plugin. */
const HEALTH_REQUEST = Buffer.concat([Buffer.from([0x0a, 6]), Buffer.from('plugin')]);
/** `HealthCheckResponse { status: SERVING }` */
const SERVING = '0801';

export type Health = 'serving' | 'not serving' | 'no answer';

export class PluginControl {
  readonly #client: Client;

  constructor({ network, address }: Pick<PluginProcess, 'network' | 'address'>) {
    const { Client: GrpcClient, credentials } = grpc();
    this.#client = new GrpcClient(network === 'unix' ? `unix:${address}` : address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': 20,
      'grpc.max_reconnect_backoff_ms': 200,
      'grpc.enable_http_proxy': 0,
    });
  }

  /**
   * How it is by its own account. A process that does not know the service, or serves no health checks, is well when it says so.
   * @param timeout milliseconds
   */
  async health(timeout: number): Promise<Health> {
    const { status } = grpc();
    const { code, message } = await this.#call('/grpc.health.v1.Health/Check', HEALTH_REQUEST, timeout);
    if (code === status.UNIMPLEMENTED || code === status.NOT_FOUND) return 'serving';
    if (code !== status.OK) return 'no answer';
    return message?.toString('hex') === SERVING ? 'serving' : 'not serving';
  }

  /** Asks it to end in go-plugin's way. False: it does not know that call, or does not answer. */
  async shutdown(timeout: number): Promise<boolean> {
    const { code } = await this.#call('/plugin.GRPCController/Shutdown', Buffer.alloc(0), timeout);
    return code === grpc().status.OK;
  }

  close(): void {
    this.#client.close();
  }

  #call(path: string, request: Buffer, timeout: number): Promise<{ code: number; message: Buffer | undefined }> {
    const { Metadata } = grpc();
    return new Promise((resolve) => {
      const same = (bytes: Buffer) => bytes;
      const options = { deadline: Date.now() + timeout, waitForReady: true } as object;
      this.#client.makeUnaryRequest(
        path,
        same,
        same,
        request,
        new Metadata({ waitForReady: true }),
        options,
        (error, message) => resolve({ code: error?.code ?? 0, message }),
      );
    });
  }
}
