#!/usr/bin/env node
/** The command line: `weir run`, `dev`, `validate`, `check`, `lua-types`, `build-wasm`, `inspect`, `schema`, `quickstart`. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { createRuntimes } from '../../runtimes/index.ts';
import { luaTypes } from '../../runtimes/lua/tools/index.ts';
import { ConfigurationError, nearest } from '../config/diagnostics.ts';
import { type LoadedConfig, loadConfigFile, loadConfigText } from '../config/load.ts';
import { configJsonSchema } from '../config/schema.ts';
import { formatAddress } from '../config/values.ts';
import { messageOf } from '../errors.ts';
import { createLogger } from '../observability/logger.ts';
import { DataPlane } from '../proxy.ts';
import { Supervisor } from '../supervisor/supervisor.ts';
import { BuildError, buildWasm, compileOnSave } from './build-wasm.ts';
import { checkScripts } from './check.ts';
import { InspectError, inspectWasm } from './inspect.ts';
import { packageFile, startQuickstart } from './quickstart.ts';

/** Wrong use, or a configuration that can't be applied. */
const EXIT_USAGE = 2;

const HELP = `weir: an HTTP proxy whose filters you write in TypeScript, Lua or WebAssembly

  weir run FILE        run a configuration (- reads it from standard input)
  weir dev FILE        run it, and compile filters in AssemblyScript whenever they are saved
  weir validate FILE   check a configuration and load its filters, without listening
  weir check PATH...   look at Lua scripts: syntax, unknown globals and methods, misspelt hooks
  weir lua-types       print the annotations of the Lua API for editors (LuaLS)
  weir build-wasm FILE.ts...   compile filters in AssemblyScript, each to the .wasm beside it
  weir inspect FILE    say what a WebAssembly file is, what it imports and exports
  weir schema          print the JSON Schema of a configuration, for editors
  weir quickstart      run the example with a Lua, a native and a WebAssembly filter

  --workers N          threads that serve; default: the configuration's, or one per core
  --no-watch           do not reload when a file changes
  -h, --help           this text
  -v, --version        the version

While it runs: SIGHUP reloads, SIGTERM and Ctrl-C drain and end, a second Ctrl-C ends at once.
`;

const COMMANDS = ['run', 'dev', 'validate', 'check', 'lua-types', 'build-wasm', 'inspect', 'schema', 'quickstart'];

class UsageError extends Error {}

async function main(argv: readonly string[]): Promise<void> {
  const { values, positionals } = parse(argv);
  const [command, file, ...more] = positionals;
  if (values.version) {
    process.stdout.write(`${JSON.parse(readFileSync(packageFile('package.json'), 'utf8')).version}\n`);
    return;
  }
  if (values.help || command === undefined) {
    process.stdout.write(HELP);
    if (!values.help) process.exitCode = EXIT_USAGE;
    return;
  }
  if (command === 'check') {
    process.stdout.write(checkScripts([requiredPath(file), ...more]));
    return;
  }
  if (command === 'build-wasm') {
    for (const source of [required(file, command, 'the source of a filter'), ...more]) {
      process.stdout.write(`${await buildWasm(source)}\n`);
    }
    return;
  }
  if (more.length > 0) throw new UsageError(`unexpected argument ${more[0]}`);
  const options = {
    workers: values.workers === undefined ? undefined : workerCount(values.workers),
    watch: !values['no-watch'],
  };
  switch (command) {
    case 'run':
      return run(required(file, 'run'), options);
    case 'dev':
      return dev(required(file, 'dev'), options);
    case 'inspect':
      process.stdout.write(await inspectWasm(required(file, 'inspect', 'a .wasm file')));
      return;
    case 'validate':
      return validate(required(file, 'validate'));
    case 'schema':
      process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
      return;
    case 'lua-types':
      process.stdout.write(luaTypes());
      return;
    case 'quickstart':
      return run(await startQuickstart(), options);
    default: {
      const near = nearest(command, COMMANDS);
      throw new UsageError(`there is no command ${command}${near === undefined ? '' : `: did you mean ${near}?`}`);
    }
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', short: 'v', default: false },
        workers: { type: 'string' },
        'no-watch': { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

function required(file: string | undefined, command: string, what = 'a configuration file'): string {
  if (file === undefined) throw new UsageError(`weir ${command} needs ${what}`);
  return file;
}

function requiredPath(path: string | undefined): string {
  if (path === undefined) throw new UsageError('weir check needs a script or a folder of scripts');
  return path;
}

function workerCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 256)
    throw new UsageError(`--workers: ${text} is no number from 1 to 256`);
  return count;
}

/** A reader of the configuration: standard input can be read once only. */
function loader(file: string, workers?: number): () => LoadedConfig {
  const text = file === '-' ? readFileSync(0, 'utf8') : undefined;
  return () => {
    const loaded = text === undefined ? loadConfigFile(file) : loadConfigText('-', text);
    return workers === undefined ? loaded : { ...loaded, config: { ...loaded.config, workers } };
  };
}

async function run(file: string, options: { workers: number | undefined; watch: boolean }): Promise<void> {
  const load = loader(file, options.workers);
  const { log } = load().config;
  const logger = createLogger(log.level, log.format);
  // In a checkout this is TypeScript, in a package the JavaScript next to it.
  const workerUrl = new URL(`./worker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);
  const supervisor = new Supervisor({ load, workerUrl, logger, watch: options.watch });
  await supervisor.start();
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) process.exit(signal === 'SIGINT' ? 130 : 143);
    stopping = true;
    void supervisor.drain().then(() => process.exit(0));
  };
  process.on('SIGINT', () => stop('SIGINT'));
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGHUP', () => void supervisor.reload('SIGHUP'));
  for (const listener of supervisor.config.listeners) {
    logger.write('info', `listening on ${formatAddress(listener.address)} (${listener.name})`);
  }
  if (supervisor.adminAddress !== undefined) logger.write('info', `admin API on http://${supervisor.adminAddress}`);
}

/** Runs a configuration whose filters are being written. */
async function dev(file: string, options: { workers: number | undefined; watch: boolean }): Promise<void> {
  const { config } = loader(file)();
  await compileOnSave(config, dirname(resolve(file)), createLogger(config.log.level, config.log.format));
  return run(file, options);
}

async function validate(file: string): Promise<void> {
  const loaded = loader(file)();
  const plane = new DataPlane({ runtimes: createRuntimes(), logger: createLogger('warn', 'text') });
  try {
    plane.discard(await plane.prepare(loaded));
  } finally {
    await plane.close();
  }
  const { listeners, clusters } = loaded.config;
  process.stdout.write(`${file}: ok, ${listeners.length} listeners, ${clusters.length} clusters\n`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`weir: ${error.message}\ntry: weir --help\n`);
  } else if (error instanceof ConfigurationError || error instanceof BuildError || error instanceof InspectError) {
    process.stderr.write(`${error.message}\n`);
  } else {
    throw error;
  }
  process.exit(EXIT_USAGE);
}
