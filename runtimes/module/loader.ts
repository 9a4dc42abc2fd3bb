/**
 * Loads a module and the files that it imports by relative paths, each version of them anew and without a trace of the ones before: Node keeps
 * whatever `import()` has loaded for ever, and so keeps every version of a file that changes. Packages and built-ins are Node's to load.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire, findPackageJSON, isBuiltin, stripTypeScriptTypes } from 'node:module';
import { basename, dirname, extname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import vm, { type Module, type SyntheticModule } from 'node:vm';

type Namespace = Record<string, unknown>;

interface Loaded {
  namespace: Namespace;
  /** What it was made from, and the digest of each file. */
  files: ReadonlyMap<string, string>;
}

/** Of Node 26 with `--experimental-vm-modules`, which Weir's workers have; a program that embeds Weir may not. */
const REPLACEABLE = typeof vm.SourceTextModule === 'function';
const TYPESCRIPT = new Set(['.ts', '.mts']);
const OWN = new Set([...TYPESCRIPT, '.js', '.mjs', '.json']);

export class ModuleLoader {
  /** By the path of the entry: what runs now. Older versions live as long as somebody uses them. */
  readonly #latest = new Map<string, Promise<Loaded>>();

  /**
   * The exports of a file. While neither it nor what it imports has changed, they are the same objects as before.
   * @param watch called with every file that it is made from.
   */
  async load(file: string, watch: (file: string) => void): Promise<Namespace> {
    if (!REPLACEABLE) return import(`${pathToFileURL(file).href}?${digest(readFileSync(file))}`);
    const before = this.#latest.get(file);
    const loading = this.#reload(file, before, watch);
    this.#latest.set(file, loading);
    try {
      return (await loading).namespace;
    } catch (error) {
      if (this.#latest.get(file) === loading) {
        if (before === undefined) this.#latest.delete(file);
        else this.#latest.set(file, before);
      }
      throw error;
    }
  }

  async #reload(file: string, before: Promise<Loaded> | undefined, watch: (file: string) => void): Promise<Loaded> {
    const known = await before?.catch(() => undefined);
    if (known !== undefined && [...known.files].every(([path, was]) => digestOf(path) === was)) {
      for (const path of known.files.keys()) watch(path);
      return known;
    }
    // V8 would keep the text and the code of every version.
    setFlagsFromString('--no-compilation-cache');
    const graph = new Graph(watch);
    return { namespace: await graph.run(file), files: graph.files };
  }
}

/** One version of a module with all that it imports by relative paths. */
class Graph {
  readonly files = new Map<string, string>();
  readonly #watch: (file: string) => void;
  readonly #modules = new Map<string, Module>();

  constructor(watch: (file: string) => void) {
    this.#watch = watch;
  }

  async run(file: string): Promise<Namespace> {
    const module = await this.#find(pathToFileURL(file).href, pathToFileURL(file).href);
    await this.#evaluate(module);
    return module.namespace as Namespace;
  }

  async #evaluate(module: Module): Promise<void> {
    if (module.status === 'unlinked')
      await module.link((specifier, parent) => this.#find(specifier, parent.identifier));
    if (module.status === 'linked') await module.evaluate();
  }

  async #find(specifier: string, parent: string): Promise<Module> {
    const url = /^(?:\.{0,2}\/|file:)/.test(specifier) ? new URL(specifier, parent).href : undefined;
    const known = this.#modules.get(url ?? specifier);
    if (known !== undefined) return known;
    const source = url === undefined ? undefined : this.#read(url);
    const module =
      source === undefined ? await this.#foreign(specifier, parent) : await this.#compile(url as string, source);
    this.#modules.set(url ?? specifier, module);
    return module;
  }

  /** The source of a file that is to be loaded here; `undefined` for what Node loads: CommonJS, WebAssembly, and so on. */
  #read(url: string): string | undefined {
    const file = fileURLToPath(url);
    const extension = extname(file);
    if (!OWN.has(extension)) return undefined;
    this.#watch(file);
    const bytes = readFileSync(file);
    const source = bytes.toString('utf8');
    if (extension !== '.json' && !extension.startsWith('.m') && !isModule(source, url)) return undefined;
    this.files.set(file, digest(bytes));
    return source;
  }

  async #compile(url: string, source: string): Promise<Module> {
    const file = fileURLToPath(url);
    if (file.endsWith('.json')) return synthetic(url, { default: JSON.parse(source) });
    try {
      const code = TYPESCRIPT.has(extname(file)) ? stripTypeScriptTypes(source) : source;
      return new vm.SourceTextModule(code, {
        identifier: url,
        initializeImportMeta(meta) {
          meta.url = url;
          meta.filename = file;
          meta.dirname = dirname(file);
          meta.resolve = (specifier: string) => resolveFrom(specifier, url);
        },
        importModuleDynamically: async (specifier) => {
          const module = await this.#find(specifier, url);
          await this.#evaluate(module);
          return module;
        },
      });
    } catch (error) {
      // Node's own loader says where the mistake is.
      await import(`${url}?${digest(Buffer.from(source))}`);
      throw error;
    }
  }

  async #foreign(specifier: string, parent: string): Promise<Module> {
    return synthetic(specifier, await importFrom(specifier, parent));
  }
}

function synthetic(identifier: string, namespace: Namespace): Module {
  const names = Object.keys(namespace);
  return new vm.SyntheticModule(
    names,
    function (this: SyntheticModule) {
      for (const name of names) this.setExport(name, namespace[name]);
    },
    { identifier },
  );
}

/** `import(specifier)` as a file at `parent` would do it. */
export function importFrom(specifier: string, parent: string): Promise<Namespace> {
  const script = new vm.Script('(specifier) => import(specifier)', {
    filename: parent,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  return script.runInThisContext()(specifier);
}

function resolveFrom(specifier: string, parent: string): string {
  if (/^(?:\.{0,2}\/|file:)/.test(specifier)) return new URL(specifier, parent).href;
  if (isBuiltin(specifier)) return specifier.startsWith('node:') ? specifier : `node:${specifier}`;
  return pathToFileURL(createRequire(parent).resolve(specifier)).href;
}

/** As Node decides for `.js` and `.ts`: by the package, or else by the look of it. */
function isModule(source: string, url: string): boolean {
  const description = findPackageJSON(url);
  // Where there is none, Node 26 names the file itself.
  const { type } =
    description === undefined || basename(description) !== 'package.json'
      ? {}
      : (JSON.parse(readFileSync(description, 'utf8')) as { type?: string });
  if (type !== undefined) return type === 'module';
  return /^\s*(?:import|export)\b/m.test(source) || !/\b(?:module\.exports|exports\.|require\()/.test(source);
}

function digestOf(file: string): string {
  try {
    return digest(readFileSync(file));
  } catch {
    return 'missing';
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64url').slice(0, 16);
}
