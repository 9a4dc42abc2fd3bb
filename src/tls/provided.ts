/** The certificates of a provider: asked for when a name is first wanted, kept, renewed while the old one serves. */
import type { CertificateProvider } from '../abi/index.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import { type ReadyCertificate, readyCertificate, type TlsParameters } from './certificate.ts';

/** Names that are kept; clients may ask for any. */
const MAX_NAMES = 1000;
/** Requests to the provider at once. */
const MAX_PENDING = 64;
/** Milliseconds for which a failure counts as the answer. */
const FAILURE_TIME = 1000;
/** A certificate is renewed when so much of its life is left at the latest. */
const RENEW_BEFORE = 24 * 3_600_000;

interface Entry {
  ready: ReadyCertificate | undefined;
  /** When to ask again, in milliseconds since the epoch. */
  due: number;
  pending: Promise<void> | undefined;
}

export interface ProvidedOptions {
  readonly listener: string;
  /** What the configuration says of the provider: another one's certificates are not taken over. */
  readonly key: string;
  /** What it is called in the log. */
  readonly name: string;
  readonly parameters: TlsParameters;
  /** Milliseconds that a handshake waits. */
  readonly timeout: number;
  /** Milliseconds until it is asked again. */
  readonly refresh: number;
  readonly logger: Logger;
  onFailure(): void;
}

export class ProvidedCertificates {
  readonly #provider: CertificateProvider;
  readonly #options: ProvidedOptions;
  /** The one that was wanted last is the last. */
  readonly #entries = new Map<string, Entry>();
  #pending = 0;
  #closed = false;

  constructor(provider: CertificateProvider, options: ProvidedOptions) {
    this.#provider = provider;
    this.#options = options;
  }

  /** Takes over what another one had got, so that a provider that is down at a reload costs no connection. */
  adopt(other: ProvidedCertificates): void {
    if (other.#options.key !== this.#options.key) return;
    for (const [name, { ready }] of other.#entries) {
      if (ready === undefined) continue;
      try {
        const own = readyCertificate(ready.certificate, this.#options.parameters);
        this.#entries.set(name, { ready: own, due: 0, pending: undefined });
      } catch {
        // It does not fit the new settings: it is asked for again.
      }
    }
  }

  /** The certificate for a name, at once when there is one; `undefined` when there is none in time. */
  get(name: string): ReadyCertificate | undefined | Promise<ReadyCertificate | undefined> {
    const entry = this.#entryOf(name);
    const now = Date.now();
    if (now >= entry.due) this.#ask(name, entry);
    if (entry.ready !== undefined && entry.ready.validTo > now) return entry.ready;
    return entry.pending?.then(() => entry.ready);
  }

  close(): void {
    this.#closed = true;
    this.#provider.close?.();
  }

  #entryOf(name: string): Entry {
    const entry = this.#entries.get(name) ?? { ready: undefined, due: 0, pending: undefined };
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    if (this.#entries.size > MAX_NAMES) {
      for (const [oldest, { pending }] of this.#entries) {
        if (oldest === '' || pending !== undefined) continue;
        this.#entries.delete(oldest);
        break;
      }
    }
    return entry;
  }

  #ask(name: string, entry: Entry): void {
    if (entry.pending !== undefined || this.#closed || this.#pending >= MAX_PENDING) return;
    this.#pending++;
    entry.pending = this.#renew(name, entry).finally(() => {
      this.#pending--;
      entry.pending = undefined;
    });
  }

  async #renew(name: string, entry: Entry): Promise<void> {
    const { listener, parameters, refresh, timeout, logger } = this.#options;
    try {
      const certificate = await withDeadline(this.#provide(name), timeout);
      if (certificate === undefined) throw new Error('it has none for this name');
      const same = entry.ready?.certificate;
      const unchanged = same !== undefined && same.chain === certificate.chain && same.key === certificate.key;
      if (!unchanged || same.ca !== certificate.ca) entry.ready = readyCertificate(certificate, parameters);
      const { validTo } = entry.ready as ReadyCertificate;
      const now = Date.now();
      entry.due = Math.max(now + FAILURE_TIME, Math.min(now + refresh, validTo - RENEW_BEFORE));
    } catch (error) {
      entry.due = Date.now() + FAILURE_TIME;
      if (this.#closed) return;
      this.#options.onFailure();
      const kept = entry.ready !== undefined && entry.ready.validTo > Date.now();
      const shown = name === '' ? 'clients without SNI' : name;
      const consequence = kept ? 'the old one stays' : 'handshakes fail';
      logger.write(
        'error',
        `no certificate for ${shown} from ${this.#options.name}: ${messageOf(error)}; ${consequence}`,
        {
          listener,
        },
      );
    }
  }

  /** A provider that throws instead of rejecting is no different. */
  async #provide(name: string) {
    return this.#provider.provide(name, this.#options.listener);
  }
}

async function withDeadline<T>(promise: Promise<T>, timeout: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeout} ms`)), timeout);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
