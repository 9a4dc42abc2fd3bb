/** Compiles the AssemblyScript filters that ship: `wasm/filters/*.ts` → `*.wasm` beside them. Run by `npm run build:wasm`. */
import { globSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Compiles one module. @throws Error with the compiler's messages. */
export async function compileFilter(source: string, output: string): Promise<void> {
  const args = [relative(root, source), '--outFile', relative(root, output), '--baseDir', root];
  const options = ['-O2', '--runtime', 'incremental', '--exportRuntime', '--noColors'];
  const { error, stderr } = await main([...args, ...options]);
  if (error !== null) throw new Error(`${error.message}\n${stderr}`);
}

if (import.meta.main) {
  for (const source of globSync(`${root}wasm/filters/*.ts`))
    await compileFilter(source, source.replace(/\.ts$/, '.wasm'));
}
