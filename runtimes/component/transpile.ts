/** A component as core modules with budgets and the JavaScript between them, made by jco. */
import { FilterConfigError } from '../../src/abi/index.ts';
import { digestOf, type Fuel, type WasmLimits, WasmModule } from '../shared/wasm/module.ts';

/** The interface by which a component calls out; one that imports it may wait within its hooks. */
export const CALLOUT = 'weir:filter/callout';
/** The hooks, by their names in WIT. */
const ASYNC_HOOKS = [
  'on-request-headers',
  'on-request-body',
  'on-request-trailers',
  'on-response-headers',
  'on-response-body',
  'on-response-trailers',
];
const NAME = 'filter';

type Instantiate = (
  getCoreModule: (path: string) => WebAssembly.Module,
  imports: Record<string, object>,
  instantiateCore: (module: WebAssembly.Module, imports: WebAssembly.Imports) => WebAssembly.Instance,
) => Record<string, (...args: unknown[]) => unknown>;

/** What the exports of a component are called in JavaScript, and the fuel of all its modules. */
export interface ComponentInstance {
  readonly exports: Record<string, (...args: unknown[]) => unknown>;
  readonly fuels: readonly Fuel[];
}

export class Component {
  /** Interfaces, without their versions. */
  readonly imports: readonly string[];
  /** Functions, in camel case. */
  readonly exports: readonly string[];
  readonly #modules: ReadonlyMap<string, WasmModule>;
  readonly #instantiate: Instantiate;

  private constructor(
    imports: readonly string[],
    exports: readonly string[],
    modules: ReadonlyMap<string, WasmModule>,
    instantiate: Instantiate,
  ) {
    this.imports = imports;
    this.exports = exports;
    this.#modules = modules;
    this.#instantiate = instantiate;
  }

  /** @throws FilterConfigError */
  static async load(bytes: Uint8Array, limits: WasmLimits): Promise<Component> {
    // Loaded with the first component: it is large.
    const { transpileBytes } = await import('@bytecodealliance/jco-transpile');
    const common = {
      name: NAME,
      instantiation: 'sync',
      wasiShim: false,
      emitTypescriptDeclarations: false,
      noComponentErrorWrapping: true,
      validLiftingOptimization: true,
    } as const;
    try {
      let made = await transpileBytes(bytes, common);
      if (made.imports.includes(CALLOUT)) {
        made = await transpileBytes(bytes, {
          ...common,
          asyncMode: 'jspi',
          asyncImports: [`${CALLOUT}@${calloutVersion(bytes)}#call`],
          asyncExports: ASYNC_HOOKS,
        });
      }
      const modules = new Map<string, WasmModule>();
      for (const [path, content] of Object.entries(made.files)) {
        if (!path.endsWith('.wasm')) continue;
        modules.set(path, new WasmModule(content, digestOf(content), limits, true));
      }
      const code = new TextDecoder().decode(made.files[`${NAME}.js`]);
      const exports = made.exports.filter(([, kind]) => kind === 'function').map(([name]) => name);
      return new Component(made.imports, exports, modules, evaluate(code));
    } catch (error) {
      if (error instanceof Error) {
        throw new FilterConfigError(`this component can't be used: ${error.message}`, { cause: error });
      }
      throw error;
    }
  }

  /** One instance with its own memory. Throws what the component throws. */
  instantiate(imports: Record<string, object>): ComponentInstance {
    const fuels: Fuel[] = [];
    const compiled = new Map<WebAssembly.Module, WasmModule>();
    const exports = this.#instantiate(
      (path) => {
        const found = this.#modules.get(path) as WasmModule;
        compiled.set(found.module, found);
        return found.module;
      },
      imports,
      (module, linked) => {
        const instance = new WebAssembly.Instance(module, linked);
        const known = compiled.get(module);
        if (known !== undefined) fuels.push(known.fuelOf(instance));
        return instance;
      },
    );
    return { exports, fuels };
  }
}

/** The version of the interface that a component names. */
function calloutVersion(bytes: Uint8Array): string {
  const found = /weir:filter\/callout@([0-9a-z.-]+)/.exec(Buffer.from(bytes).toString('latin1'));
  return found?.[1] ?? '0.1.0';
}

/** jco's code has no imports; evaluated as a function it can be collected, which a module can't. */
function evaluate(code: string): Instantiate {
  const body = code
    .replace(/^export (?=(async )?function |const )/gm, '')
    // Asked many times in each call, and slow to ask: a tenth of a call's time.
    .replaceAll('globalThis?.process?.env?.JCO_DEBUG', 'false');
  return new Function(`"use strict";${body}\nreturn instantiate;`)() as Instantiate;
}
