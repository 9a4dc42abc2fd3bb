/** Tells when files change. Folders are watched, so that a file that an editor or a ConfigMap replaces is still seen. */
import { createHash } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';

/** Editors write in several steps. */
const SETTLE_TIME = 30;

export class FileWatch {
  readonly #onChange: () => void;
  readonly #watchers = new Map<string, FSWatcher>();
  #digests = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  /** @param onChange called once the content of a watched file is another than before. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Watches exactly these files, as they are now. */
  set(files: Iterable<string>): void {
    const digests = new Map([...new Set(files)].map((file) => [file, digestOf(file)]));
    this.#digests = digests;
    const folders = new Set([...digests.keys()].map((file) => dirname(file)));
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of folders) {
      if (this.#watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#look());
        watcher.on('error', () => {});
        this.#watchers.set(folder, watcher);
      } catch {
        // A folder that is gone is watched again when the next configuration names it.
      }
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #look(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const changed = [...this.#digests].filter(([file, digest]) => digestOf(file) !== digest);
      if (changed.length === 0) return;
      for (const [file] of changed) this.#digests.set(file, digestOf(file));
      this.#onChange();
    }, SETTLE_TIME);
  }
}

function digestOf(file: string): string {
  try {
    return createHash('sha256').update(readFileSync(file)).digest('hex');
  } catch {
    return 'missing';
  }
}
