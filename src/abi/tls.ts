/** TLS as filters see it, and where certificates come from. */
import type { FilterHost } from './filter.ts';
import type { Json } from './stream.ts';

/** A certificate that one of both sides has shown. */
export interface CertificateInfo {
  /** Distinguished names as in RFC 2253, e.g. `CN=test,O=Example`. */
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal, lower case. */
  readonly serialNumber: string;
  readonly dnsNames: readonly string[];
  /** Of its extensions, dotted. */
  readonly oids: readonly string[];
  readonly uris: readonly string[];
  /** SHA-256 of its DER form, hexadecimal, lower case. */
  readonly sha256: string;
  /** Milliseconds since the epoch. */
  readonly validFrom: number;
  readonly validTo: number;
  /** The certificate alone, as PEM. */
  readonly pem: string;
}

/** The TLS of a client's connection. */
export interface TlsInfo {
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly version: string;
  /** OpenSSL's name of the cipher suite, e.g. `TLS_AES_128_GCM_SHA256`, `ECDHE-RSA-AES128-GCM-SHA256`. */
  readonly cipher: string;
  /** Its number in IANA's registry. */
  readonly cipherId: number;
  /** The name that the client asked for (SNI); empty when it asked for none. */
  readonly serverName: string;
  /** Hexadecimal; empty when there is none. */
  readonly sessionId: string;
  readonly localCertificate: CertificateInfo | undefined;
  /** The client's, when it has shown one. */
  readonly peerCertificate: CertificateInfo | undefined;
  /** The client's certificate, and those that lead from it to the one that is trusted, as PEM. */
  readonly peerChain: readonly string[];
  /** Whether the client's certificate comes from a CA of `client_ca`. */
  readonly peerVerified: boolean;
}

/** A certificate with its key, all as PEM. */
export interface Certificate {
  /** The certificate, then the ones that lead to its CA. */
  readonly chain: string;
  readonly key: string;
  /** The CAs that clients' certificates must come from; otherwise those of the listener's `client_ca`. */
  readonly ca?: string | undefined;
}

/** Where a listener gets its certificates from. Weir keeps what it got, asks again from time to time, and goes on with the old one when that fails. */
export interface CertificateProvider {
  /**
   * The certificate for a name, or `undefined` when there is none: the handshake then fails by an alert.
   * @param serverName the name that the client asked for; empty for clients that ask for none.
   */
  provide(serverName: string, listener: string): Certificate | undefined | Promise<Certificate | undefined>;
  /** When: the configuration was replaced. */
  close?(): void;
}

/** The fixed name that a module exports. @throws FilterConfigError when `config` is bad. */
export type CreateCertificateProvider = (
  config: Json,
  host: FilterHost,
) => CertificateProvider | Promise<CertificateProvider>;
