/** Runs the command line as a person would: a process of its own, from the checkout, with no build. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onCleanup } from './proxy.ts';

const CLI = fileURLToPath(new URL('../../src/cli/weir.ts', import.meta.url));

/** An empty folder that ends with the test; `files` are written into it. */
export function temporaryFolder(files: Readonly<Record<string, string>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-test-'));
  onCleanup(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** A port that nothing listens on at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

export class WeirProcess {
  readonly child: ChildProcess;
  output = '';
  readonly #exit: Promise<number>;
  readonly #waiters = new Set<() => void>();
  #exited = false;

  constructor(args: readonly string[], options: { cwd?: string; input?: string; env?: NodeJS.ProcessEnv } = {}) {
    this.child = spawn(process.execPath, ['--conditions=source', CLI, ...args], {
      cwd: options.cwd ?? process.cwd(),
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
        this.#wake();
      });
    }
    this.child.stdin?.end(options.input ?? '');
    this.#exit = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        this.#exited = true;
        this.#wake();
        resolve(code ?? (signal === null ? -1 : -2));
      });
    });
    onCleanup(async () => {
      this.child.kill('SIGKILL');
      await this.#exit;
    });
  }

  /** Waits until the output holds `text`; rejects when the process ends first. */
  async until(text: string): Promise<void> {
    while (!this.output.includes(text)) {
      if (this.#exited) throw new Error(`the process ended; its output:\n${this.output}`);
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  exit(): Promise<number> {
    return this.#exit;
  }

  #wake(): void {
    const waiting = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiting) wake();
  }
}

/** Waits until `condition` gives something other than false and undefined. */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  timeout = 15_000,
): Promise<Exclude<T, false | undefined>> {
  const deadline = performance.now() + timeout;
  for (;;) {
    const value = await condition();
    if (value !== false && value !== undefined) return value as Exclude<T, false | undefined>;
    if (performance.now() > deadline) throw new Error('it did not come true in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
