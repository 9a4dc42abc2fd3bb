/** The errors that a filter, a factory or a runtime throws on purpose, so that Weir can tell the user what happened and where. */

/** Where in a script, a module or a configuration something is. Lines and columns count from 1. */
export interface SourcePosition {
  file: string;
  line?: number | undefined;
  column?: number | undefined;
  /** The lines around it, where the runtime has the source at hand. */
  frame?: string | undefined;
}

/** A factory refuses its `config:`, or a file that it needs. The configuration as a whole is then not applied. */
export class FilterConfigError extends Error {
  override readonly name = 'FilterConfigError';
  /** The path of the bad value below the entry's `config:`, e.g. `['response', 'set']`; empty for the whole. */
  readonly path: readonly (string | number)[];
  /** The key of the entry, or of the route's settings, that it is about, when that is not `config`. */
  readonly option: string | undefined;
  /** What to do about it, in one sentence. */
  readonly hint: string | undefined;
  /** The place in the script or module, when the fault is there and not in the configuration. */
  readonly position: SourcePosition | undefined;

  constructor(
    message: string,
    detail: {
      path?: readonly (string | number)[] | undefined;
      option?: string | undefined;
      hint?: string | undefined;
      position?: SourcePosition | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.path = detail.path ?? [];
    this.option = detail.option;
    this.hint = detail.hint;
    this.position = detail.position;
  }
}

/** `threw`: the filter's own code failed; `budget`: it used up its instructions, memory or time; `contract`: it broke the ABI's rules. */
export type ExtensionErrorCode = 'threw' | 'budget' | 'contract';

/** A filter failed while it served a stream. Its policy (`on_error`) decides what becomes of the request. */
export class ExtensionError extends Error {
  override readonly name = 'ExtensionError';
  readonly code: ExtensionErrorCode;
  readonly position: SourcePosition | undefined;
  /** The running functions of a script, the innermost first, as `name (file:line)`. */
  readonly trace: readonly string[];

  constructor(
    code: ExtensionErrorCode,
    message: string,
    detail: { position?: SourcePosition | undefined; trace?: readonly string[]; cause?: unknown } = {},
  ) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.position = detail.position;
    this.trace = detail.trace ?? [];
  }
}
