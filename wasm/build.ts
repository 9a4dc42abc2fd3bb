/**
 * Builds the WebAssembly filters that ship, beside their sources; run by `npm run build:wasm`. Those in AssemblyScript need nothing but
 * npm; for the others what the machine has is used, and `--all` makes a missing compiler an error.
 */
import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  available,
  compileFilter,
  compileGo,
  compileJavaScriptComponent,
  compileProxyWasm,
  compileRust,
} from './toolchains.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const all = process.argv.includes('--all');

for (const source of globSync(`${here}filters/*.ts`)) await compileFilter(source, source.replace(/\.ts$/, '.wasm'));
await compileProxyWasm(`${here}proxy-wasm/auth-assemblyscript.ts`, `${here}proxy-wasm/auth-assemblyscript.wasm`);
compileJavaScriptComponent(`${here}components/auth.js`, 'request-filter', `${here}components/auth.wasm`);
for (const name of ['auth-rust', 'rewrite-body-rust']) {
  if (needed('Rust with a target for WebAssembly', available.rust)) {
    await compileRust(`${here}proxy-wasm/${name}`, `${here}proxy-wasm/${name}.wasm`);
  }
}
if (needed('Go', available.go)) compileGo(`${here}proxy-wasm/auth-go`, `${here}proxy-wasm/auth-go.wasm`);

function needed(what: string, isThere: () => boolean): boolean {
  if (isThere()) return true;
  if (all) throw new Error(`${what} is not on this machine`);
  process.stderr.write(`not built: ${what} is not on this machine\n`);
  return false;
}
