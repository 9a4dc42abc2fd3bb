/** Gives a certificate that it has made itself: the key is in this process and in Weir's, and on no disk. */
import 'reflect-metadata';
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509';
import { serve } from 'weir/plugin';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

async function make(name: string) {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    notBefore: new Date(),
    notAfter: new Date(Date.now() + 7 * 24 * 3_600_000),
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: name }])],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    chain: certificate.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.match(/.{1,64}/g)?.join('\n')}\n-----END PRIVATE KEY-----\n`,
  };
}

// One for each name, as a certificate authority would; clients that ask for no name get the one for localhost.
const made = new Map<string, ReturnType<typeof make>>();
await serve({
  certificates(serverName) {
    const name = serverName || 'localhost';
    const certificate = made.get(name) ?? make(name);
    made.set(name, certificate);
    return certificate;
  },
});
