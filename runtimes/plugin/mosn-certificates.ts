/**
 * MOSN's `loader`: a program that answers an empty request with a certificate in the body. Source: MOSN, its example plugin/cert_loader.
 * Nothing of the body gets into an error message: it holds a key.
 */
import type { CertificateProvider } from '../../src/abi/index.ts';
import { METHOD, Request, Response } from './mosn.ts';
import type { PluginClient } from './plugin-client.ts';

export function createMosnCertificates(client: PluginClient): CertificateProvider {
  return {
    async provide() {
      const answer = await client.call(METHOD, Request.encode({ type: '' }));
      let given: Record<string, unknown>;
      try {
        given = JSON.parse(Buffer.from(Response.decode(answer).body).toString('utf8')) ?? {};
      } catch {
        throw new Error('its answer is not the JSON that MOSN expects');
      }
      const { cert_pem: chain, key_pem: key, ca_pem: ca } = given;
      if (typeof chain !== 'string' || typeof key !== 'string' || !['string', 'undefined'].includes(typeof ca)) {
        throw new Error('its answer lacks `cert_pem` or `key_pem`');
      }
      return { chain, key, ca: ca as string | undefined };
    },
    close: () => client.close(),
  };
}
