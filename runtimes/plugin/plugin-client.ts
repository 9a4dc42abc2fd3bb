/** The calls of one entry: each goes to the process with the fewest, waits while there is none, and is sent again when its process died. */
import type { Counter, FilterHost, Histogram, Plugin, PluginProcess } from '../../src/abi/index.ts';
import type { Caller, Method } from './caller.ts';
import { type GrpcCall, GrpcCode, GrpcConnection, GrpcError, type GrpcEvents } from './grpc-connection.ts';
import type { PluginOptions } from './options.ts';

/** Milliseconds until a lost connection to a process that lives is opened again; each further try waits twice as long. */
const FIRST_PAUSE = 20;
const LAST_PAUSE = 1000;
/** Calls that may wait for a process. */
const MAX_WAITING = 4096;

export interface ClientOptions {
  /** Milliseconds for one call, waiting and sending again included. */
  readonly timeout: number;
  /** How often a call is sent again when its process died before it answered. */
  readonly retries: number;
  readonly maxMessage: number;
  /** Seconds that calls took. */
  readonly duration: Histogram;
  readonly failures: Counter;
}

interface Line {
  process: PluginProcess;
  connection: GrpcConnection | undefined;
  attempts: number;
  timer: NodeJS.Timeout | undefined;
  /** Calls to it were not answered in their time. */
  missed: boolean;
}

interface Waiting {
  resolve: (connection: GrpcConnection) => void;
  reject: (error: GrpcError) => void;
}

export class PluginClient implements Caller {
  readonly options: ClientOptions;
  readonly #plugin: Plugin;
  readonly #lines = new Map<number, Line>();
  readonly #waiting = new Set<Waiting>();
  #closed = false;

