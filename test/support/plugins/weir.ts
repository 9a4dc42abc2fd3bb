/** A plugin in Weir's own protocol; `config: { case, file }` chooses what it does. */
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';
import { HOLD, type PluginFilter, serve } from 'weir/plugin';

const cases = (file: string): Record<string, PluginFilter> => ({
  'late-edit': {
    onRequestHeaders: (headers, _, end) => {
      headers.set('x-early', 'yes');
      return end ? undefined : HOLD;
    },
    onRequestBody(_, stream, end) {
      if (!end) return HOLD;
      stream.requestHeaders?.set('x-length', String(stream.requestBody.length));
      return undefined;
    },
  },
  'too-late-edit': {
    onRequestBody: (chunk) => Buffer.concat([chunk, Buffer.from('!')]),
    onRequestHeaders: (headers) => {
      headers.remove('content-length');
    },
  },
  info: {
    onRequestHeaders(headers, stream) {
      const { info, routeConfig, metadata } = stream;
      return { status: 200, body: JSON.stringify({ info, routeConfig, metadata, all: [...headers] }) };
    },
  },
  metadata: {
    onRequestHeaders(_, stream) {
      stream.setMetadata('plugin.test', 'user', { name: 'admin' });
    },
  },
  repeated: {
    onRequestHeaders(headers) {
      headers.add('x-repeated', 'two');
      headers.add('x-new', 'caf\u00e9');
      headers.remove('x-gone');
    },
  },
  never: { onRequestHeaders: () => new Promise(() => {}) },
  die: { onRequestHeaders: () => process.exit(1) },
  'die-once': {
    onRequestHeaders() {
      if (existsSync(file)) return { status: 200, body: 'the second process' };
      writeFileSync(file, '');
      return process.exit(1);
    },
  },
  'bad-status': { onRequestHeaders: () => ({ status: 700 }) },
  complete: { onComplete: (stream, status) => appendFileSync(file, `${stream.info.listener} ${status}\n`) },
  none: {},
});

await serve({
  filter(config) {
    const { case: name, file = '' } = config as { case: string; file?: string };
    const filter = cases(file)[name];
    if (filter === undefined) throw new Error(`there is no case ${name}`);
    return filter;
  },
});
