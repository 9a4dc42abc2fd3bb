/** Shared data and shared queues of Proxy-Wasm, kept in Weir's store for all workers. Source: proxy-wasm-cpp-host, `shared_data.cc`, `shared_queue.cc`. */
import { createHash, randomUUID } from 'node:crypto';
import { BroadcastChannel } from 'node:worker_threads';
import type { FilterHost, SharedData } from '../../src/abi/index.ts';
import { Status } from './constants.ts';

/** Longer keys are kept by their digest. */
const LONGEST_KEY = 256;
const CHANNEL = 'weir-proxy-wasm-queues';

function short(key: string): string {
  return key.length <= LONGEST_KEY ? key : `sha256 ${createHash('sha256').update(key, 'latin1').digest('hex')}`;
}

/** The data of one `vm_id`. */
export class VmData {
  readonly #data: SharedData;

  constructor(host: FilterHost, vmId: string) {
    this.#data = host.shared(short(`proxy-wasm data ${vmId}`));
  }

  get(key: string) {
    return this.#data.get(short(key));
  }

  /** @param cas 0 writes in any case; otherwise a value that is there must still have that number. */
  set(key: string, value: string, cas: number): Status {
    try {
      if (cas === 0 || this.#data.get(short(key)) === undefined) this.#data.set(short(key), value);
      else if (!this.#data.compareAndSet(short(key), cas, value)) return Status.CasMismatch;
      return Status.Ok;
    } catch {
      // The store is full.
      return Status.InternalFailure;
    }
  }
}

/** The queues of all machines of a process; the one that registered a queue last is told of what comes. */
export class SharedQueues {
  readonly #host: FilterHost;
  #opened: SharedData | undefined;
  /** Tells this store's messages from those of another data plane in the process. */
  #store = '';
  readonly #listeners = new Map<string, (queue: number) => void>();
  #channel: BroadcastChannel | undefined;

  constructor(host: FilterHost) {
    this.#host = host;
  }

  get #data(): SharedData {
    this.#opened ??= this.#host.shared('proxy-wasm queues');
    return this.#opened;
  }

  /** The queue's number; `undefined` when the store is full. */
  register(vmId: string, name: string, listener: (queue: number) => void): number | undefined {
    try {
      const key = short(`name ${vmId}\0${name}`);
      if (this.#data.get(key) === undefined) this.#data.compareAndSet(key, 0, String(this.#data.increment('last', 1)));
      const id = Number(this.#data.get(key)?.value);
      this.#data.compareAndSet('store', 0, randomUUID());
      this.#store = this.#data.get('store')?.value ?? '';
      const target = randomUUID();
      this.#data.set(`target ${id}`, target);
      this.#listeners.set(target, listener);
      this.#open();
      return id;
    } catch {
      return undefined;
    }
  }

  /** `undefined` when nobody registered it. */
  resolve(vmId: string, name: string): number | undefined {
    const known = this.#data.get(short(`name ${vmId}\0${name}`));
    return known === undefined ? undefined : Number(known.value);
  }

  enqueue(id: number, item: string): Status {
    const target = this.#data.get(`target ${id}`);
    if (target === undefined) return Status.NotFound;
    try {
      const place = this.#data.increment(`tail ${id}`, 1);
      this.#data.set(`item ${id} ${place}`, item);
    } catch {
      return Status.InternalFailure;
    }
    const listener = this.#listeners.get(target.value);
    if (listener !== undefined) setImmediate(() => listener(id));
    else this.#open().postMessage({ store: this.#data.get('store')?.value ?? '', target: target.value, id });
    return Status.Ok;
  }

  dequeue(id: number): string | Status {
    if (this.#data.get(`target ${id}`) === undefined) return Status.NotFound;
    for (;;) {
      const head = this.#data.get(`head ${id}`);
      const place = Number(head?.value ?? 0) + 1;
      const item = this.#data.get(`item ${id} ${place}`);
      if (item === undefined) return Status.Empty;
      try {
        if (!this.#data.compareAndSet(`head ${id}`, head?.version ?? 0, String(place))) continue;
      } catch {
        return Status.InternalFailure;
      }
      this.#data.delete(`item ${id} ${place}`);
      return item.value;
    }
  }

  close(): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#listeners.clear();
  }

  #open(): BroadcastChannel {
    if (this.#channel === undefined) {
      this.#channel = new BroadcastChannel(CHANNEL);
      this.#channel.onmessage = (event: unknown) => this.#receive((event as { data: QueueMessage }).data);
      (this.#channel as unknown as { unref(): void }).unref();
    }
    return this.#channel;
  }

  #receive({ store, target, id }: QueueMessage): void {
    if (store === this.#store) this.#listeners.get(target)?.(id);
  }
}

interface QueueMessage {
  store: string;
  target: string;
  id: number;
}
