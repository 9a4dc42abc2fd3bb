/** One hook of a script on one stream: what it waits for, and how long the objects that it got live. */
import { ExtensionError, type HeaderMap, type Stream } from '../../src/abi/index.ts';
import type { Wait, Waits } from './api/kind.ts';
import type { Activation, Hook } from './engine.ts';
import { ScriptFailure } from './engine.ts';
import type { LuaScript } from './script.ts';
import { NativeError } from './vm/errors.ts';
import type { HostObject, Results, Scope } from './vm/values.ts';

/** A body, or a piece of it, that a script may replace. */
export interface ScriptBuffer {
  run: ScriptStream;
  bytes: Uint8Array;
  replaced: boolean;
  /** It is the whole body: its length is the header's. */
  whole: boolean;
}

export type Direction = 'request' | 'response';

export class ScriptStream implements Scope {
  readonly script: LuaScript;
  readonly stream: Stream;
  readonly direction: Direction;
  /** Counts up when everything but the handle dies: where the script waits, and at the end. */
  epoch = 0;
  /** The handle lives while its own hook runs: not while others do, and not when the hook is over. */
  readonly handleScope: Scope = { epoch: 0 };
  waits: 'nothing' | Waits = 'nothing';
  /** The call that it waits for. */
  pending: Promise<() => Results> | undefined;
  headers!: HeaderMap;
  /** The headers can't be changed any more. */
  headersContinued = false;
  /** All of the body has come. */
  ended = false;
  /** They have come. */
  trailers: HeaderMap | undefined;
  /** Body pieces have gone past the script. */
  bodyPassed = false;
  body: ScriptBuffer | undefined;
  /** The object of `body`, while it lives. */
  bodyObject: HostObject | undefined;
  responded = false;
  readonly #activation: Activation;
  readonly #started = performance.now();
  #iterating: object[] = [];
  #finished = true;

  constructor(script: LuaScript, stream: Stream, direction: Direction, hook: Hook) {
    this.script = script;
    this.stream = stream;
    this.direction = direction;
    this.#activation = hook.begin();
  }

  /** A loop over `object` (headers, metadata) begins: until its end the object can't be changed. @throws NativeError */
  beginIteration(object: object): void {
    if (this.isIterating(object)) throw new NativeError('cannot create a second iterator before completing the first');
    this.#iterating.push(object);
  }

  isIterating(object: object): boolean {
    return this.#iterating.includes(object);
  }

  endIteration(object: object): void {
    this.#iterating = this.#iterating.filter((each) => each !== object);
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Milliseconds that are left of the time that the entry gives to one hook. */
  get timeLeft(): number {
    return Math.max(0, this.script.timeLimit - (performance.now() - this.#started));
  }

  /** Calls the hook. @throws ExtensionError */
  start(): void {
    this.#finished = false;
    this.script.executions?.add();
    const { handle } = this.script.api;
    this.#run(() => this.#activation.start(handle.create(this, this.handleScope)));
  }

  /** Goes on with what it waited for. @throws ExtensionError */
  resume(results: () => Results): void {
    if (this.#finished) return;
    this.waits = 'nothing';
    this.handleScope.epoch = 0;
    this.#run(() => {
      if (this.timeLeft === 0) throw new ScriptFailure('time budget exceeded', { budget: true });
      return this.#activation.resume(results());
    });
  }

  /** The stream is gone: what the script has got is dead. */
  abandon(): void {
    if (!this.#finished) this.#finish();
  }

  #run(step: () => Wait | undefined): void {
    let wait: Wait | undefined;
    try {
      wait = step();
    } catch (error) {
      this.#finish();
      if (error instanceof ScriptFailure) this.#fail(error);
      throw error;
    }
    if (wait === undefined || wait.what === 'never') {
      this.#finish();
      return;
    }
    this.waits = wait.what;
    this.pending = wait.call;
    this.#expire();
    this.handleScope.epoch = SUSPENDED;
  }

  #finish(): void {
    this.#finished = true;
    this.waits = 'nothing';
    this.#expire();
    this.handleScope.epoch = DEAD;
  }

  #expire(): void {
    this.epoch++;
    this.#iterating = [];
    this.bodyObject = undefined;
  }

  #fail(failure: ScriptFailure): never {
    const { script, stream } = this;
    stream.log.error(`script log: ${failure.message}`);
    script.errors?.add();
    if (failure.exhausted) script.renew();
    throw new ExtensionError(failure.budget ? 'budget' : 'threw', failure.message, {
      position: script.positionOf(failure),
      trace: script.traceOf(failure),
    });
  }
}

const SUSPENDED = 1;
const DEAD = 2;
