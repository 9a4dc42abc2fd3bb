/** `npm run -s wasm-case`: serves one recorded case in the foreground, for oracle.py's `--start`; its environment says which. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { caseConfig } from './case-config.ts';

const { CASE_FILE = '', MODULE_FILE = '', LISTEN_PORT, UPSTREAM_PORT, DEAD_PORT } = process.env;
const config = caseConfig(MODULE_FILE, JSON.parse(readFileSync(CASE_FILE, 'utf8')), {
  listen: Number(LISTEN_PORT),
  upstream: Number(UPSTREAM_PORT),
  dead: Number(DEAD_PORT),
});
const weir = fileURLToPath(new URL('../../../src/cli/weir.ts', import.meta.url));
const child = spawn(process.execPath, ['--conditions=source', weir, 'run', '-'], {
  stdio: ['pipe', 'inherit', 'inherit'],
});
child.stdin.end(JSON.stringify(config));
child.on('exit', (code) => process.exit(code ?? 1));
