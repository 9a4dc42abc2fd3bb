/** The thread of one isolated module: loads it, makes its filters, calls their hooks. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import {
  type CallRequest,
  type CallResponse,
  type Counter,
  type FilterHost,
  FilterStatus,
  HeaderMap,
  type StreamFilter,
  type StreamFilterFactory,
} from '../../../src/abi/index.ts';
import { createFactory, positionOf } from '../create.ts';
import { ModuleLoader } from '../loader.ts';
import type { FromThread, HookName, ThreadData, ToThread } from './messages.ts';
import { IsolatedStream, logTo } from './stream.ts';

const port = parentPort as MessagePort;
const data = workerData as ThreadData;
const send = (message: FromThread) => port.postMessage(message);
const HOOKS: readonly HookName[] = [
  'onRequestHeaders',
  'onRequestBody',
  'onRequestTrailers',
  'onResponseHeaders',
  'onResponseBody',
  'onResponseTrailers',
  'onComplete',
];

interface Running {
  stream: IsolatedStream;
  filter: StreamFilter;
}

const streams = new Map<number, Running>();
const calls = new Map<number, { resolve: (response: CallResponse) => void; reject: (error: Error) => void }>();
let nextCall = 1;
const files = new Set<string>();

function call(stream: number | undefined, cluster: string, request: CallRequest): Promise<CallResponse> {
  const id = nextCall++;
  return new Promise((resolve, reject) => {
    calls.set(id, { resolve, reject });
    const { headers, body, trailers, timeout } = request;
    const sent = { headers: [...headers], body, trailers: trailers === undefined ? undefined : [...trailers], timeout };
    send({ type: 'call', stream, call: id, cluster, ...sent });
  });
}

/** Counts here for `value`, and in the worker for everybody else. */
function metric(kind: 'counter' | 'gauge' | 'histogram', name: string) {
  const own = {
    value: 0,
    add(amount = 1) {
      own.value += amount;
      send({ type: 'metric', kind, name, set: false, value: amount });
    },
    set(value: number) {
      own.value = value;
      send({ type: 'metric', kind, name, set: true, value });
    },
    observe(value: number) {
      send({ type: 'metric', kind, name, set: false, value });
    },
  };
  return own as Counter & { set(value: number): void; observe(value: number): void };
}

function notHere(what: string): never {
  throw new Error(`a module with \`isolate: worker\` has no ${what}`);
}

const host: FilterHost = {
  name: data.name,
  listener: data.listener,
  log: logTo(send, undefined),
  counter: (name) => metric('counter', name),
  gauge: (name) => metric('gauge', name),
  histogram: (name) => metric('histogram', name),
  shared: () => notHere('shared data'),
  call: (cluster, request) => call(undefined, cluster, request),
  grpc: () => notHere('gRPC calls'),
  plugin: () => notHere('plugins'),
  watch: (file) => void files.add(file),
};

async function load(): Promise<StreamFilterFactory | undefined> {
  try {
    const factory = await createFactory(new ModuleLoader(), data, host);
    const { phase, clearsRouteCache = false, failure } = factory;
    send({ type: 'loaded', files: [...files], phase, clearsRouteCache, failure });
    return factory;
  } catch (error) {
    const { message, path = [], hint, position } = error as Error & { path?: []; hint?: string; position?: undefined };
    send({ type: 'refused', message, path, hint, position });
    return undefined;
  }
}

async function onHook(factory: StreamFilterFactory, message: Extract<ToThread, { type: 'hook' }>): Promise<void> {
  const { stream: id, turn, hook, start, changes, info, entries, chunk, end } = message;
  try {
    let running = streams.get(id);
    const isNew = running === undefined;
    if (running === undefined) {
      const stream = new IsolatedStream(id, start as NonNullable<typeof start>, info, send, call);
      stream.update(info, changes);
      running = { stream, filter: factory.create(stream) };
      streams.set(id, running);
    } else {
      running.stream.update(info, changes);
    }
    const { stream, filter } = running;
    const trailers = entries === undefined ? undefined : new HeaderMap(entries);
    const before = trailers?.revision;
    const result = await run(stream, filter, hook, chunk, trailers, end);
    send({
      type: 'result',
      stream: id,
      turn,
      hooks: isNew ? HOOKS.filter((name) => filter[name] !== undefined) : undefined,
      result: result ?? undefined,
      changes: stream.changes(),
      trailers: trailers === undefined || trailers.revision === before ? undefined : [...trailers],
    });
  } catch (error) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    send({ type: 'failed', stream: id, turn, failure: { message: text, position: positionOf(error) } });
  }
}

async function run(
  stream: IsolatedStream,
  filter: StreamFilter,
  hook: HookName,
  chunk: Uint8Array | undefined,
  trailers: HeaderMap | undefined,
  end: boolean,
): Promise<string | Uint8Array | undefined | void> {
  switch (hook) {
    case 'onRequestHeaders':
      return filter.onRequestHeaders?.(stream.requestHeaders, end);
    case 'onResponseHeaders':
      return filter.onResponseHeaders?.(stream.responseHeaders as HeaderMap, end);
    case 'onRequestTrailers':
      return filter.onRequestTrailers?.(trailers as HeaderMap);
    case 'onResponseTrailers':
      return filter.onResponseTrailers?.(trailers as HeaderMap);
    case 'onComplete':
      return filter.onComplete?.(stream.info);
    case 'onRequestBody':
    case 'onResponseBody': {
      const side = hook === 'onRequestBody' ? 'requestBody' : 'responseBody';
      const piece = chunk as Uint8Array;
      stream[side] = Buffer.concat([stream[side], piece]);
      const result = await filter[hook]?.(piece, end);
      if (result !== FilterStatus.StopAndBuffer && result !== FilterStatus.Stop) stream[side] = new Uint8Array(0);
      return result;
    }
  }
}

const factory = await load();
if (factory !== undefined) {
  port.on('message', (message: ToThread) => {
    switch (message.type) {
      case 'hook':
        void onHook(factory, message);
        break;
      case 'end': {
        const running = streams.get(message.stream);
        streams.delete(message.stream);
        running?.stream.end();
        running?.filter.onDestroy?.();
        break;
      }
      case 'answer': {
        const { call: id, headers, body, trailers } = message;
        calls.get(id)?.resolve({
          headers: new HeaderMap(headers),
          body,
          trailers: trailers === undefined ? undefined : new HeaderMap(trailers),
        });
        calls.delete(id);
        break;
      }
      case 'refused-call':
        calls.get(message.call)?.reject(new Error(message.message));
        calls.delete(message.call);
        break;
    }
  });
}
