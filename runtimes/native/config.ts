/** Checks a built-in's `config:` and says where it is wrong. */
import { z } from 'zod';
import { FilterConfigError, type Json } from '../../src/abi/index.ts';

/** @throws FilterConfigError that points at the first fault. */
export function parseConfig<T extends z.ZodType>(schema: T, config: Json): z.output<T> {
  const result = schema.safeParse(config ?? {});
  if (result.success) return result.data;
  const { issues } = result.error;
  // A key that is missing because it is misspelt is best told as the key that nobody knows.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? (issues[0] as z.core.$ZodIssue);
  const path = issue.path as (string | number)[];
  if (issue.code !== 'unrecognized_keys') {
    const missing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
    const message = missing ? `\`${path.at(-1)}\` is missing` : issue.message.replace(/^Invalid input: /, '');
    throw new FilterConfigError(message, { path });
  }
  const known = schema instanceof z.ZodObject ? Object.keys(schema.shape).join(', ') : '';
  throw new FilterConfigError(`unknown key \`${issue.keys[0]}\``, {
    path: [...path, issue.keys[0] as string],
    hint: path.length === 0 ? `known keys: ${known}` : undefined,
  });
}
