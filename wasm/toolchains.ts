/** Compilers of WebAssembly filters, by language; each writes one module. Whoever calls them chooses what to build. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { main } from 'assemblyscript/asc';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A filter written with Weir's AssemblyScript library. @throws Error with the compiler's messages */
export function compileFilter(source: string, output: string): Promise<void> {
  return asc(source, output, ['--runtime', 'incremental', '--exportRuntime']);
}

/** A Proxy-Wasm module in AssemblyScript that exports `abort` itself. @throws Error with the compiler's messages */
export function compileProxyWasm(
  source: string,
  output: string,
  runtime = 'incremental',
  abort = source,
): Promise<void> {
  const name = relative(root, abort).replace(/\.ts$/, '/abort');
  return asc(source, output, ['--runtime', runtime, '--exportStart', '_initialize', '--use', `abort=${name}`]);
}

async function asc(source: string, output: string, options: readonly string[]): Promise<void> {
  const args = [relative(root, source), '--outFile', relative(root, output), '--baseDir', root, '-O2', '--noColors'];
  const { error, stderr } = await main([...args, ...options]);
  if (error !== null) throw new Error(`${error.message}\n${stderr}`);
}

/** A module made with @solo-io/proxy-runtime, which needs the AssemblyScript of its time. */
export function compileSoloIo(source: string, output: string): void {
  const compiler = join(createRequire(import.meta.url).resolve('assemblyscript-0.14/package.json'), '../bin/asc');
  run(process.execPath, [compiler, relative(root, source), '-b', output, '-O', '--use', 'abort=abort_proc_exit'], root);
}

/** A component in JavaScript, in QuickJS, for a world of wasm/wit; WASI's functions trap. */
export function compileJavaScriptComponent(source: string, world: string, output: string): void {
  const compiler = join(
    createRequire(import.meta.url).resolve('componentize-qjs/package.json'),
    '../bin/componentize-qjs',
  );
  const args = [
    '--wit',
    'wasm/wit',
    '--js',
    source,
    '--world',
    world,
    '--sync',
    '--stub-wasi',
    '--opt-size',
    '--output',
    output,
  ];
  run(process.execPath, [compiler, ...args], root);
}

/** A component in Python, by componentize-py of the project's `.venv` or of the PATH; WASI's functions trap. */
export function compilePythonComponent(source: string, world: string, output: string): void {
  const own = join(root, '.venv/bin/componentize-py');
  const args = [
    '-d',
    join(root, 'wasm/wit'),
    '-w',
    world,
    'componentize',
    '--stub-wasi',
    basename(source, '.py'),
    '-o',
    output,
  ];
  run(existsSync(own) ? own : 'componentize-py', args, dirname(source));
}

/** A Go package with the functions of the ABI as `go:wasmexport`. */
export function compileGo(folder: string, output: string): void {
  const env = { ...process.env, GOOS: 'wasip1', GOARCH: 'wasm', GOFLAGS: '-mod=mod' };
  run('go', ['build', '-ldflags=-s -w', '-buildmode=c-shared', '-o', output, '.'], folder, env);
}

/** One C file without a library. */
export function compileC(source: string, output: string): void {
  const clang = ['clang', 'clang-14'].find(hasWasmTarget) ?? 'clang-14';
  run(
    clang,
    ['--target=wasm32', '-O2', '-nostdlib', '-Wl,--no-entry', '-Wl,-z,stack-size=32768', source, '-o', output],
    root,
  );
}

/** A Cargo project; its name is the module's. Debian's compiler serves where rustup's has no target for WebAssembly. */
export async function compileRust(folder: string, output: string): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'weir-rust-'));
  try {
    await cp(folder, work, { recursive: true, filter: (path) => !path.endsWith('/target') });
    const name = /^name = "(.*)"$/m.exec(readFileSync(join(work, 'Cargo.toml'), 'utf8'))?.[1]?.replaceAll('-', '_');
    const target = rustTarget();
    if (target !== undefined) {
      run('cargo', ['build', '--quiet', '--locked', '--release', '--target', target], work);
      await cp(join(work, 'target', target, 'release', `${name}.wasm`), output);
      return;
    }
    // A cargo that reaches the registry fetches; Debian's, which is older, compiles what is there.
    run('cargo', ['vendor', '--quiet', '--locked', 'vendor'], work);
    const lock = join(work, 'Cargo.lock');
    writeFileSync(lock, readFileSync(lock, 'utf8').replace(/^version = 4$/m, 'version = 3'));
    const vendored = ['source.crates-io.replace-with="vendored"', 'source.vendored.directory="vendor"'];
    const config = vendored.flatMap((line) => ['--config', line]);
    const args = ['build', '--quiet', '--offline', '--release', '--target', DEBIAN_TARGET, ...config];
    run('/usr/bin/cargo', args, work, { ...process.env, RUSTC: '/usr/bin/rustc' });
    await cp(join(work, 'target', DEBIAN_TARGET, 'release', `${name}.wasm`), output);
  } finally {
    rmSync(work, { recursive: true });
  }
}

const DEBIAN_TARGET = 'wasm32-wasi';

/** Whether what these compilers need is on this machine. */
export const available = {
  go: () => succeeds('go', ['version']),
  c: () => hasWasmTarget('clang') || hasWasmTarget('clang-14'),
  rust: () =>
    succeeds('cargo', ['--version']) && (rustTarget() !== undefined || existsSync(`/usr/lib/rustlib/${DEBIAN_TARGET}`)),
};

function rustTarget(): string | undefined {
  try {
    const sysroot = execFileSync('rustc', ['--print', 'sysroot'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    return ['wasm32-wasip1', 'wasm32-unknown-unknown'].find((target) =>
      existsSync(join(sysroot, 'lib/rustlib', target, 'lib')),
    );
  } catch {
    return undefined;
  }
}

function hasWasmTarget(clang: string): boolean {
  return (
    succeeds(clang, ['--print-targets']) &&
    execFileSync(clang, ['--print-targets'], { encoding: 'utf8' }).includes('wasm32')
  );
}

function succeeds(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function run(command: string, args: readonly string[], cwd: string, env = process.env): void {
  execFileSync(command, args, { cwd, env, stdio: ['ignore', 'ignore', 'inherit'] });
}
