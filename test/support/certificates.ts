/** Certificates for tests, made when they are wanted: nothing of them is on a disk unless a test writes it. */
import type { webcrypto } from 'node:crypto';
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY = 24 * 3_600_000;

export interface TestCertificate {
  cert: string;
  key: string;
  certificate: X509Certificate;
  keys: webcrypto.CryptoKeyPair;
}

export interface Wanted {
  names?: string[];
  uris?: string[];
  subject?: string;
  ca?: boolean;
  issuer?: TestCertificate;
  /** Milliseconds from now on. */
  life?: number;
}

/** A certificate, self-signed unless it has an issuer. */
export async function makeCertificate(wanted: Wanted = {}): Promise<TestCertificate> {
  const { names = [], uris = [], issuer, life = 30 * DAY } = wanted;
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const subject = wanted.subject ?? `CN=${names[0] ?? 'test'}`;
  const alternatives = [
    ...names.map((value) => ({ type: 'dns' as const, value })),
    ...uris.map((value) => ({ type: 'url' as const, value })),
  ];
  const certificate = await X509CertificateGenerator.create({
    serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(8)))
      .toString('hex')
      .replace(/^[89a-f]/, '1'),
    subject,
    issuer: issuer?.certificate.subject ?? subject,
    notBefore: new Date(Date.now() - DAY),
    notAfter: new Date(Date.now() + life),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    extensions: [
      ...(wanted.ca ? [new BasicConstraintsExtension(true, undefined, true)] : []),
      ...(alternatives.length > 0 ? [new SubjectAlternativeNameExtension(alternatives)] : []),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n').trim()}\n-----END PRIVATE KEY-----\n`;
  return { cert: `${certificate.toString('pem')}\n`, key, certificate, keys };
}
