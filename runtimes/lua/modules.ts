/** Modules for `require`: files below the folders that the entry lists, as LuaRocks lays pure Lua packages out. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FilterHost } from '../../src/abi/index.ts';

/** Where a module `a.b` may be below a folder. Source: Lua 5.1's default `package.path`. */
const PLACES = ['?.lua', '?/init.lua', 'share/lua/5.1/?.lua', 'share/lua/5.1/?/init.lua'];

/** The text of a module, one character per byte; a change of its file reloads the configuration. */
export function findModule(
  name: string,
  folders: readonly string[],
  host: FilterHost,
): { text: string; file: string } | undefined {
  if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name)) return undefined;
  const path = name.replaceAll('.', '/');
  for (const folder of folders) {
    for (const place of PLACES) {
      const file = join(folder, place.replace('?', path));
      const text = read(file);
      if (text === undefined) continue;
      host.watch(file);
      return { text, file };
    }
  }
  return undefined;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return undefined;
  }
}
