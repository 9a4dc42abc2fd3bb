/**
 * A small shell that outlives Weir by a moment: when Weir is gone, even by `kill -9`, it kills the plugins' process groups and
 * removes their sockets. It knows that Weir is gone by the end of its standard input.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SCRIPT = `
trap '' HUP INT TERM
groups=' '
while read -r op group; do
  case $op in
    add) groups="$groups$group " ;;
    del) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -9 "-$group" 2>/dev/null; done
rm -rf -- "$1"
`;

export class Guardian {
  /** A folder for what the processes put down; it ends with Weir. */
  readonly folder: string;
  readonly #shell: ChildProcess;

  constructor() {
    // Short, since the path of a unix socket has at most 107 bytes.
    this.folder = mkdtempSync(join(tmpdir(), 'weir-'));
    // Processes of other users must reach their own folders in it.
    chmodSync(this.folder, 0o711);
    this.#shell = spawn('/bin/sh', ['-c', SCRIPT, 'weir-guardian', this.folder], {
      // A session of its own: what ends Weir's process group does not end it.
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {},
    });
    this.#shell.on('error', () => {});
    this.#shell.stdin?.on('error', () => {});
    this.#shell.unref();
    (this.#shell.stdin as unknown as { unref?(): void } | null)?.unref?.();
  }

  /** A process group lives. */
  add(group: number): void {
    this.#shell.stdin?.write(`add ${group}\n`);
  }

  /** It has ended. */
  delete(group: number): void {
    this.#shell.stdin?.write(`del ${group}\n`);
  }

  close(): void {
    this.#shell.stdin?.end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
