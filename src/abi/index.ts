/** Weir's ABI: all that a filter, a factory or a runtime needs to know. It imports nothing. */

/** A module may export it as `abiVersion`; one that was written for another version is refused by name. It changes when old filters stop working. */
export const ABI_VERSION = 1;

export type { AccessLogEntry, AccessLogger, CreateAccessLogger } from './access-log.ts';
export { ExtensionError, type ExtensionErrorCode, FilterConfigError, type SourcePosition } from './errors.ts';
export {
  type BodyHookResult,
  type Counter,
  type CreateStreamFilterFactory,
  type Extensions,
  type FailurePolicy,
  type FilterHost,
  type FilterLimits,
  type FilterPhase,
  type FilterRuntime,
  type FilterSpec,
  FilterStatus,
  type Gauge,
  type GrpcHandler,
  type GrpcRequest,
  type GrpcStream,
  type Histogram,
  type HookResult,
  type SharedData,
  type SharedEntry,
  type SniffedFile,
  type StreamFilter,
  type StreamFilterFactory,
} from './filter.ts';
export { HeaderMap, InvalidHeaderError } from './headers.ts';
export type { CreateLoadBalancer, LoadBalancer, LoadBalancerEndpoint } from './load-balancer.ts';
export { occasionally } from './occasionally.ts';
export type { Plugin, PluginProcess, PluginResource, PluginSpec } from './plugin.ts';
export type {
  CallRequest,
  CallResponse,
  DynamicMetadata,
  Json,
  Log,
  LogLevel,
  Stream,
  StreamInfo,
} from './stream.ts';
export type {
  Certificate,
  CertificateInfo,
  CertificateProvider,
  CreateCertificateProvider,
  TlsInfo,
} from './tls.ts';
export { parseDuration, parseSize } from './units.ts';
