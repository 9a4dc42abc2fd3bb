/** Certificates by `weir.plugin.v1.CertificateProvider`. Nothing of an answer gets into an error message: it holds a key. */
import type { CertificateProvider, FilterSpec } from '../../src/abi/index.ts';
import { messageType } from './messages.ts';
import type { PluginClient } from './plugin-client.ts';

const METHOD = '/weir.plugin.v1.CertificateProvider/Provide';
const Request = messageType<{ server_name: string; listener: string; config: string }>(
  'weir_plugin',
  'weir.plugin.v1.CertificateRequest',
);
const Response = messageType<{ chain: string; key: string; ca: string }>(
  'weir_plugin',
  'weir.plugin.v1.CertificateResponse',
);

export function createWeirCertificates(client: PluginClient, spec: FilterSpec): CertificateProvider {
  const config = JSON.stringify(spec.config);
  return {
    async provide(serverName, listener) {
      const answer = await client.call(METHOD, Request.encode({ server_name: serverName, listener, config }));
      try {
        const { chain, key, ca } = Response.decode(answer);
        return chain === '' ? undefined : { chain, key, ca: ca === '' ? undefined : ca };
      } catch {
        throw new Error('its answer can not be read');
      }
    },
    close: () => client.close(),
  };
}
