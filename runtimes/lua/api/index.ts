/** The kinds of objects that scripts see; every one has the log methods, as in Envoy. */
import type { Counter, Gauge, Histogram, LogLevel } from '../../../src/abi/index.ts';
import type { ScriptBuffer, ScriptStream } from '../script-stream.ts';
import { NONE } from '../vm/values.ts';
import type { Vm } from '../vm/vm.ts';
import { bufferMethods } from './buffer.ts';
import { type KeyObjectValue, keyMethods } from './crypto.ts';
import { handleMethods, WAITING } from './handle.ts';
import { type HeadersObject, headerMethods, headerPairs } from './headers.ts';
import { Kind, type Methods, type Pairs, string } from './kind.ts';
import {
  dynamicMetadataMethods,
  dynamicMetadataPairs,
  type MetadataObject,
  metadataMethods,
  metadataPairs,
  ownMetadata,
  readOnlyDynamicMetadata,
  type StreamObject,
} from './metadata.ts';
import { type ParsedNameObject, parsedNameMethods, type SslObject, sslMethods } from './ssl.ts';
import { counterMethods, gaugeMethods, histogramMethods, type MetricObject, statsMethods } from './stats.ts';
import {
  connectionMethods,
  connectionStreamInfoMethods,
  filterStateMethods,
  streamInfoMethods,
} from './stream-info.ts';

export interface Kinds {
  handle: Kind<ScriptStream>;
  headers: Kind<HeadersObject>;
  buffer: Kind<ScriptBuffer>;
  metadata: Kind<MetadataObject>;
  dynamicMetadata: Kind<StreamObject>;
  connectionMetadata: Kind<StreamObject>;
  streamInfo: Kind<StreamObject>;
  filterState: Kind<StreamObject>;
  connection: Kind<StreamObject>;
  connectionStreamInfo: Kind<StreamObject>;
  ssl: Kind<SslObject>;
  parsedName: Kind<ParsedNameObject>;
  route: Kind<StreamObject>;
  virtualHost: Kind<StreamObject>;
  stats: Kind<StreamObject>;
  counter: Kind<MetricObject<Counter>>;
  gauge: Kind<MetricObject<Gauge>>;
  histogram: Kind<MetricObject<Histogram>>;
  publicKey: Kind<KeyObjectValue>;
}

/** The kinds refer to each other: methods make objects of other kinds. */
export function createKinds(vm: Vm): Kinds {
  const kinds = {} as Kinds;
  const kind = <T extends { run: ScriptStream }>(name: string, methods: Methods<T>, pairs?: Pairs<T>) =>
    new Kind<T>(vm, name, { ...methods, ...logMethods(({ run }: T) => run) }, pairs);
  kinds.headers = kind('header map', headerMethods, headerPairs);
  kinds.buffer = kind('buffer', bufferMethods);
  kinds.metadata = kind('metadata', metadataMethods, metadataPairs);
  kinds.dynamicMetadata = kind('dynamic metadata', dynamicMetadataMethods, dynamicMetadataPairs);
  kinds.connectionMetadata = kind('connection dynamic metadata', readOnlyDynamicMetadata, dynamicMetadataPairs);
  kinds.streamInfo = kind('stream info', streamInfoMethods(kinds));
  kinds.filterState = kind('filter state', filterStateMethods);
  kinds.connection = kind('connection', connectionMethods(kinds));
  kinds.ssl = kind('SSL connection', sslMethods(kinds));
  kinds.parsedName = kind('parsed name', parsedNameMethods);
  kinds.connectionStreamInfo = kind('connection stream info', connectionStreamInfoMethods(kinds));
  kinds.route = kind('route', {
    metadata: ({ run }: StreamObject) =>
      kinds.metadata.create({ run, values: ownMetadata(run, run.stream.routeMetadata) }, run),
  });
  kinds.virtualHost = kind('virtual host', {
    metadata: ({ run }: StreamObject) =>
      kinds.metadata.create({ run, values: ownMetadata(run, run.stream.virtualHostMetadata) }, run),
  });
  kinds.stats = kind('stats', statsMethods(kinds));
  kinds.counter = kind('counter', counterMethods);
  kinds.gauge = kind('gauge', gaugeMethods);
  kinds.histogram = kind('histogram', histogramMethods);
  kinds.publicKey = kind('public key', keyMethods);
  kinds.handle = new Kind<ScriptStream>(
    vm,
    'stream handle',
    { ...handleMethods(kinds), ...logMethods((run: ScriptStream) => run) },
    undefined,
    WAITING,
  );
  return kinds;
}

const LOG_METHODS: Readonly<Record<string, LogLevel>> = {
  logTrace: 'trace',
  logDebug: 'debug',
  logInfo: 'info',
  logWarn: 'warn',
  logErr: 'error',
  logCritical: 'critical',
};

function logMethods<T>(runOf: (self: T) => ScriptStream): Methods<T> {
  return Object.fromEntries(
    Object.entries(LOG_METHODS).map(([name, level]) => [
      name,
      (self: T, args: Parameters<typeof string>[0]) => {
        runOf(self).stream.log[level](`script log: ${string(args, 0)}`);
        return NONE;
      },
    ]),
  );
}
