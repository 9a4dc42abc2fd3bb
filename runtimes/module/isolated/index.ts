/**
 * `isolate: worker`: a module in a thread of its own. What it does with its memory and its time is its own business: over its memory, or busy for longer than
 * `limits.time`, the thread is ended and started anew; its streams get the entry's policy, nobody else notices.
 */
import { Worker } from 'node:worker_threads';
import {
  ExtensionError,
  FilterConfigError,
  type FilterHost,
  type FilterSpec,
  type FilterStatus,
  HeaderMap,
  type Stream,
  type StreamFilter,
  type StreamFilterFactory,
  type StreamInfo,
} from '../../../src/abi/index.ts';
import type { Command, Entries, FromThread, HookName, StreamChanges, ThreadData, ToThread } from './messages.ts';

const DEFAULT_MEMORY = 64 * 1024 ** 2;
/** Milliseconds between two looks at what the thread does. */
const LOOK_INTERVAL = 100;
/** Milliseconds before the second start in a row; each further one waits twice as long, up to the last. */
const FIRST_PAUSE = 100;
const LAST_PAUSE = 10_000;
const STABLE_TIME = 10_000;

type Loaded = Extract<FromThread, { type: 'loaded' }>;
type HookMessage = Omit<Extract<ToThread, { type: 'hook' }>, 'type' | 'stream'>;
type Result = FilterStatus | Uint8Array | undefined;

/** @throws FilterConfigError when the module refuses its configuration, or can't be loaded. */
export async function createIsolatedFactory(spec: FilterSpec, host: FilterHost): Promise<StreamFilterFactory> {
  const module = new IsolatedModule(spec, host);
  let loaded: Loaded;
  try {
    loaded = await module.start();
  } catch (error) {
    module.close();
    throw error;
  }
  const { phase, clearsRouteCache, failure, files } = loaded;
  for (const file of files) host.watch(file);
  return {
    ...(phase === undefined ? {} : { phase }),
    ...(failure === undefined ? {} : { failure }),
    clearsRouteCache,
    create: (stream) => new IsolatedFilter(stream, module),
    close: () => module.close(),
  };
}

class IsolatedModule {
  readonly #spec: FilterSpec;
  readonly #host: FilterHost;
  readonly #filters = new Map<number, IsolatedFilter>();
  #worker: Worker | undefined;
  /** The thread once it has loaded the module. */
  #live: Worker | undefined;
  #startedAt = 0;
  #attempts = 0;
  #reason = '';
  #watching: NodeJS.Timeout | undefined;
  #ready: Promise<Loaded> | undefined;
  #nextStream = 1;
  #closed = false;

  constructor(spec: FilterSpec, host: FilterHost) {
    this.#spec = spec;
    this.#host = host;
  }

