/** What a worker of Weir and the thread of an isolated module say to each other. */
import type { FailurePolicy, FilterPhase, Json, LogLevel, SourcePosition, StreamInfo } from '../../../src/abi/index.ts';

export type Entries = (readonly [string, string])[];
export type HookName =
  | 'onRequestHeaders'
  | 'onRequestBody'
  | 'onRequestTrailers'
  | 'onResponseHeaders'
  | 'onResponseBody'
  | 'onResponseTrailers'
  | 'onComplete';

export interface ThreadData {
  file: string | undefined;
  use: string;
  directory: string;
  config: Json;
  name: string;
  listener: string;
}

/** What does not change over a stream. */
export interface StreamStart {
  routeMetadata: Readonly<Record<string, Json>>;
  virtualHostMetadata: Readonly<Record<string, Json>>;
  routeConfig: Json | undefined;
  routeSettings: Readonly<Record<string, Json>> | undefined;
}

/** What may have changed since the last message; what has not is left out. */
export interface StreamChanges {
  requestHeaders?: Entries;
  responseHeaders?: Entries;
  metadata?: Record<string, Record<string, Json>>;
}

export type ToThread =
  | {
      type: 'hook';
      stream: number;
      /** Counts the hooks of a stream: after a reply nobody waits for the one that gave it. */
      turn: number;
      hook: HookName;
      start?: StreamStart | undefined;
      changes: StreamChanges;
      info: StreamInfo;
      /** Trailers. */
      entries?: Entries | undefined;
      chunk?: Uint8Array | undefined;
      end: boolean;
    }
  | { type: 'end'; stream: number }
  | { type: 'answer'; call: number; headers: Entries; body: Uint8Array; trailers: Entries | undefined }
  | { type: 'refused-call'; call: number; message: string };

/** Methods of the stream that the module has called. */
export type Command =
  | { name: 'respond'; args: [number, Entries, Uint8Array | string, string | undefined, number | undefined] }
  | { name: 'setRequestBody' | 'setResponseBody'; args: [Uint8Array] }
  | {
      name: 'continueRequest' | 'continueResponse' | 'clearRouteCache' | 'drainConnection' | 'reset';
      args: [];
    }
  | { name: 'overrideEndpoint'; args: [string, boolean] }
  | { name: 'setReasonPhrase'; args: [string] }
  | { name: 'setMetadata'; args: [string, string, Json] };

export interface Failure {
  message: string;
  position: SourcePosition | undefined;
}

export type FromThread =
  | {
      type: 'loaded';
      files: readonly string[];
      phase: FilterPhase | undefined;
      clearsRouteCache: boolean;
      failure: FailurePolicy | undefined;
    }
  | {
      type: 'refused';
      message: string;
      path: readonly (string | number)[];
      hint: string | undefined;
      position: SourcePosition | undefined;
    }
  | {
      type: 'result';
      stream: number;
      turn: number;
      /** Hooks that the stream's filter has; with its first result. */
      hooks: readonly HookName[] | undefined;
      result: string | Uint8Array | undefined;
      changes: StreamChanges;
      trailers: Entries | undefined;
    }
  | { type: 'failed'; stream: number; turn: number; failure: Failure }
  | { type: 'command'; stream: number; command: Command; changes: StreamChanges }
  | {
      type: 'call';
      stream: number | undefined;
      call: number;
      cluster: string;
      headers: Entries;
      body: Uint8Array | undefined;
      trailers: Entries | undefined;
      timeout: number | undefined;
    }
  | { type: 'log'; stream: number | undefined; level: LogLevel; message: string }
  | { type: 'metric'; kind: 'counter' | 'gauge' | 'histogram'; name: string; set: boolean; value: number };