  constructor(plugin: Plugin, options: ClientOptions) {
    this.#plugin = plugin;
    this.options = options;
    plugin.onChange(() => this.#follow());
    this.#follow();
  }

  /** A unary call. @throws GrpcError */
  call(path: string, message: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      new UnaryCall(this, path, message, resolve, reject).attempt();
    });
  }

  /** Why no process takes calls. */
  get problem(): string {
    return this.#plugin.problem;
  }

  /**
   * A stream, opened as soon as a process takes calls. It is not sent again and ends by nobody's clock.
   * @throws GrpcError when there is none within the timeout.
   */
  open(method: Method, events: GrpcEvents): Promise<GrpcCall> {
    const path = pathOf(method);
    return new Promise((resolve, reject) => {
      let over = false;
      const timer = setTimeout(() => {
        over = true;
        reject(new GrpcError(GrpcCode.deadline, `none of its processes takes calls: ${this.#plugin.problem}`));
      }, this.options.timeout);
      this.withConnection({
        resolve(connection) {
          clearTimeout(timer);
          if (!over) resolve(connection.open(path, undefined, events));
        },
        reject,
      });
    });
  }

  /** The connection for a stream, when one can be had without waiting. */
  openNow(method: Method, events: GrpcEvents): GrpcCall | undefined {
    return this.#pick()?.open(pathOf(method), undefined, events);
  }

  close(): void {
    this.#closed = true;
    for (const line of this.#lines.values()) this.#drop(line);
    this.#lines.clear();
    for (const waiting of this.#waiting) waiting.reject(new GrpcError(GrpcCode.cancelled, 'the filter was closed'));
    this.#waiting.clear();
    this.#plugin.close();
  }

  /** Gives a connection, at once when there is one. */
  withConnection(waiting: Waiting): void {
    const connection = this.#pick();
    if (connection !== undefined) waiting.resolve(connection);
    else if (this.#waiting.size < MAX_WAITING) this.#waiting.add(waiting);
    else waiting.reject(new GrpcError(GrpcCode.resource, 'too many calls wait for it'));
  }

  /** It waits no longer. */
  forget(waiting: Waiting): void {
    this.#waiting.delete(waiting);
  }

  #pick(): GrpcConnection | undefined {
    let best: GrpcConnection | undefined;
    for (const { connection } of this.#lines.values()) {
      if (connection?.isUp === true && (best === undefined || connection.active < best.active)) best = connection;
    }
    return best;
  }

  /** Whether a process has answered in its time. */
  note(process: PluginProcess, answered: boolean): void {
    const line = this.#lines.get(process.id);
    if (line === undefined || (answered && !line.missed)) return;
    line.missed = !answered;
    this.#plugin.report(process.id, answered);
  }

  /** Connects to processes that are new, and lets go of those that are gone. */
  #follow(): void {
    if (this.#closed) return;
    const processes = new Map(this.#plugin.processes.map((process) => [process.id, process]));
    for (const [id, line] of this.#lines) {
      if (processes.has(id)) continue;
      this.#lines.delete(id);
      this.#drop(line);
    }
    for (const process of processes.values()) {
      if (this.#lines.has(process.id)) continue;
      const line: Line = { process, connection: undefined, attempts: 0, timer: undefined, missed: false };
      this.#lines.set(process.id, line);
      this.#connect(line);
    }
  }

  #connect(line: Line): void {
    const onUp = () => {
      line.attempts = 0;
      for (const waiting of [...this.#waiting]) {
        this.#waiting.delete(waiting);
        waiting.resolve(line.connection as GrpcConnection);
      }
    };
    const onDown = () => {
      line.connection = undefined;
      if (this.#closed || this.#lines.get(line.process.id) !== line) return;
      const pause = Math.min(LAST_PAUSE, FIRST_PAUSE * 2 ** line.attempts++);
      line.timer = setTimeout(() => this.#connect(line), pause);
    };
    line.connection = new GrpcConnection(line.process, this.options.maxMessage, onUp, onDown);
  }

  #drop(line: Line): void {
    clearTimeout(line.timer);
    line.connection?.close();
  }
}

/** One unary call: waits for a process, is sent again when that dies, and ends at its time. A class, since closures for each call cost more. */
class UnaryCall implements GrpcEvents, Waiting {
  readonly #client: PluginClient;
  readonly #path: string;
  readonly #message: Uint8Array;
  readonly #resolve: (answer: Buffer) => void;
  readonly #reject: (error: GrpcError) => void;
  readonly #start = performance.now();
  readonly #timer: NodeJS.Timeout;
  #retries: number;
  #running: GrpcCall | undefined;
  #answer: Buffer | undefined;
  #over = false;

  constructor(
    client: PluginClient,
    path: string,
    message: Uint8Array,
    resolve: (answer: Buffer) => void,
    reject: (error: GrpcError) => void,
  ) {
    this.#client = client;
    this.#path = path;
    this.#message = message;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#retries = client.options.retries;
    this.#timer = setTimeout(onLate, client.options.timeout, this);
  }

  attempt(): void {
    this.#running = undefined;
    this.#client.withConnection(this);
  }

  resolve(connection: GrpcConnection): void {
    if (this.#over) return;
    this.#answer = undefined;
    const left = this.#client.options.timeout - (performance.now() - this.#start);
    this.#running = connection.open(this.#path, left, this);
    this.#running.send(this.#message, true);
  }

  reject(error: GrpcError): void {
    this.#finish(error);
  }

  onMessage(bytes: Buffer): void {
    this.#answer = bytes;
  }

  onEnd(error: GrpcError | undefined): void {
    if (this.#over) return;
    const { code } = error ?? { code: GrpcCode.ok };
    if (code === GrpcCode.unavailable) {
      if (this.#retries-- > 0) this.attempt();
      else this.#finish(error);
      return;
    }
    if (this.#running !== undefined) this.#client.note(this.#running.process, true);
    this.#finish(
      error ?? (this.#answer === undefined ? new GrpcError(GrpcCode.internal, 'it answered nothing') : undefined),
    );
  }

  late(): void {
    const { options, problem } = this.#client;
    if (this.#running !== undefined) this.#client.note(this.#running.process, false);
    const why = this.#running === undefined ? `none of its processes takes calls: ${problem}` : 'no answer';
    const error = new GrpcError(GrpcCode.deadline, `${why} (within ${options.timeout} ms)`);
    this.#finish(error);
    if (this.#running === undefined) this.#client.forget(this);
    else this.#running.cancel(error);
  }

  #finish(error: GrpcError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    const { duration, failures } = this.#client.options;
    duration.observe((performance.now() - this.#start) / 1000);
    if (error === undefined) {
      this.#resolve(this.#answer as Buffer);
      return;
    }
    failures.add();
    this.#reject(error);
  }
}

function onLate(call: UnaryCall): void {
  call.late();
}

function pathOf({ service, method }: Method): string {
  return `/${service}/${method}`;
}

/** What an entry says of its calls. */
export function clientOptions(options: PluginOptions, host: FilterHost): ClientOptions {
  return {
    timeout: options.timeout,
    retries: options.retries,
    maxMessage: options.max_message_size,
    duration: host.histogram('plugin_call_seconds'),
    failures: host.counter('plugin_failed_calls'),
  };
}