  /** @throws FilterConfigError */
  start(): Promise<Loaded> {
    const { file, use, directory, config, limits } = this.#spec;
    const data: ThreadData = { file, use, directory, config, name: this.#host.name, listener: this.#host.listener };
    const megabytes = Math.max(16, Math.ceil((limits.memory ?? DEFAULT_MEMORY) / 1024 ** 2));
    const inCheckout = import.meta.url.endsWith('.ts');
    const url = new URL(`./thread.${inCheckout ? 'ts' : 'js'}`, import.meta.url);
    const worker = new Worker(url, {
      workerData: data,
      resourceLimits: { maxOldGenerationSizeMb: megabytes },
      // In a checkout `weir` is TypeScript for modules.
      execArgv: [...process.execArgv, ...(inCheckout ? ['--conditions=source'] : [])],
    });
    worker.unref();
    this.#worker = worker;
    this.#startedAt = performance.now();
    this.#reason = '';
    this.#ready = new Promise((resolve, reject) => {
      worker.on('message', (message: FromThread) => {
        if (message.type === 'loaded') {
          this.#live = worker;
          resolve(message);
        } else if (message.type === 'refused') reject(new FilterConfigError(message.message, message));
        else this.#onMessage(message);
      });
      worker.on('error', (error: Error & { code?: string }) => {
        this.#reason ||= error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'it is out of memory' : error.message;
      });
      worker.on('exit', () => {
        reject(new FilterConfigError(`the module's thread ended: ${this.#reason || 'by itself'}`));
        this.#onExit(worker);
      });
    });
    this.#ready.catch(() => {});
    this.#watch(worker);
    return this.#ready;
  }

  open(filter: IsolatedFilter): number {
    const id = this.#nextStream++;
    this.#filters.set(id, filter);
    return id;
  }

  end(id: number, thread: Worker | undefined): void {
    this.#filters.delete(id);
    thread?.postMessage({ type: 'end', stream: id } satisfies ToThread);
  }

  /** Has a hook called as soon as there is a thread; the filter gets its result, or the failure. */
  hook(filter: IsolatedFilter, message: () => HookMessage): void {
    const live = this.#live;
    if (live === undefined) {
      this.#ready?.then(
        () => this.hook(filter, message),
        (error: Error) => filter.fail(new ExtensionError('threw', error.message)),
      );
    } else if (filter.thread !== undefined && filter.thread !== live) {
      filter.fail(new ExtensionError('threw', 'the thread of its stream has ended'));
    } else {
      live.postMessage({ type: 'hook', stream: filter.id, ...message() } satisfies ToThread);
      filter.thread = live;
    }
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#watching);
    void this.#worker?.terminate();
  }

  /** Ends a thread that has done nothing but compute for the time of a hook. */
  #watch(worker: Worker): void {
    clearInterval(this.#watching);
    let before = worker.performance.eventLoopUtilization();
    let busy = 0;
    this.#watching = setInterval(() => {
      const now = worker.performance.eventLoopUtilization();
      const { utilization } = worker.performance.eventLoopUtilization(now, before);
      before = now;
      // While it loads, its event loop does not run yet.
      busy = utilization > 0.99 ? busy + LOOK_INTERVAL : 0;
      if (busy < this.#spec.limits.time) return;
      this.#reason = `it was busy for ${busy / 1000} s without a pause`;
      void worker.terminate();
    }, LOOK_INTERVAL);
    this.#watching.unref();
  }

  #onExit(worker: Worker): void {
    if (worker !== this.#worker || this.#closed) return;
    const reason = `the module's thread ended: ${this.#reason || 'by itself'}`;
    for (const filter of [...this.#filters.values()]) filter.fail(new ExtensionError('budget', reason));
    const lived = performance.now() - this.#startedAt;
    this.#attempts = lived > STABLE_TIME ? 0 : this.#attempts + 1;
    const pause = this.#attempts < 2 ? 0 : Math.min(LAST_PAUSE, FIRST_PAUSE * 2 ** (this.#attempts - 2));
    this.#host.log.error(`${reason}; it is started again`);
    this.#worker = undefined;
    this.#live = undefined;
    this.#ready = new Promise((resolve, reject) => {
      setTimeout(() => {
        if (this.#closed) reject(new FilterConfigError('the filter was closed'));
        else this.start().then(resolve, reject);
      }, pause).unref();
    });
    this.#ready.catch(() => {});
  }

  #send(message: ToThread): void {
    this.#live?.postMessage(message);
  }

  #onMessage(message: Exclude<FromThread, { type: 'loaded' | 'refused' }>): void {
    const { log } = this.#host;
    switch (message.type) {
      case 'result':
        this.#filters.get(message.stream)?.settle(message);
        break;
      case 'failed': {
        const { message: text, position } = message.failure;
        this.#filters.get(message.stream)?.fail(new ExtensionError('threw', text, { position }), message.turn);
        break;
      }
      case 'command':
        this.#filters.get(message.stream)?.execute(message.command, message.changes);
        break;
      case 'log':
        (message.stream === undefined ? log : (this.#filters.get(message.stream)?.stream.log ?? log))[message.level](
          message.message,
        );
        break;
      case 'metric':
        if (message.kind === 'histogram') this.#host.histogram(message.name).observe(message.value);
        else if (message.set) this.#host.gauge(message.name).set(message.value);
        else this.#host[message.kind](message.name).add(message.value);
        break;
      case 'call':
        void this.#call(message);
        break;
    }
  }

  async #call(message: Extract<FromThread, { type: 'call' }>): Promise<void> {
    const { call, stream, cluster, headers, body, trailers, timeout } = message;
    const owner = stream === undefined ? this.#host : this.#filters.get(stream)?.stream;
    if (owner === undefined) return;
    try {
      const answer = await owner.call(cluster, {
        headers: new HeaderMap(headers),
        ...(body === undefined ? {} : { body }),
        ...(trailers === undefined ? {} : { trailers: new HeaderMap(trailers) }),
        ...(timeout === undefined ? {} : { timeout }),
      });
      const given = answer.trailers === undefined ? undefined : [...answer.trailers];
      this.#send({ type: 'answer', call, headers: [...answer.headers], body: answer.body, trailers: given });
    } catch (error) {
      this.#send({ type: 'refused-call', call, message: (error as Error).message });
    }
  }
}

