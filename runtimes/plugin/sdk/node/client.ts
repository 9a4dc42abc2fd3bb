/** For modules that start and call a program of their own: `import { startPlugin } from 'weir/plugin'`. */
import { resolve } from 'node:path';
import type { FilterHost, Json } from '../../../../src/abi/index.ts';
import { METHOD, Request, Response } from '../../mosn.ts';
import { pluginSpec, readOptions } from '../../options.ts';
import { clientOptions, PluginClient } from '../../plugin-client.ts';

/** MOSN's request; what is not given is empty. */
export interface CallRequest {
  header?: Record<string, string>;
  trailer?: Record<string, string>;
  body?: Uint8Array;
  type?: string;
}

/** MOSN's response. What `status` means is between the module and the program. */
export interface CallAnswer {
  header: Record<string, string>;
  trailer: Record<string, string>;
  body: Uint8Array;
  status: number;
}

export interface PluginCaller {
  /** Calls `proto.Plugin/Call` within the timeout; waits for a restart and is sent again as the calls of a plugin filter. @throws Error */
  call(request: CallRequest): Promise<CallAnswer>;
  /** Call it in the factory's `close`. */
  close(): void;
}

/**
 * Starts a program that Weir then manages like any plugin: all workers share it, it is restarted, and it ends with Weir.
 * @param file its path; relative ones start from the working directory.
 * @param options the keys of a plugin entry: `args`, `env`, `timeout`, `processes` and so on.
 * @throws Error with what it did instead of starting.
 */
export async function startPlugin(
  host: FilterHost,
  file: string,
  options: Readonly<Record<string, Json>> = {},
): Promise<PluginCaller> {
  const own = readOptions({ ...options, protocol: 'mosn' });
  const absolute = resolve(file);
  host.watch(absolute);
  const plugin = host.plugin(pluginSpec({ name: host.name, file: absolute, directory: process.cwd() }, own, host));
  const client = new PluginClient(plugin, clientOptions(own, host));
  try {
    await plugin.started;
  } catch (error) {
    client.close();
    throw error;
  }
  return {
    call: async (request) => Response.decode(await client.call(METHOD, Request.encode({ type: '', ...request }))),
    close: () => client.close(),
  };
}
