/** Coarse timers: one clock for all connections and streams, so that a timeout costs a few stores and no system timer. */

/** Something that wants to be told when its time has come. Re-arming one object for ever costs nothing. */
export interface TimerTarget {
  onTimer(): void;
}

export class Timer {
  readonly target: TimerTarget;
  /** Milliseconds of the wheel's clock; Infinity while it is off. */
  deadline = Number.POSITIVE_INFINITY;
  /** The tick in whose slot it waits; 0 while it waits in none. */
  tick = 0;
  previous: Timer | undefined;
  next: Timer | undefined;

  constructor(target: TimerTarget) {
    this.target = target;
  }
}

const TICK = 20;
const SLOTS = 512;

/**
 * A hashed wheel. A timer that is moved to a later deadline stays where it is and is moved when the wheel comes by; only an
 * earlier deadline moves it at once. Fires 0 to 20 ms late.
 */
export class TimerWheel {
  /** Milliseconds (`performance.now()`) at the last tick. */
  now = performance.now();
  readonly #slots: Timer[] = Array.from({ length: SLOTS }, () => {
    const head = new Timer({ onTimer() {} });
    head.next = head;
    head.previous = head;
    return head;
  });
  #tick = Math.floor(this.now / TICK);
  readonly #interval: NodeJS.Timeout;
  readonly #onTick: (() => void) | undefined;

  /** @param onTick called at every tick, e.g. for a heartbeat. */
  constructor(onTick?: () => void) {
    this.#onTick = onTick;
    this.#interval = setInterval(() => this.#advance(), TICK);
  }

  /** Arms `timer` to fire in `ms` milliseconds, in the place of its earlier deadline; 0 or less switches it off. */
  set(timer: Timer, ms: number): void {
    if (ms <= 0) {
      timer.deadline = Number.POSITIVE_INFINITY;
      return;
    }
    const deadline = this.now + ms;
    timer.deadline = deadline;
    const tick = Math.floor(deadline / TICK) + 1;
    if (timer.tick !== 0) {
      if (timer.tick <= tick) return;
      unlink(timer);
    }
    this.#link(timer, tick);
  }

  /** Switches `timer` off but leaves it linked, ready to be armed again. */
  clear(timer: Timer): void {
    timer.deadline = Number.POSITIVE_INFINITY;
  }

  /** Takes `timer` out for good. */
  remove(timer: Timer): void {
    timer.deadline = Number.POSITIVE_INFINITY;
    if (timer.tick !== 0) unlink(timer);
  }

  close(): void {
    clearInterval(this.#interval);
  }

  #link(timer: Timer, tick: number): void {
    // At most one turn ahead; a later one is looked at again then.
    timer.tick = Math.min(tick, this.#tick + SLOTS - 1);
    const head = this.#slots[timer.tick % SLOTS] as Timer;
    const last = head.previous as Timer;
    timer.previous = last;
    timer.next = head;
    last.next = timer;
    head.previous = timer;
  }

  #advance(): void {
    this.now = performance.now();
    const target = Math.floor(this.now / TICK);
    // After a long stall every slot is visited once.
    this.#tick = Math.max(this.#tick, target - SLOTS);
    while (this.#tick < target) {
      this.#tick++;
      this.#fire(this.#slots[this.#tick % SLOTS] as Timer);
    }
    this.#onTick?.();
  }

  /** Empties a slot before any callback runs: a callback may arm and remove timers as it likes. */
  #fire(head: Timer): void {
    if (head.next === head) return;
    const waiting: Timer[] = [];
    for (let timer = head.next as Timer; timer !== head; timer = head.next as Timer) {
      unlink(timer);
      waiting.push(timer);
    }
    for (const timer of waiting) {
      if (timer.deadline <= this.now) {
        timer.deadline = Number.POSITIVE_INFINITY;
        timer.target.onTimer();
      } else if (timer.deadline !== Number.POSITIVE_INFINITY && timer.tick === 0) {
        this.#link(timer, Math.max(Math.floor(timer.deadline / TICK) + 1, this.#tick + 1));
      }
    }
  }
}

function unlink(timer: Timer): void {
  (timer.previous as Timer).next = timer.next;
  (timer.next as Timer).previous = timer.previous;
  timer.previous = undefined;
  timer.next = undefined;
  timer.tick = 0;
}
