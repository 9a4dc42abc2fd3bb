/** What is wrong with an entry of a listener, and where. */
import type { FilterConfigError } from '../abi/index.ts';

/** A filter, or another extension, that can't be made; `path` is below the listener. */
export class FilterLoadError extends Error {
  override readonly name = 'FilterLoadError';
  readonly path: readonly (string | number)[];
  readonly detail: FilterConfigError;
  /** The key below `path` that it is about, when the key is the fault and not its value. */
  readonly key: string | undefined;

  constructor(path: readonly (string | number)[], detail: FilterConfigError, key?: string) {
    super(detail.message);
    this.path = path;
    this.detail = detail;
    this.key = key;
  }
}
