/** The keys of an entry that the plugin runtime reads. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import {
  FilterConfigError,
  type FilterHost,
  type FilterSpec,
  type PluginSpec,
  parseDuration,
  parseSize,
} from '../../src/abi/index.ts';

const duration = (fallback: string) =>
  z
    .union([z.string(), z.literal(0)])
    .default(fallback)
    .transform((value, context) => {
      const parsed = parseDuration(value);
      if (parsed !== undefined) return parsed;
      context.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is no duration: write 50ms, 1.5s or 2m` });
      return z.NEVER;
    });
const size = z.union([z.string(), z.number()]).transform((value, context) => {
  const parsed = parseSize(value);
  if (parsed !== undefined && parsed > 0) return parsed;
  context.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is no size: write 512, 64KiB or 16MiB` });
  return z.NEVER;
});
const limit = z.int().min(1).optional();

const schema = z.strictObject({
  protocol: z.enum(['weir', 'mosn', 'ext_proc']).default('weir'),
  /** Of `ext_proc`: a service behind that cluster, in the place of a program. */
  cluster: z.string().optional(),
  args: z.array(z.coerce.string()).default([]),
  env: z.record(z.string(), z.coerce.string()).default({}),
  inherit_env: z.boolean().default(false),
  directory: z.string().default('.'),
  user: z.coerce.string().optional(),
  resources: z
    .strictObject({ address_space: size.optional(), open_files: limit, cpu_time: limit, processes: limit })
    .default({}),
  processes: z.int().min(1).max(64).default(1),
  start_timeout: duration('10s'),
  stop_timeout: duration('5s'),
  max_restarts: z.int().min(0).default(0),
  health_interval: duration('5s'),
  timeout: duration('1s'),
  retries: z.int().min(0).max(10).default(2),
  max_message_size: size.default(4 * 1024 ** 2),
  watch: z.array(z.string()).default([]),
  // How MOSN's protocol is used.
  side: z.enum(['request', 'response']).default('request'),
  send: z.array(z.enum(['headers', 'body', 'trailers'])).default(['headers']),
  type: z.string().default(''),
  allow_status: z.array(z.int()).default([0, 1]),
  deny_status: z.int().min(200).max(599).default(403),
});

export type PluginOptions = z.output<typeof schema>;

/** Keys that mean something in MOSN's protocol only. */
const MOSN_KEYS = ['side', 'send', 'type', 'allow_status', 'deny_status'];

export const OPTIONS = Object.keys(schema.shape);

/** @throws FilterConfigError */
export function readOptions(options: FilterSpec['options']): PluginOptions {
  const result = schema.safeParse(options);
  if (!result.success) {
    const { path, message } = result.error.issues[0] as z.core.$ZodIssue;
    const [option, ...below] = path.map(String);
    const place = below.length === 0 ? '' : `${below.join('.')}: `;
    throw new FilterConfigError(`\`${option}\`: ${place}${message.replace(/^Invalid input: /, '')}`, { option });
  }
  const foreign = MOSN_KEYS.find((key) => options[key] !== undefined);
  if (result.data.protocol !== 'mosn' && foreign !== undefined) {
    throw new FilterConfigError(`\`${foreign}\` belongs to \`protocol: mosn\``, { option: foreign });
  }
  return result.data;
}

/** The program that an entry names. A change of it, or of a file of `watch:`, makes another plugin of it, which takes the old one's place. */
export function pluginSpec(
  spec: Pick<FilterSpec, 'name' | 'file' | 'directory'>,
  options: PluginOptions,
  host: FilterHost,
): PluginSpec {
  const { file } = spec;
  if (file === undefined) {
    throw new FilterConfigError('a plugin needs the path of a program in `use:`', {
      hint: 'write ./checker, with a slash',
    });
  }
  const watched = options.watch.map((path) => resolve(spec.directory, path));
  for (const path of watched) host.watch(path);
  return {
    name: `${host.listener}/${spec.name}`,
    file,
    args: options.args,
    env: options.env,
    inheritEnv: options.inherit_env,
    directory: resolve(spec.directory, options.directory),
    user: options.user,
    resources: options.resources,
    processes: options.processes,
    startTimeout: options.start_timeout,
    stopTimeout: options.stop_timeout,
    drainTimeout: options.timeout,
    maxRestarts: options.max_restarts,
    healthInterval: options.health_interval,
    version: digest([file, ...watched]),
  };
}

function digest(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files) {
    try {
      hash.update(readFileSync(file));
    } catch (error) {
      throw new FilterConfigError(`can't read ${file}: ${(error as Error).message}`, { option: 'watch' });
    }
  }
  return hash.digest('base64url');
}