class IsolatedFilter implements StreamFilter {
  readonly stream: Stream;
  readonly #module: IsolatedModule;
  readonly id: number;
  /** The thread that has its filter, from the first hook on. */
  thread: Worker | undefined;
  #hooks: readonly HookName[] | undefined;
  #pending: { resolve: (result: Result) => void; reject: (error: Error) => void } | undefined;
  #trailers: HeaderMap | undefined;
  #turn = 0;
  readonly #synced = { request: -1, response: -1 };

  constructor(stream: Stream, module: IsolatedModule) {
    this.stream = stream;
    this.#module = module;
    this.id = module.open(this);
  }

  onRequestHeaders(_: HeaderMap, end: boolean) {
    return this.#ask('onRequestHeaders', end) as Promise<FilterStatus | undefined> | undefined;
  }
  onRequestBody(chunk: Uint8Array, end: boolean) {
    return this.#ask('onRequestBody', end, chunk);
  }
  onRequestTrailers(trailers: HeaderMap) {
    return this.#ask('onRequestTrailers', true, undefined, trailers) as Promise<FilterStatus | undefined> | undefined;
  }
  onResponseHeaders(_: HeaderMap, end: boolean) {
    return this.#ask('onResponseHeaders', end) as Promise<FilterStatus | undefined> | undefined;
  }
  onResponseBody(chunk: Uint8Array, end: boolean) {
    return this.#ask('onResponseBody', end, chunk);
  }
  onResponseTrailers(trailers: HeaderMap) {
    return this.#ask('onResponseTrailers', true, undefined, trailers) as Promise<FilterStatus | undefined> | undefined;
  }
  onComplete(): void {
    this.#ask('onComplete', true)?.catch(() => {});
  }
  onDestroy(): void {
    this.#module.end(this.id, this.thread);
  }

