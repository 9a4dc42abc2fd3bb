/** The facts of one TLS connection, read when they are asked for. */
import { X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import type { CertificateInfo, TlsInfo } from '../abi/index.ts';

export class ConnectionTls implements TlsInfo {
  readonly version: string;
  readonly cipher: string;
  readonly serverName: string;
  readonly peerVerified: boolean;
  readonly #socket: TLSSocket;
  #local: CertificateInfo | undefined;
  #peer: CertificateInfo | undefined;
  #session: { cipherId: number; sessionId: string } | undefined;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.version = socket.getProtocol() ?? '';
    this.cipher = socket.getCipher()?.name ?? '';
    this.serverName = typeof socket.servername === 'string' ? socket.servername : '';
    this.peerVerified = socket.authorized;
  }

  get cipherId(): number {
    return this.#readSession().cipherId;
  }

  get sessionId(): string {
    return this.#readSession().sessionId;
  }

  get localCertificate(): CertificateInfo | undefined {
    this.#local ??= describe(this.#socket.getX509Certificate());
    return this.#local;
  }

  get peerCertificate(): CertificateInfo | undefined {
    this.#peer ??= describe(this.#socket.getPeerX509Certificate());
    return this.#peer;
  }

  get peerChain(): string[] {
    const chain: string[] = [];
    let next: DetailedPeerCertificate | undefined = this.#socket.getPeerCertificate(true);
    while (next?.raw !== undefined) {
      chain.push(new X509Certificate(next.raw).toString());
      // A root is its own issuer.
      next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
    }
    return chain;
  }

  #readSession() {
    this.#session ??= readSession(this.#socket.getSession());
    return this.#session;
  }
}

function describe(certificate: X509Certificate | undefined): CertificateInfo | undefined {
  if (certificate === undefined) return undefined;
  return {
    subject: distinguishedName(certificate.subject),
    issuer: distinguishedName(certificate.issuer),
    serialNumber: certificate.serialNumber.toLowerCase(),
    dnsNames: alternativeNames(certificate, 'DNS'),
    uris: alternativeNames(certificate, 'URI'),
    oids: extensionOids(certificate.raw),
    sha256: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    validFrom: certificate.validFromDate.getTime(),
    validTo: certificate.validToDate.getTime(),
    pem: certificate.toString(),
  };
}

/** RFC 2253 has the most specific part first; OpenSSL's lines are the other way round. */
function distinguishedName(lines: string): string {
  return lines.split('\n').reverse().join(',');
}

/** Node writes a name with a comma or a quotation mark as a JSON string. */
function alternativeNames({ subjectAltName = '' }: X509Certificate, kind: 'DNS' | 'URI'): string[] {
  const names = subjectAltName.matchAll(new RegExp(`(?:^|, )${kind}:("(?:[^"\\\\]|\\\\.)*"|[^,]*)`, 'g'));
  return [...names].map(([, name = '']) => (name.startsWith('"') ? (JSON.parse(name) as string) : name));
}

/** One element of DER: where its content begins and ends. Source: X.690, section 8.1. */
function element(bytes: Buffer, at: number): { start: number; end: number } {
  const short = bytes.readUInt8(at + 1);
  const size = short > 0x80 ? short - 0x80 : 0;
  const start = at + 2 + size;
  return { start, end: start + (size === 0 ? short : bytes.readUIntBE(at + 2, size)) };
}

/** The elements within `outer`. */
function elements(bytes: Buffer, outer: { start: number; end: number }): { at: number; start: number; end: number }[] {
  const found = [];
  for (let at = outer.start; at < outer.end; ) {
    const { start, end } = element(bytes, at);
    found.push({ at, start, end });
    at = end;
  }
  return found;
}

/** OpenSSL's DER form of a session: version, protocol, cipher suite, session id. Source: OpenSSL, ssl/ssl_asn1.c. */
function readSession(session: Buffer | undefined): { cipherId: number; sessionId: string } {
  if (session === undefined || session.length === 0) return { cipherId: 0, sessionId: '' };
  const [, , cipher, id] = elements(session, element(session, 0));
  return {
    cipherId: cipher === undefined ? 0 : session.readUInt16BE(cipher.end - 2),
    sessionId: id === undefined ? '' : session.toString('hex', id.start, id.end),
  };
}

/** The extensions of a certificate: [3] within its first part. Source: RFC 5280, section 4.1. */
function extensionOids(raw: Buffer): string[] {
  const [signed] = elements(raw, element(raw, 0));
  if (signed === undefined) return [];
  const holder = elements(raw, signed).find(({ at }) => raw[at] === 0xa3);
  const list = holder === undefined ? undefined : elements(raw, holder)[0];
  if (list === undefined) return [];
  return elements(raw, list).map((extension) => {
    const [id] = elements(raw, extension);
    return id === undefined ? '' : dotted(raw.subarray(id.start, id.end));
  });
}

/** Source: X.690, section 8.19. */
function dotted(bytes: Buffer): string {
  const parts: number[] = [];
  let value = 0;
  for (const byte of bytes) {
    value = value * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    if (parts.length === 0)
      parts.push(Math.min(2, Math.floor(value / 40)), value - 40 * Math.min(2, Math.floor(value / 40)));
    else parts.push(value);
    value = 0;
  }
  return parts.join('.');
}
