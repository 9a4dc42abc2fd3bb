/** The runtime of plugins: programs that Weir starts and asks over gRPC. */
import { accessSync, constants } from 'node:fs';
import {
  type CertificateProvider,
  ExtensionError,
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { GrpcError } from './grpc-connection.ts';
import { createMosnFactory } from './mosn.ts';
import { createMosnCertificates } from './mosn-certificates.ts';
import { OPTIONS, pluginSpec, readOptions } from './options.ts';
import { PluginClient } from './plugin-client.ts';
import { createWeirFactory } from './weir.ts';
import { createWeirCertificates } from './weir-certificates.ts';

export function createPluginRuntime(): FilterRuntime {
  return {
    name: 'plugin',
    options: OPTIONS,
    sniff: ({ path }) => isExecutable(path),
    load,
    extensions: { certificateProvider: provideCertificates },
  };
}

/** A filter is not without its program: the configuration waits for it. */
async function load(spec: FilterSpec, host: FilterHost): Promise<StreamFilterFactory> {
  const { client, plugin, options } = connect(spec, host);
  try {
    await plugin.started.catch((error: Error) => {
      throw new FilterConfigError(`the plugin ${spec.use} does not run: ${error.message}`, { option: 'use' });
    });
    if (options.protocol === 'mosn') return createMosnFactory(client, options, failureOf);
    return await createWeirFactory(client, spec, host, failureOf);
  } catch (error) {
    client.close();
    throw error;
  }
}

/** Certificates may come later: until then handshakes fail, and Weir goes on trying. */
function provideCertificates(spec: FilterSpec, host: FilterHost): CertificateProvider {
  const { client, options } = connect(spec, host);
  return options.protocol === 'mosn' ? createMosnCertificates(client) : createWeirCertificates(client, spec);
}

function connect(spec: FilterSpec, host: FilterHost) {
  const options = readOptions(spec.options);
  const program = pluginSpec(spec, options, host);
  const plugin = host.plugin(program);
  const client = new PluginClient(plugin, {
    timeout: options.timeout,
    retries: options.retries,
    maxMessage: options.max_message_size,
    duration: host.histogram('plugin_call_seconds'),
    failures: host.counter('plugin_failed_calls'),
  });
  return { options, plugin, client };
}

/** What went wrong with a call, as the filter's failure. Waiting costs the worker nothing, so it is no budget that takes the filter out of service. */
function failureOf(error: unknown): ExtensionError {
  if (!(error instanceof GrpcError)) {
    return new ExtensionError('contract', `its answer can't be read: ${(error as Error).message}`, { cause: error });
  }
  return new ExtensionError('threw', `the plugin did not answer: ${error.message}`, { cause: error });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
