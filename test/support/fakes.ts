/** Hosts and streams that do nothing, for programs that call a runtime without a proxy around it. */
import { ExtensionError, type FilterHost, HeaderMap, type Stream } from '../../src/abi/index.ts';
import { createSharedMemory, SharedStore } from '../../src/shared-data.ts';

const silent = () => {};
const log = {
  isEnabled: () => true,
  trace: silent,
  debug: silent,
  info: silent,
  warn: silent,
  error: silent,
  critical: silent,
};
const metric = { value: 0, add: silent, set: silent, observe: silent };
/** A host whose log is silent and whose calls never end. */
export function fakeHost(): FilterHost {
  const store = new SharedStore(createSharedMemory(1024 * 1024));
  return {
    name: 'fuzz',
    listener: 'fuzz',
    log,
    counter: () => metric,
    gauge: () => metric,
    histogram: () => metric,
    shared: (name) => store.namespace(name),
    call: (cluster) => {
      if (cluster !== 'app') throw new ExtensionError('contract', 'unknown cluster');
      return new Promise(() => {});
    },
    grpc: (cluster) => {
      if (cluster !== 'app') throw new ExtensionError('contract', 'unknown cluster');
      return { send: silent, end: silent, cancel: silent };
    },
    plugin: () => {
      throw new Error('no plugins here');
    },
    watch: silent,
  };
}
/** A stream with a request and a response; timers never run. */
export function fakeStream(): Stream {
  const requestHeaders = new HeaderMap([
    [':method', 'GET'],
    [':path', '/a?b=1'],
    [':authority', 'a.test'],
    [':scheme', 'http'],
    ['x-a', '1'],
  ]);
  const metadata = new Map<string, Record<string, never>>();
  return {
    info: {
      id: 1,
      listener: 'l',
      connectionId: 1,
      tls: undefined,
      upstreamLocalAddress: '',
      protocol: 'HTTP/1.1',
      downstreamRemoteAddress: '127.0.0.1:1',
      downstreamLocalAddress: '127.0.0.1:2',
      startTime: 0,
      duration: 0,
      virtualHost: 'v',
      route: 'r',
      cluster: 'c',
      endpoint: '',
      responseCode: 200,
      responseCodeDetails: '',
      responseFlags: [],
      bytesReceived: 0,
      bytesSent: 0,
    },
    requestHeaders,
    responseHeaders: new HeaderMap([[':status', '200']]),
    requestBody: new Uint8Array([104, 105, 0, 255]),
    responseBody: new Uint8Array([120]),
    metadata: {
      get: (name) => metadata.get(name),
      namespaces: () => [...metadata.keys()],
      set: (name, key, value) => void metadata.set(name, { ...metadata.get(name), [key]: value as never }),
    },
    filterState: new Map(),
    routeMetadata: {},
    virtualHostMetadata: {},
    routeConfig: undefined,
    routeSettings: undefined,
    log,
    setRequestBody: silent,
    setResponseBody: silent,
    continueRequest: silent,
    continueResponse: silent,
    respond: silent,
    clearRouteCache: silent,
    overrideEndpoint: silent,
    drainConnection: silent,
    setReasonPhrase: silent,
    reset: silent,
    call: async () => ({
      headers: new HeaderMap([[':status', '200']]),
      body: new Uint8Array([111, 107]),
      trailers: undefined,
    }),
    setTimer: () => silent,
  };
}
