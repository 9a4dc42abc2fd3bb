/** A filter that answers in the place of a response, after a wait. */
import { expect, test } from 'vitest';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { RawClient } from '../support/raw.ts';
import { startUpstream } from '../support/upstream.ts';
import { temporaryFolder } from '../support/weir-process.ts';

test('a local reply after a wait takes the place of all of a response, the body that came meanwhile too', async () => {
  const upstream = await startUpstream((_, response) => response.end('the answer of the upstream'));
  const folder = temporaryFolder({
    'late.mjs': `export const createStreamFilterFactory = () => ({ create: (stream) => ({
      async onResponseHeaders() {
        await new Promise((resolve) => setTimeout(resolve, 50));
        stream.respond(502, [], 'not this one');
      } }) });`,
  });
  const { port, log } = await startProxy(simpleConfig(upstream.port, { filters: [{ use: './late.mjs' }] }), folder);
  const answer = await new RawClient(port).write('GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n').end();
  expect(answer).toMatch(/^HTTP\/1\.1 502 [\s\S]*\r\n\r\nnot this one$/);
  expect(log.messages('error')).toEqual([]);
});
