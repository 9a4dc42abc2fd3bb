/**
 * Golden cases: `cases/*.case` hold a configuration, a line `---`, and the expected report (or `ok`, and below it a part of the
 * loaded configuration as JSON). Other parts may follow: `+++ NAME` puts a further file beside it.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ConfigurationError } from '../../../src/config/diagnostics.ts';
import { type LoadedConfig, loadConfigFile } from '../../../src/config/load.ts';
import { createRuntimes } from '../../../src/main.ts';
import { DataPlane } from '../../../src/proxy.ts';
import { LogCollector } from '../../support/proxy.ts';
import { temporaryFolder } from '../../support/weir-process.ts';

const folder = fileURLToPath(new URL('cases', import.meta.url));
const ENVIRONMENT = { PORT: '8080', WORKERS: '3', HOST: '127.0.0.1' };

/** Loads and builds a configuration; the report that a person would get, or the loaded configuration. */
async function load(file: string): Promise<string | LoadedConfig> {
  const plane = new DataPlane({ runtimes: createRuntimes(), logger: new LogCollector() });
  try {
    const loaded = loadConfigFile(file, ENVIRONMENT);
    plane.discard(await plane.prepare(loaded));
    return loaded;
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message;
    throw error;
  } finally {
    await plane.close();
  }
}

test.each(readdirSync(folder).filter((name) => name.endsWith('.case')))('%s', async (name) => {
  const [given = '', expected = ''] = readFileSync(join(folder, name), 'utf8').split(/^---\n/m);
  const [main = '', ...others] = given.split(/^\+\+\+ /m);
  const place = temporaryFolder({ 'weir.yaml': main });
  for (const other of others) {
    const [path = '', ...text] = other.split('\n');
    mkdirSync(join(place, path, '..'), { recursive: true });
    writeFileSync(join(place, path), text.join('\n'));
  }
  const result = await load(join(place, 'weir.yaml'));
  if (typeof result === 'string') {
    expect(`${result.replaceAll(`${place}/`, '')}\n`).toBe(expected);
    return;
  }
  const [verdict, ...json] = expected.split('\n');
  expect(verdict).toBe('ok');
  if (json.join('').trim() !== '') expect(result.config).toMatchObject(JSON.parse(json.join('\n')));
});
