/** Compiles the probe for each version of the ABI. */
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const assembly = relative(root, fileURLToPath(new URL('assembly', import.meta.url)));
const VERSIONS = ['0.1.0', '0.2.0', '0.2.1'];

/** Writes `probe-VERSION.wasm` into `folder`. @throws Error with the compiler's messages. */
export async function buildProbes(folder: string): Promise<void> {
  for (const version of VERSIONS) {
    const source = join(assembly, `v${version.replaceAll('.', '_')}.ts`);
    const output = relative(root, join(folder, `probe-${version}.wasm`));
    const args = [source, '--outFile', output, '--baseDir', root, '-O2', '--runtime', 'stub', '--noColors'];
    const { error, stderr } = await main([
      ...args,
      '--exportStart',
      '_initialize',
      '--use',
      `abort=${assembly}/probe/abort`,
    ]);
    if (error !== null) throw new Error(`${error.message}\n${stderr}`);
  }
}
