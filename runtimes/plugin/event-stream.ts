/** A gRPC stream on which every event gets one answer, in order: what the streaming protocols of plugins have in common. */
import type { Caller, CallHandle, Method } from './caller.ts';
import { GrpcCode, GrpcError, type GrpcEvents } from './grpc-connection.ts';

interface Pending {
  resolve: (answer: Buffer | undefined) => void;
  reject: (error: GrpcError) => void;
  timer: NodeJS.Timeout;
  sentAt: number;
}

export class EventStream implements GrpcEvents {
  readonly #client: Caller;
  readonly #method: Method;
  readonly #pending: Pending[] = [];
  #call: CallHandle | undefined;
  /** Events that wait for the call to be opened. */
  #queued: { bytes: Uint8Array; end: boolean }[] | undefined;
  /** The first event, until it is answered: when its process dies before, it is sent to another. */
  #first: { bytes: Uint8Array; end: boolean } | undefined;
  #sent = 0;
  #retries: number;
  #failure: GrpcError | undefined;
  #ended = false;

  constructor(client: Caller, method: Method) {
    this.#client = client;
    this.#method = method;
    this.#retries = client.options.retries;
  }

  /**
   * Sends an event and waits for its answer; `undefined` when the other side ended the call in order instead.
   * @param end no event follows.
   * @throws GrpcError
   */
  ask(bytes: Uint8Array, end: boolean, timeout = this.#client.options.timeout): Promise<Buffer | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        if (this.#failure.code === GrpcCode.ok) resolve(undefined);
        else reject(this.#failure);
        return;
      }
      const late = () => this.#fail(new GrpcError(GrpcCode.deadline, `no answer (within ${timeout} ms)`));
      this.#pending.push({ resolve, reject, timer: setTimeout(late, timeout), sentAt: performance.now() });
      this.tell(bytes, end);
    });
  }

  /** Sends an event that has no answer. */
  tell(bytes: Uint8Array, end: boolean): void {
    if (this.#failure !== undefined || this.#ended) return;
    this.#ended = end;
    const event = { bytes, end };
    if (this.#sent++ === 0) {
      this.#first = event;
      this.#open();
    } else {
      this.#first = undefined;
    }
    if (this.#queued !== undefined) this.#queued.push(event);
    else this.#call?.send(bytes, end);
  }

  /** No event follows. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call?.end();
  }

  /** Nobody waits for an answer any more. */
  close(): void {
    if (this.#pending.length > 0 || this.#queued !== undefined) {
      this.#fail(new GrpcError(GrpcCode.cancelled, 'the stream has ended'));
    } else {
      this.end();
    }
  }

  onMessage(message: Buffer): void {
    this.#first = undefined;
    const pending = this.#pending.shift();
    if (pending === undefined) {
      this.#fail(new GrpcError(GrpcCode.internal, 'it sent an answer that nobody had asked for'));
      return;
    }
    clearTimeout(pending.timer);
    this.#client.options.duration.observe((performance.now() - pending.sentAt) / 1000);
    if (this.#call?.process !== undefined) this.#client.note(this.#call.process, true);
    pending.resolve(message);
  }

  onEnd(error: GrpcError | undefined): void {
    this.#call = undefined;
    const lost = error?.code === GrpcCode.unavailable && this.#first !== undefined;
    if (lost && this.#retries-- > 0 && this.#failure === undefined) {
      const again = this.#first as { bytes: Uint8Array; end: boolean };
      this.#open();
      if (this.#queued !== undefined) this.#queued.push(again);
      else (this.#call as CallHandle | undefined)?.send(again.bytes, again.end);
      return;
    }
    this.#fail(error ?? new GrpcError(GrpcCode.ok, 'it ended the stream'));
  }

  #open(): void {
    this.#call = this.#client.openNow(this.#method, this);
    if (this.#call !== undefined) return;
    this.#queued = [];
    this.#client.open(this.#method, this).then(
      (call) => {
        const queued = this.#queued ?? [];
        this.#queued = undefined;
        this.#call = call;
        if (this.#failure !== undefined) call.cancel(this.#failure);
        for (const { bytes, end } of queued) call.send(bytes, end);
      },
      (error: GrpcError) => this.#fail(error),
    );
  }

  #fail(error: GrpcError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    const call = this.#call;
    this.#call = undefined;
    const late = error.code === GrpcCode.deadline && this.#pending.length > 0;
    if (call?.process !== undefined && late) this.#client.note(call.process, false);
    const inOrder = error.code === GrpcCode.cancelled || error.code === GrpcCode.ok;
    if (this.#pending.length > 0 && !inOrder) this.#client.options.failures.add();
    for (const { timer, resolve, reject } of this.#pending.splice(0)) {
      clearTimeout(timer);
      if (error.code === GrpcCode.ok) resolve(undefined);
      else reject(error);
    }
    call?.cancel(error);
  }
}
