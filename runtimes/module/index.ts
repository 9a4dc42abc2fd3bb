/** The runtime of dynamically loaded modules: a `.ts` or `.js` file that exports a function with the fixed name of its kind of extension. */
import {
  type AccessLogger,
  type CertificateProvider,
  FilterConfigError,
  type FilterHost,
  type FilterRuntime,
  type FilterSpec,
  type LoadBalancer,
} from '../../src/abi/index.ts';
import { createExport, createFactory } from './create.ts';
import { createIsolatedFactory } from './isolated/index.ts';
import { ModuleLoader } from './loader.ts';

export function createModuleRuntime(): FilterRuntime {
  const loader = new ModuleLoader();
  const create = <T>(spec: FilterSpec, host: FilterHost, name: string, method: string, sample: string) =>
    createExport<T>(loader, notIsolated(spec), host, name, method, sample);
  return {
    name: 'module',
    options: ['isolate'],
    sniff: ({ path }) => /\.[mc]?[tj]s$/.test(path),
    load: (spec, host) => (isIsolated(spec) ? createIsolatedFactory(spec, host) : createFactory(loader, spec, host)),
    extensions: {
      accessLogger: (spec, host) => create<AccessLogger>(spec, host, 'createAccessLogger', 'log', '(entry) => { ... }'),
      loadBalancer: (spec, host) =>
        create<LoadBalancer>(spec, host, 'createLoadBalancer', 'choose', '(endpoints, headers) => endpoints[0]'),
      certificateProvider: (spec, host) =>
        create<CertificateProvider>(
          spec,
          host,
          'createCertificateProvider',
          'provide',
          '(serverName, listener) => ({ chain, key })',
        ),
    },
  };
}

/** @throws FilterConfigError */
function isIsolated({ options }: FilterSpec): boolean {
  const { isolate } = options;
  if (isolate === undefined || isolate === 'worker') return isolate === 'worker';
  throw new FilterConfigError('`isolate` is `worker`, or is left out', { option: 'isolate' });
}

function notIsolated(spec: FilterSpec): FilterSpec {
  if (!isIsolated(spec)) return spec;
  throw new FilterConfigError('only filters can be isolated', { option: 'isolate' });
}
