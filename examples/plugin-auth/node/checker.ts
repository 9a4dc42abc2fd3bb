/** Lets pass what has the headers that a file names: `checker.ts -c checkconf.json`. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { serve } from 'weir/plugin';

const { values } = parseArgs({ options: { config: { type: 'string', short: 'c', default: 'checkconf.json' } } });
const wanted = Object.entries(JSON.parse(readFileSync(values.config, 'utf8')) as Record<string, string>);

await serve({
  filter: () => ({
    onRequestHeaders(headers) {
      if (wanted.every(([name, value]) => headers.get(name) === value)) return undefined;
      return { status: 403, body: 'forbidden by a plugin\n' };
    },
  }),
});
