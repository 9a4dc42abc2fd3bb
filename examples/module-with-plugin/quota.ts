/** Asks a program whether a client has any quota left; answers from the module's own cache once it has none. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type FilterHost, FilterStatus, type Json, type StreamFilterFactory } from 'weir';
import { startPlugin } from 'weir/plugin';

const program = join(dirname(fileURLToPath(import.meta.url)), 'counter.ts');

export async function createStreamFilterFactory(config: Json, host: FilterHost): Promise<StreamFilterFactory> {
  const { limit } = config as { limit: number };
  const plugin = await startPlugin(host, program, { args: ['--limit', String(limit)] });
  const spent = new Set<string>();
  return {
    create: (stream) => ({
      async onRequestHeaders(headers) {
        const client = headers.get('x-client') ?? 'anonymous';
        const left = spent.has(client) ? 0 : (await plugin.call({ type: 'take', header: { client } })).status;
        if (left > 0) return FilterStatus.Continue;
        spent.add(client);
        stream.respond(429, [], 'no quota left\n');
        return FilterStatus.Stop;
      },
    }),
    close: () => plugin.close(),
  };
}
