/** Where a module's bytes come from: a file, the configuration, a cluster, an OCI image layout on disk. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { FilterConfigError, type FilterHost, type FilterSpec, HeaderMap } from '../../src/abi/index.ts';
import type { CodeSource } from './options.ts';

/** Bytes of a packed module once it is unpacked. */
const MAX_MODULE = 256 * 1024 * 1024;

/** @throws FilterConfigError */
export async function readCode(
  spec: FilterSpec,
  host: FilterHost,
  source: CodeSource | undefined,
): Promise<Uint8Array> {
  if (source === undefined) {
    if (spec.file === undefined)
      throw new FilterConfigError('a Proxy-Wasm filter needs a .wasm file in `use:`, or `code:`');
    return readFileSync(spec.file);
  }
  switch (source.kind) {
    case 'bytes':
      return source.bytes;
    case 'file': {
      const path = resolve(spec.directory, source.path);
      host.watch(path);
      return read(path);
    }
    case 'remote':
      return fetchCode(host, source);
    case 'oci': {
      const path = resolve(spec.directory, source.path);
      host.watch(join(path, 'index.json'));
      return readImage(path, source.tag);
    }
  }
}

function read(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FilterConfigError(`can't read ${path}: ${error instanceof Error ? error.message : error}`);
  }
}

async function fetchCode(host: FilterHost, source: Extract<CodeSource, { kind: 'remote' }>): Promise<Uint8Array> {
  let url: URL;
  try {
    url = new URL(source.uri);
  } catch {
    throw new FilterConfigError(`${source.uri} is no URL`);
  }
  const headers = new HeaderMap([
    [':method', 'GET'],
    [':path', `${url.pathname}${url.search}`],
    [':authority', url.host],
    [':scheme', url.protocol.replace(':', '')],
  ]);
  const response = await host.call(source.cluster, { headers, timeout: source.timeout });
  const status = response.headers.get(':status');
  if (status !== '200') {
    const why = new TextDecoder().decode(response.body.subarray(0, 200));
    throw new FilterConfigError(`${source.uri} was not given by the cluster ${source.cluster}: ${status} ${why}`);
  }
  const digest = sha256(response.body);
  if (digest !== source.sha256) {
    throw new FilterConfigError(`${source.uri} has the sha256 ${digest}, and ${source.sha256} was expected`);
  }
  return response.body;
}

interface Descriptor {
  mediaType?: string;
  digest?: string;
  annotations?: Record<string, string>;
}

/** Source: OCI image layout specification 1.1; "Compat" and plain variants of solo.io's WASM image specification. */
function readImage(path: string, tag: string | undefined): Uint8Array {
  const index = json(read(join(path, 'index.json')), path) as { manifests?: Descriptor[] };
  const tagOf = (manifest: Descriptor) => manifest.annotations?.['org.opencontainers.image.ref.name'];
  const manifests = index.manifests ?? [];
  const chosen = tag === undefined ? manifests[0] : manifests.find((manifest) => tagOf(manifest) === tag);
  if (chosen?.digest === undefined) {
    const tags = manifests.map(tagOf).filter((name) => name !== undefined);
    throw new FilterConfigError(`the image layout ${path} has no image${tag === undefined ? '' : ` tagged ${tag}`}`, {
      hint: tags.length > 0 ? `tags: ${tags.join(', ')}` : undefined,
    });
  }
  const manifest = json(blob(path, chosen.digest), path) as { layers?: Descriptor[] };
  for (const layer of (manifest.layers ?? []).toReversed()) {
    if (layer.digest === undefined) continue;
    const bytes = blob(path, layer.digest);
    if (/wasm/.test(layer.mediaType ?? '') && bytes[0] === 0) return bytes;
    const archive = bytes[0] === 0x1f ? gunzipSync(bytes, { maxOutputLength: MAX_MODULE }) : bytes;
    const module = fileInTar(archive, /\.wasm$/);
    if (module !== undefined) return module;
  }
  throw new FilterConfigError(`the image in ${path} has no layer with a WebAssembly module`);
}

function blob(path: string, digest: string): Uint8Array {
  const [algorithm, hex] = digest.split(':');
  if (algorithm !== 'sha256' || !/^[0-9a-f]{64}$/.test(hex ?? ''))
    throw new FilterConfigError(`the digest ${digest} can't be used`);
  const bytes = read(join(path, 'blobs', algorithm, hex as string));
  if (sha256(bytes) !== hex)
    throw new FilterConfigError(`the blob ${digest} in ${path} is damaged: its content has another digest`);
  return bytes;
}

/** Source: POSIX.1-2017, `pax`, "ustar Interchange Format". */
function fileInTar(archive: Uint8Array, wanted: RegExp): Uint8Array | undefined {
  const text = (start: number, length: number) =>
    Buffer.from(archive.subarray(start, start + length))
      .toString('latin1')
      .replace(/\0.*$/s, '');
  for (let at = 0; at + 512 <= archive.length; ) {
    const name = text(at, 100);
    const size = Number.parseInt(text(at + 124, 12), 8);
    if (name === '' || Number.isNaN(size)) return undefined;
    if (wanted.test(name)) return archive.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return undefined;
}

function json(bytes: Uint8Array, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new FilterConfigError(`${path} is no OCI image layout: ${error instanceof Error ? error.message : error}`);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
