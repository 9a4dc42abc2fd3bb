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

  /** What the watched files hold now: taken before they are read, and given to `set` after it. */
  look(): ReadonlyMap<string, string> {
    return new Map([...this.#digests.keys()].map((file) => [file, digestOf(file)]));
  }

  /** Watches exactly these files. One that changed since `before`, while it was being read, counts as changed. */
  set(files: Iterable<string>, before: ReadonlyMap<string, string>): void {
    const digests = new Map([...new Set(files)].map((file) => [file, before.get(file) ?? digestOf(file)]));
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
        const watcher = watch(folder, { persistent: false }, () => this.#compareSoon());
        watcher.on('error', () => {});
        this.#watchers.set(folder, watcher);
      } catch {
        // A folder that is gone is watched again when the next configuration names it.
      }
    }
    this.#compareSoon();
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #compareSoon(): void {
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
