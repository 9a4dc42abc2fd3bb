/** The runtime of plugins: programs that Weir starts and asks over gRPC. */
import { accessSync, constants } from 'node:fs';
import {
  type AccessLogger,
  type CertificateProvider,
  ExtensionError,
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  type LoadBalancer,
  type Plugin,
  type StreamFilterFactory,
} from '../../src/abi/index.ts';
import { ClusterCaller } from './caller.ts';
import { createExtProcFactory, messageTimeout, readExtProc } from './ext-proc.ts';
import { GrpcError } from './grpc-connection.ts';
import { createMosnFactory } from './mosn.ts';
import { createMosnCertificates } from './mosn-certificates.ts';
import { OPTIONS, type PluginOptions, pluginSpec, readOptions } from './options.ts';
import { clientOptions, PluginClient } from './plugin-client.ts';
import { createWeirFactory } from './weir.ts';
import { createWeirAccessLogger } from './weir-access-log.ts';
import { createWeirCertificates } from './weir-certificates.ts';
import { createWeirLoadBalancer } from './weir-load-balancer.ts';

export function createPluginRuntime(): FilterRuntime {
  return {
    name: 'plugin',
    options: OPTIONS,
    sniff: ({ path }) => isExecutable(path),
    load,
    extensions: { certificateProvider: provideCertificates, accessLogger: logStreams, loadBalancer: balanceLoad },
  };
}

/** A filter is not without its program: the configuration waits for it. */
async function load(spec: FilterSpec, host: FilterHost): Promise<StreamFilterFactory> {
  const options = readOptions(spec.options);
  if (options.protocol === 'ext_proc') return processor(spec, host, options);
  if (options.cluster !== undefined) {
    throw new FilterConfigError('`cluster` belongs to `protocol: ext_proc`', { option: 'cluster' });
  }
  const { client, plugin } = connect(spec, host, options);
  await untilStarted(plugin, client, spec);
  if (options.protocol === 'mosn') return createMosnFactory(client, options, failureOf);
  try {
    return await createWeirFactory(client, spec, host, failureOf);
  } catch (error) {
    client.close();
    throw error;
  }
}

/** Envoy's protocol, spoken by a program or by a service behind a cluster. */
async function processor(spec: FilterSpec, host: FilterHost, given: PluginOptions): Promise<StreamFilterFactory> {
  const config = readExtProc(spec.config);
  const options = { ...given, timeout: messageTimeout(config) ?? given.timeout };
  const cluster = options.cluster ?? config.grpc_service?.envoy_grpc.cluster_name;
  if ((cluster === undefined) === (spec.file === undefined)) {
    throw new FilterConfigError('give a program in `use:` or a service in `cluster:`, one of both');
  }
  if (cluster !== undefined) {
    return createExtProcFactory(new ClusterCaller(host, cluster, clientOptions(options, host)), config, failureOf);
  }
  const { client, plugin } = connect(spec, host, options);
  await untilStarted(plugin, client, spec);
  return createExtProcFactory(client, config, failureOf);
}

/** @throws FilterConfigError; the client is closed then. */
async function untilStarted(plugin: Plugin, client: PluginClient, spec: FilterSpec): Promise<void> {
  try {
    await plugin.started;
  } catch (error) {
    client.close();
    throw new FilterConfigError(`the plugin ${spec.use} does not run: ${(error as Error).message}`, { option: 'use' });
  }
}

/** Certificates may come later: until then handshakes fail, and Weir goes on trying. */
function provideCertificates(spec: FilterSpec, host: FilterHost): CertificateProvider {
  const { client, options } = connect(spec, host);
  return options.protocol === 'mosn' ? createMosnCertificates(client) : createWeirCertificates(client, spec);
}

/** Streams are logged by Weir's own protocol; they wait for the program, or are dropped and counted. */
function logStreams(spec: FilterSpec, host: FilterHost): AccessLogger {
  const { client, options } = connect(spec, host);
  if (options.protocol === 'weir') return createWeirAccessLogger(client, spec, host);
  client.close();
  throw new FilterConfigError(`\`protocol: ${options.protocol}\` has no access logs`, { option: 'protocol' });
}

/** Until the program has spoken, and while it is down, the shares stay as they are. */
function balanceLoad(spec: FilterSpec, host: FilterHost): LoadBalancer {
  const { client, options } = connect(spec, host);
  if (options.protocol === 'weir') return createWeirLoadBalancer(client, spec, host);
  client.close();
  throw new FilterConfigError(`\`protocol: ${options.protocol}\` has no load balancing`, { option: 'protocol' });
}

function connect(spec: FilterSpec, host: FilterHost, options = readOptions(spec.options)) {
  const plugin = host.plugin(pluginSpec(spec, options, host));
  return { options, plugin, client: new PluginClient(plugin, clientOptions(options, host)) };
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
