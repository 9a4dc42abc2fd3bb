/** State of the code generator: the function that it is in, names for temporaries and labels, and marks of operations that can fail. */
import type { Expression } from 'luaparse';
import type { Site } from '../vm/values.ts';
import type { FunctionInfo } from './scope.ts';

/** How a `goto` reaches a label. */
export interface Label {
  name: string;
  /** The label of a JavaScript statement. */
  js: string;
  /** The case of a `switch` to go on at; `undefined`: leave the block. */
  state: { variable: string; value: number } | undefined;
}

/** One Lua function while its code is made. */
export class FunctionState {
  readonly info: FunctionInfo;
  /** Temporaries in use, and the most that were. */
  temporaries = 0;
  maxTemporaries = 0;
  locals = 0;
  /** Labels of loops, the innermost last, for `break`. */
  readonly loops: string[] = [];
  readonly labels: Label[] = [];
  /** Operations since the last loop or function head. */
  weight = 1;
  /** Functions that are made since then. */
  closures = 0;

  constructor(info: FunctionInfo) {
    this.info = info;
  }
}

export class Emitter {
  readonly sites: Site[] = [];
  /** Lists of keys of table constructors. */
  readonly keys: string[] = [];
  fn!: FunctionState;
  #id = 0;

  unique(prefix: string): string {
    return `${prefix}${++this.#id}`;
  }

  /** A temporary of the running function; give it back with `release`. */
  temporary(): string {
    const { fn } = this;
    const name = `t${fn.temporaries++}`;
    fn.maxTemporaries = Math.max(fn.maxTemporaries, fn.temporaries);
    return name;
  }

  release(count: number): void {
    this.fn.temporaries -= count;
  }

  /** Begins a line that stands for an operation of the source. */
  site(node: Pick<Expression, 'loc'>, names: readonly (string | undefined)[] = [], tail = false): string {
    this.sites.push({ line: node.loc.start.line, names, tail });
    return `\n/*${this.sites.length - 1}*/`;
  }
}

/** By line of the generated code (from 1): which operation stands there. */
export function sitesByLine(code: string, sites: readonly Site[]): (Site | undefined)[] {
  const byLine: (Site | undefined)[] = [undefined];
  for (const line of code.split('\n')) {
    const mark = /^\/\*([0-9]+)\*\//.exec(line);
    byLine.push(mark === null ? undefined : sites[Number(mark[1])]);
  }
  return byLine;
}
