/** Counts down each client's quota; one process for all workers, so the count is right. */
import { parseArgs } from 'node:util';
import { serve } from 'weir/plugin';

const { values } = parseArgs({ options: { limit: { type: 'string', default: '10' } } });
const left = new Map<string, number>();

await serve({
  call({ header }) {
    const client = header.client ?? '';
    const before = left.get(client) ?? Number(values.limit);
    left.set(client, Math.max(0, before - 1));
    return { status: before };
  },
});
