/** WASI for components, from preview2-shim, with nothing granted: clocks and random numbers, but no files, sockets, HTTP or environment. */
import { ExtensionError } from '../../src/abi/index.ts';

const REFUSED = /^wasi:(sockets|http)\//;

/** The interfaces among `names` that are of WASI; `undefined` stands for one that is not granted. */
export async function wasiImports(names: readonly string[]): Promise<Record<string, object | undefined>> {
  const wanted = names.filter((name) => name.startsWith('wasi:'));
  if (wanted.length === 0) return {};
  const { WASIShim } = await import('@bytecodealliance/preview2-shim/instantiation');
  const shim = new WASIShim({ sandbox: { preopens: {}, env: {}, args: [], enableNetwork: false } });
  const known = shim.getImportObject() as unknown as Record<string, object>;
  const exit = () => {
    throw new ExtensionError('threw', 'the component asked to end');
  };
  return Object.fromEntries(
    wanted.map((name) => [
      name,
      name === 'wasi:cli/exit' ? { exit, exitWithCode: exit } : REFUSED.test(name) ? undefined : known[name],
    ]),
  );
}
