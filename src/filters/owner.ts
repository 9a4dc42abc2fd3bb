/** What the filters of a stream need from the stream itself. The protocol's side (`http/`) implements it. */
import type { CallRequest, CallResponse, DynamicMetadata, HeaderMap, Json, StreamInfo } from '../abi/index.ts';
import type { ErrorCode } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { Route } from '../routing/route.ts';
import type { TimerWheel } from '../timers.ts';

/** An answer that Weir gives itself. */
export interface LocalReply {
  status: number;
  headers: Iterable<readonly [string, string]>;
  body: Uint8Array | string;
  /** For gRPC requests; by default the one that stands for `status`. */
  grpcStatus?: number | undefined;
  /** Why, for the access log. */
  details: string;
  /** The failure behind it, when there is one; its flag goes to the access log. */
  code?: ErrorCode;
}

export type Direction = 'request' | 'response';

export interface StreamOwner {
  readonly info: StreamInfo;
  readonly logger: Logger;
  readonly wheel: TimerWheel;
  readonly metadata: DynamicMetadata;
  readonly filterState: Map<string, unknown>;
  readonly requestHeaders: HeaderMap;
  readonly responseHeaders: HeaderMap | undefined;
  readonly route: Route | undefined;
  readonly routeMetadata: Readonly<Record<string, Json>>;
  readonly virtualHostMetadata: Readonly<Record<string, Json>>;
  /** The client may see why a filter failed. */
  readonly debugErrors: boolean;
  /** Bytes of one body that filters may keep. */
  readonly bufferLimit: number;

  /** Finds the route of the request as its headers are now. */
  matchRoute(): void;
  /** Finds the endpoint; false when the stream was answered instead (no route, direct response, no endpoint). */
  chooseEndpoint(): boolean;
  /** The endpoint that `chooseEndpoint` is to take. */
  overrideEndpoint(address: string, strict: boolean): void;
  /** The client's connection ends with this stream. */
  drainConnection(): void;
  setReasonPhrase(phrase: string): void;
  sendRequestHeaders(headers: HeaderMap, end: boolean): void;
  sendRequestBody(chunk: Uint8Array, end: boolean): void;
  sendRequestTrailers(trailers: HeaderMap): void;
  sendResponseHeaders(headers: HeaderMap, end: boolean): void;
  sendResponseBody(chunk: Uint8Array, end: boolean): void;
  sendResponseTrailers(trailers: HeaderMap): void;
  /** Gives up the upstream's part and makes the reply's headers the response's. */
  beginLocalReply(reply: LocalReply): { headers: HeaderMap; body: Uint8Array };
  /** Whether the response's head is on its way to the client. */
  readonly responseStarted: boolean;
  /** Ends the stream without an answer. */
  reset(code: ErrorCode): void;
  /** Stops reading that side's body, once per call, until `resumeReading`. */
  pauseReading(direction: Direction): void;
  resumeReading(direction: Direction): void;
  /** The request's body is wanted now: a client that waits for `100 Continue` gets it. */
  wantRequestBody(): void;
  call(cluster: string, request: CallRequest): Promise<CallResponse>;
}
