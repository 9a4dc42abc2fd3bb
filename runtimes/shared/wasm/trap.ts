/** Where in a module a trap came from, by the names that the module has of its functions. */
import { ExtensionError } from '../../../src/abi/index.ts';
import type { Fuel, WasmModule } from './module.ts';

const FRAME = /^\s+at (?:async )?(?:(.*?) \()?wasm:\/\/wasm\/[^:]*:wasm-function\[(\d+)\]:0x([0-9a-f]+)\)?$/;
const MAX_FRAMES = 20;

/** What a call into a module threw, as the failure of its filter. `fuel` is not there yet while the module is instantiated. */
export function trapError(error: unknown, module: WasmModule, fuel: Fuel | undefined): ExtensionError {
  const { instructions } = module.limits;
  return failureOf(error, 'module', instructions, fuel?.isEmpty === true, () => describeTrap(error, module));
}

/** The same for what is of several modules. @param isEmpty the fuel is used up. */
export function failureOf(
  error: unknown,
  what: 'module' | 'component',
  instructions: number,
  isEmpty: boolean,
  trace: () => string[] = () => [],
): ExtensionError {
  if (error instanceof ExtensionError) return error;
  const detail = { trace: trace(), cause: error };
  if (isEmpty)
    return new ExtensionError('budget', `the ${what} used up its budget of ${instructions} instructions`, detail);
  if (error instanceof RangeError) return new ExtensionError('budget', `the ${what}'s call stack overflowed`, detail);
  const kind = error instanceof WebAssembly.RuntimeError ? 'trap: ' : '';
  return new ExtensionError('threw', `${kind}${error instanceof Error ? error.message : error}`, detail);
}

/** The running functions of the module, the innermost first, as `name (function 12 at 0xabc)`; places are those in the original file. */
function describeTrap(error: unknown, module: WasmModule): string[] {
  const lines = error instanceof Error ? (error.stack ?? '').split('\n') : [];
  const frames: string[] = [];
  for (const line of lines) {
    const match = FRAME.exec(line);
    if (match === null) continue;
    const [, name, number, offset = '0'] = match;
    const place = module.originalOffset(Number.parseInt(offset, 16)).toString(16);
    frames.push(`${name === undefined ? 'function' : demangle(name)} (function ${number} at 0x${place})`);
    if (frames.length === MAX_FRAMES) break;
  }
  return frames;
}

/** Names of Rust's legacy mangling, the ones that most modules have: `_ZN4name5innerE` is `name::inner`. */
function demangle(name: string): string {
  const symbol = /(?:^|\.)_ZN(.*)E$/.exec(name)?.[1];
  if (symbol === undefined) return name.replace(/^[^.]*\.wasm\./, '');
  const parts: string[] = [];
  let rest = symbol;
  for (let length = /^\d+/.exec(rest)?.[0]; length !== undefined; length = /^\d+/.exec(rest)?.[0]) {
    parts.push(rest.slice(length.length, length.length + Number(length)));
    rest = rest.slice(length.length + Number(length));
  }
  if (/^h[0-9a-f]{16}$/.test(parts.at(-1) ?? '')) parts.pop();
  return parts
    .join('::')
    .replace(/\$LT\$/g, '<')
    .replace(/\$GT\$/g, '>')
    .replace(/\$u20\$/g, ' ')
    .replace(/\.\./g, '::');
}