  settle({ turn, hooks, result, changes, trailers }: Extract<FromThread, { type: 'result' }>): void {
    this.#hooks ??= hooks;
    this.#take(changes);
    if (turn !== this.#turn) return;
    if (trailers !== undefined && this.#trailers !== undefined) replace(this.#trailers, trailers);
    this.#pending?.resolve(result as Result);
    this.#pending = undefined;
  }

  fail(error: ExtensionError, turn = this.#turn): void {
    if (turn !== this.#turn) return;
    this.#pending?.reject(error);
    this.#pending = undefined;
  }

  execute(command: Command, changes: StreamChanges): void {
    this.#take(changes);
    try {
      if (command.name === 'setMetadata') this.stream.metadata.set(...command.args);
      else (this.stream[command.name] as (...args: unknown[]) => void)(...command.args);
    } catch (error) {
      if (this.#pending === undefined) this.stream.log.error((error as Error).message);
      else
        this.fail(error instanceof ExtensionError ? error : new ExtensionError('contract', (error as Error).message));
    }
  }

  #ask(hook: HookName, end: boolean, chunk?: Uint8Array, trailers?: HeaderMap): Promise<Result> | undefined {
    if (this.#hooks !== undefined && !this.#hooks.includes(hook)) return undefined;
    this.#trailers = trailers;
    this.#turn++;
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#module.hook(this, () => this.#message(hook, end, chunk, trailers));
    });
  }

  #message(hook: HookName, end: boolean, chunk: Uint8Array | undefined, trailers: HeaderMap | undefined): HookMessage {
    const { info, routeMetadata, virtualHostMetadata, routeConfig, routeSettings } = this.stream;
    const start = { routeMetadata, virtualHostMetadata, routeConfig, routeSettings };
    return {
      turn: this.#turn,
      hook,
      end,
      chunk,
      entries: trailers === undefined ? undefined : [...trailers],
      start: this.thread === undefined ? start : undefined,
      info: plain(info),
      changes: this.#changes(),
    };
  }

  #changes(): StreamChanges {
    const { requestHeaders, responseHeaders, metadata } = this.stream;
    const changes: StreamChanges = {};
    if (requestHeaders.revision !== this.#synced.request) {
      this.#synced.request = requestHeaders.revision;
      changes.requestHeaders = [...requestHeaders];
    }
    if (responseHeaders !== undefined && responseHeaders.revision !== this.#synced.response) {
      this.#synced.response = responseHeaders.revision;
      changes.responseHeaders = [...responseHeaders];
    }
    const names = metadata.namespaces();
    if (names.length > 0) {
      changes.metadata = Object.fromEntries(names.map((name) => [name, { ...metadata.get(name) }]));
    }
    return changes;
  }

  #take({ requestHeaders, responseHeaders }: StreamChanges): void {
    const { stream } = this;
    if (requestHeaders !== undefined) {
      replace(stream.requestHeaders, requestHeaders);
      this.#synced.request = stream.requestHeaders.revision;
    }
    if (responseHeaders !== undefined && stream.responseHeaders !== undefined) {
      replace(stream.responseHeaders, responseHeaders);
      this.#synced.response = stream.responseHeaders.revision;
    }
  }
}

function replace(headers: HeaderMap, entries: Entries): void {
  for (const name of new Set([...headers].map(([key]) => key))) headers.remove(name);
  for (const [name, value] of entries) headers.add(name, value);
}

/** The facts of a stream as plain values: a thread gets a copy. */
function plain(info: StreamInfo): StreamInfo {
  return {
    id: info.id,
    listener: info.listener,
    connectionId: info.connectionId,
    protocol: info.protocol,
    tls: info.tls === undefined ? undefined : tlsOf(info.tls),
    downstreamRemoteAddress: info.downstreamRemoteAddress,
    downstreamLocalAddress: info.downstreamLocalAddress,
    startTime: info.startTime,
    duration: info.duration,
    virtualHost: info.virtualHost,
    route: info.route,
    cluster: info.cluster,
    endpoint: info.endpoint,
    upstreamLocalAddress: info.upstreamLocalAddress,
    responseCode: info.responseCode,
    responseCodeDetails: info.responseCodeDetails,
    responseFlags: [...info.responseFlags],
    bytesReceived: info.bytesReceived,
    bytesSent: info.bytesSent,
  };
}

function tlsOf(tls: NonNullable<StreamInfo['tls']>): NonNullable<StreamInfo['tls']> {
  const { version, cipher, cipherId, serverName, sessionId, localCertificate, peerCertificate, peerChain } = tls;
  const { peerVerified } = tls;
  return {
    version,
    cipher,
    cipherId,
    serverName,
    sessionId,
    localCertificate,
    peerCertificate,
    peerChain,
    peerVerified,
  };
}
