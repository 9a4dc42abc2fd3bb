/** A filter whose settings come from its start arguments: `--deny PREFIX` refuses paths, `--stamp NAME=VALUE` sets a header of responses. */
import { parseArgs } from 'node:util';
import { type PluginFilter, serve } from 'weir/plugin';

const { values } = parseArgs({
  options: { deny: { type: 'string', multiple: true }, stamp: { type: 'string', multiple: true } },
});
const { deny, stamp } = values;

const filter: PluginFilter = {};
// Weir sends an agent only what it has a hook for.
if (deny !== undefined) {
  filter.onRequestHeaders = (headers) => {
    const path = headers.get(':path') ?? '';
    return deny.some((prefix) => path.startsWith(prefix)) ? { status: 403, body: `${path} is denied\n` } : undefined;
  };
}
if (stamp !== undefined) {
  filter.onResponseHeaders = (headers) => {
    for (const one of stamp) headers.set(one.slice(0, one.indexOf('=')), one.slice(one.indexOf('=') + 1));
  };
}

await serve({ filter: () => filter });
