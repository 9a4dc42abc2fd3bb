/** The TLS side of one listener in one configuration: a raw connection in, one that is ready for HTTP out. */
import type { Socket } from 'node:net';
import { createServer, type SecureContext, type Server, type TLSSocket } from 'node:tls';
import type { Counter } from '../abi/index.ts';
import type { Logger } from '../observability/logger.ts';
import { contextOptions, type ReadyCertificate, type TlsParameters } from './certificate.ts';
import type { ProvidedCertificates } from './provided.ts';

/** Anything else that a client sends is no name of a host, and nothing for a log or a provider. */
const SERVER_NAME = /^[a-z0-9._-]{1,253}$/;

export interface TerminationOptions {
  readonly listener: string;
  readonly parameters: TlsParameters;
  /** In the order of the configuration; the first serves clients that ask for no name, or for an unknown one. */
  readonly certificates: readonly ReadyCertificate[];
  readonly provided: ProvidedCertificates | undefined;
  /** Whether clients are asked for a certificate, and whether they must have one. */
  readonly clientCertificate: 'none' | 'optional' | 'required';
  /** Milliseconds. */
  readonly handshakeTimeout: number;
  /** 48 bytes that all workers share, so that each can resume the sessions of the others. */
  readonly ticketKeys: Buffer;
  readonly handshakes: Counter;
  readonly failures: Counter;
  readonly logger: Logger;
}

export class TlsTermination {
  /** Set by the listener: gets each connection whose handshake has succeeded. */
  onConnection: (socket: TLSSocket) => void = (socket) => socket.destroy();
  readonly provided: ProvidedCertificates | undefined;
  readonly #options: TerminationOptions;
  /** It never listens; it is given connections. */
  readonly #server: Server;
  readonly #byName = new Map<string, SecureContext>();
  /** For clients that ask for no name, and for unknown names. Without one the alert is `handshake_failure`. */
  #default: ReadyCertificate | undefined;

  constructor(options: TerminationOptions) {
    const { certificates, parameters, clientCertificate, handshakes, failures, logger, listener } = options;
    this.#options = options;
    this.provided = options.provided;
    for (const { names, context } of certificates) {
      for (const name of names) if (!this.#byName.has(name)) this.#byName.set(name, context);
    }
    this.#server = createServer({
      ...contextOptions(parameters),
      ALPNProtocols: ['http/1.1'],
      SNICallback: (name, callback) => this.#choose(name.toLowerCase(), callback),
      requestCert: clientCertificate !== 'none',
      rejectUnauthorized: clientCertificate === 'required',
      handshakeTimeout: options.handshakeTimeout,
      ticketKeys: options.ticketKeys,
    });
    if (certificates[0] !== undefined) this.#setDefault(certificates[0]);
    this.#server.on('secureConnection', (socket) => {
      handshakes.add();
      this.onConnection(socket);
    });
    this.#server.on('tlsClientError', (error, socket) => {
      failures.add();
      logger.write('debug', `TLS handshake failed: ${error.message}`, { listener, client: socket.remoteAddress ?? '' });
      socket.destroy();
    });
  }

  /** Does the handshake of a connection. */
  accept(socket: Socket): void {
    if (this.provided === undefined || this.#options.certificates.length > 0) {
      this.#server.emit('connection', socket);
      return;
    }
    // Whether a client asks for a name shows within the handshake, so the certificate for those that do not must be there before.
    const found = this.provided.get('');
    if (!(found instanceof Promise)) {
      if (found !== undefined) this.#setDefault(found);
      this.#server.emit('connection', socket);
      return;
    }
    void found.then((ready) => {
      if (ready !== undefined) this.#setDefault(ready);
      if (!socket.destroyed) this.#server.emit('connection', socket);
    });
  }

  close(): void {
    this.provided?.close();
  }

  #setDefault(ready: ReadyCertificate): void {
    if (this.#default === ready) return;
    this.#default = ready;
    const { chain, key, ca } = ready.certificate;
    this.#server.setSecureContext({ cert: chain, key, ...contextOptions(this.#options.parameters, ca) });
    this.#server.setTicketKeys(this.#options.ticketKeys);
  }

  /** Gives no context where the default is to serve. */
  #choose(name: string, callback: (error: Error | null, context?: SecureContext) => void): void {
    if (!SERVER_NAME.test(name)) {
      callback(null);
      return;
    }
    const known = this.#byName.get(name) ?? this.#byName.get(name.replace(/^[^.]+/, '*'));
    if (known !== undefined || this.provided === undefined) {
      callback(null, known);
      return;
    }
    const found = this.provided.get(name);
    if (found instanceof Promise) void found.then((ready) => callback(null, ready?.context));
    else callback(null, found?.context);
  }
}
