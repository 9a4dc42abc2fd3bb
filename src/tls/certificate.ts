/** A certificate and its key, checked and made ready for handshakes. Nothing here says a word of the key. */
import { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Certificate } from '../abi/index.ts';

/** What goes into the context of every certificate of a listener. */
export interface TlsParameters {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly maxVersion: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL's list; its own default when undefined. */
  readonly ciphers: string | undefined;
  /** The CAs of clients, as PEM. */
  readonly clientCa: string | undefined;
}

export interface ReadyCertificate {
  readonly certificate: Certificate;
  readonly context: SecureContext;
  /** Lower-case DNS names that it is for, `*.` at the front of wildcards. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly validTo: number;
}

/** A certificate that can't be used. The message tells what is wrong, and never holds a part of the PEM text. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

/** @throws CertificateError */
export function readyCertificate(certificate: Certificate, parameters: TlsParameters): ReadyCertificate {
  const { chain, key, ca } = certificate;
  if (!chain.includes('-----BEGIN CERTIFICATE-----')) throw new CertificateError('the certificate is no PEM text');
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key)) throw new CertificateError('the key is no PEM text');
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(chain);
  } catch {
    throw new CertificateError('the certificate can not be read');
  }
  try {
    const context = createSecureContext({ cert: chain, key, ...contextOptions(parameters, ca) });
    return { certificate, context, names: namesOf(leaf), validTo: leaf.validToDate.getTime() };
  } catch (error) {
    throw new CertificateError(whatIsWrong(error as NodeJS.ErrnoException));
  }
}

/** @param ownCa the CAs that come with a certificate, as PEM; they go before those of the listener. */
export function contextOptions({ minVersion, maxVersion, ciphers, clientCa }: TlsParameters, ownCa?: string) {
  const ca = ownCa === undefined || ownCa === '' ? clientCa : ownCa;
  return {
    minVersion,
    maxVersion,
    // OpenSSL's own list and order, clients' preferences last.
    honorCipherOrder: true,
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(ca === undefined ? {} : { ca }),
  };
}

function namesOf(leaf: X509Certificate): string[] {
  const names = [...(leaf.subjectAltName ?? '').matchAll(/DNS:([^,\s"]+)/g)].map(([, name]) => name as string);
  const common = /^CN=(.+)$/m.exec(leaf.subject)?.[1];
  return (names.length > 0 || common === undefined ? names : [common]).map((name) => name.toLowerCase());
}

/** OpenSSL's reasons in plain words. */
function whatIsWrong({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') return 'the key does not belong to the certificate';
  if (code === 'ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED') return 'the key is encrypted';
  if (/no cipher match/i.test(message)) return 'OpenSSL knows none of these ciphers';
  return code ?? 'OpenSSL refuses it';
}
