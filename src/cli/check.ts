/** `weir check PATH...`: looks at Lua scripts without running them. */
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { check } from '../../runtimes/lua/tools/index.ts';
import { ConfigurationError, codeFrame, type Diagnostic, nearest } from '../config/diagnostics.ts';
import { messageOf } from '../errors.ts';

/** @throws ConfigurationError with all that was found. */
export function checkScripts(paths: readonly string[]): string {
  const files = paths.flatMap(filesOf);
  const found = files.flatMap(checkFile);
  if (found.length > 0) throw new ConfigurationError(found);
  return `${files.length} ${files.length === 1 ? 'script' : 'scripts'}: ok\n`;
}

function filesOf(path: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new ConfigurationError([{ file: path, message: 'there is no such file or folder' }]);
  return stat.isDirectory()
    ? globSync('**/*.lua', { cwd: path })
        .sort()
        .map((file) => join(path, file))
    : [path];
}

function checkFile(file: string): Diagnostic[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    return [{ file, message: `can't read the script: ${messageOf(error)}` }];
  }
  const text = bytes.toString('utf8');
  return check(bytes.toString('latin1'), nearest).map(({ message, line, column, hint }) => ({
    message,
    file,
    line,
    column,
    frame: codeFrame(text, line, column ?? 1),
    hint,
  }));
}
