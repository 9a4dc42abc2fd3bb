/** `npm run build`: emits `dist/` (JavaScript and types) for publishing; what is no TypeScript is copied. */
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('.', import.meta.url));

rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
for (const declarations of [
  'runtimes/lua/fengari/fengari.d.ts',
  'runtimes/lua/compiler/luaparse.d.ts',
  'runtimes/shared/wasm/webassembly.d.ts',
]) {
  cpSync(`${root}${declarations}`, `${root}dist/${declarations}`);
}
cpSync(`${root}runtimes/plugin/proto`, `${root}dist/runtimes/plugin/proto`, { recursive: true });
