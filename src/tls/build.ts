/** From the `tls:` of a listener to what does its handshakes. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { FilterConfigError } from '../abi/index.ts';
import { filterName } from '../config/check.ts';
import type { ListenerConfig, TlsConfig } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import type { FilterAdapter } from '../filters/adapter.ts';
import { EntryHost, type HostContext } from '../filters/filter-host.ts';
import { FilterLoadError } from '../filters/load-error.ts';
import { CertificateError, contextOptions, readyCertificate, type TlsParameters } from './certificate.ts';
import { ProvidedCertificates } from './provided.ts';
import { TlsTermination } from './termination.ts';

export interface TlsContext extends HostContext {
  readonly adapter: FilterAdapter;
  readonly ticketKeys: Buffer;
}

/**
 * @param previous what the listener has now: its provider's certificates are taken over.
 * @throws FilterLoadError; its path is below the listener.
 */
export async function buildTls(
  listener: Pick<ListenerConfig, 'name' | 'tls'>,
  directory: string,
  files: Set<string>,
  context: TlsContext,
  previous: TlsTermination | undefined,
): Promise<TlsTermination | undefined> {
  const { name, tls } = listener;
  if (tls === undefined) return undefined;
  const read = (file: string, path: readonly (string | number)[]) => {
    if (file.startsWith('-----BEGIN ')) return file;
    const absolute = resolve(directory, file);
    files.add(absolute);
    try {
      return readFileSync(absolute, 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw fault(path, code === 'ENOENT' ? `there is no file ${file}` : `can't read ${file}: ${messageOf(error)}`);
    }
  };
  const clientCa = tls.client_ca === undefined ? undefined : read(tls.client_ca, ['client_ca']);
  const parameters = parametersOf(tls, clientCa);
  const certificates = tls.certificates.map(({ cert, key }, i) => {
    const pair = { chain: read(cert, ['certificates', i, 'cert']), key: read(key, ['certificates', i, 'key']) };
    try {
      return readyCertificate(pair, parameters);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      const place = error.message.startsWith('the key') ? 'key' : 'cert';
      throw fault(['certificates', i, place], error.message);
    }
  });
  const { metrics, logger } = context;
  const labels = { listener: name };
  return new TlsTermination({
    listener: name,
    parameters,
    certificates,
    provided: await provider(name, tls, parameters, directory, files, context, previous),
    clientCertificate: tls.require_client_certificate ? 'required' : clientCa === undefined ? 'none' : 'optional',
    handshakeTimeout: tls.handshake_timeout,
    ticketKeys: context.ticketKeys,
    handshakes: metrics.counter('weir_tls_handshakes_total', 'TLS handshakes that succeeded.', labels),
    failures: metrics.counter('weir_tls_handshake_failures_total', 'TLS handshakes that failed.', labels),
    logger,
  });
}

function parametersOf(tls: TlsConfig, clientCa: string | undefined): TlsParameters {
  const parameters: TlsParameters = {
    minVersion: `TLSv${tls.min_version}`,
    maxVersion: `TLSv${tls.max_version}`,
    ciphers: tls.ciphers,
    clientCa,
  };
  try {
    createSecureContext(contextOptions(parameters));
  } catch (error) {
    throw fault(tls.ciphers === undefined ? ['client_ca'] : ['ciphers'], messageOf(error));
  }
  return parameters;
}

async function provider(
  listener: string,
  tls: TlsConfig,
  parameters: TlsParameters,
  directory: string,
  files: Set<string>,
  context: TlsContext,
  previous: TlsTermination | undefined,
): Promise<ProvidedCertificates | undefined> {
  const { provider: entry, provider_timeout: timeout, provider_refresh: refresh } = tls;
  if (entry === undefined) return undefined;
  const host = new EntryHost(filterName(entry), listener, context, files);
  const path = ['tls', 'provider'];
  const made = await context.adapter.loadExtension('certificateProvider', 'certificates', entry, directory, host, path);
  const failures = context.metrics.counter('weir_tls_provider_failures_total', 'Certificates not provided.', {
    listener,
  });
  const onFailure = () => failures.add();
  const { logger } = context;
  const key = JSON.stringify(entry);
  const options = { listener, key, name: host.name, parameters, timeout, refresh, logger, onFailure };
  const provided = new ProvidedCertificates(made, options);
  if (previous?.provided !== undefined) provided.adopt(previous.provided);
  return provided;
}

function fault(path: readonly (string | number)[], message: string): FilterLoadError {
  return new FilterLoadError(['tls', ...path], new FilterConfigError(message));
}
