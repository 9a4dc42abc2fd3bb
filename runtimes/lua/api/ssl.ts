/** The TLS of the client's connection. Source: Envoy, "Lua" HTTP filter, "SSL connection object API". */
import type { CertificateInfo, TlsInfo } from '../../../src/abi/index.ts';
import type { ScriptStream } from '../script-stream.ts';
import { LuaTable } from '../vm/table.ts';
import { type LuaValue, NONE } from '../vm/values.ts';
import type { Kinds } from './index.ts';
import { toBytes } from './json.ts';
import type { Methods } from './kind.ts';

export interface SslObject {
  run: ScriptStream;
  tls: TlsInfo;
}

export interface ParsedNameObject {
  run: ScriptStream;
  name: string;
}

type Certificate = CertificateInfo | undefined;

export function sslMethods(kinds: Kinds): Methods<SslObject> {
  const peer =
    (read: (certificate: CertificateInfo) => LuaValue, missing: LuaValue = '') =>
    ({ tls }: SslObject) =>
      tls.peerCertificate === undefined ? missing : read(tls.peerCertificate);
  const lists = (of: (object: SslObject) => Certificate, read: (certificate: CertificateInfo) => readonly string[]) => {
    return (object: SslObject) => {
      const certificate = of(object);
      return list(certificate === undefined ? [] : read(certificate));
    };
  };
  const local = ({ tls }: SslObject) => tls.localCertificate;
  const remote = ({ tls }: SslObject) => tls.peerCertificate;
  return {
    peerCertificatePresented: ({ tls }) => tls.peerCertificate !== undefined,
    peerCertificateValidated: ({ tls }) => tls.peerVerified,
    uriSanLocalCertificate: lists(local, ({ uris }) => uris),
    uriSanPeerCertificate: lists(remote, ({ uris }) => uris),
    dnsSansLocalCertificate: lists(local, ({ dnsNames }) => dnsNames),
    dnsSansPeerCertificate: lists(remote, ({ dnsNames }) => dnsNames),
    oidsLocalCertificate: lists(local, ({ oids }) => oids),
    oidsPeerCertificate: lists(remote, ({ oids }) => oids),
    sha256PeerCertificateDigest: peer(({ sha256 }) => sha256),
    serialNumberPeerCertificate: peer(({ serialNumber }) => serialNumber),
    issuerPeerCertificate: peer(({ issuer }) => toBytes(issuer)),
    subjectPeerCertificate: peer(({ subject }) => toBytes(subject)),
    subjectLocalCertificate: ({ tls }) => toBytes(tls.localCertificate?.subject ?? ''),
    parsedSubjectPeerCertificate: ({ run, tls }) =>
      tls.peerCertificate === undefined
        ? NONE
        : kinds.parsedName.create({ run, name: tls.peerCertificate.subject }, run),
    urlEncodedPemEncodedPeerCertificate: peer(({ pem }) => encodeURIComponent(pem)),
    urlEncodedPemEncodedPeerCertificateChain: ({ tls }) => encodeURIComponent(tls.peerChain.join('')),
    validFromPeerCertificate: peer(({ validFrom }) => validFrom / 1000, 0),
    expirationPeerCertificate: peer(({ validTo }) => validTo / 1000, 0),
    sessionId: ({ tls }) => tls.sessionId,
    ciphersuiteId: ({ tls }) => `0x${tls.cipherId.toString(16).padStart(4, '0')}`,
    ciphersuiteString: ({ tls }) => tls.cipher,
    tlsVersion: ({ tls }) => tls.version,
  };
}

export const parsedNameMethods: Methods<ParsedNameObject> = {
  commonName: ({ name }) => toBytes(parts(name, 'CN')[0] ?? ''),
  organizationName: ({ name }) => toBytes(parts(name, 'O')[0] ?? ''),
};

function list(values: readonly string[]): LuaTable {
  const table = new LuaTable();
  for (const [i, value] of values.entries()) table.set(i + 1, toBytes(value));
  return table;
}

/** The values of one attribute of a distinguished name (RFC 2253: a backslash takes the meaning from the next character). */
function parts(name: string, attribute: string): string[] {
  return [...name.matchAll(/(?:^|,)([A-Za-z0-9.]+)=((?:\\.|[^,\\])*)/g)]
    .filter(([, key]) => key === attribute)
    .map(([, , value = '']) => value.replace(/\\(.)/g, '$1'));
}
