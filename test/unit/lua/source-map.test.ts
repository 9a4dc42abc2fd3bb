/** A debugger shows Lua: the source map of generated code, read by Node; and a real debugger that stops in a script. */
import { Session } from 'node:inspector/promises';
import { SourceMap } from 'node:module';
import { expect, test } from 'vitest';
import { sitesByLine } from '../../../runtimes/lua/compiler/emitter.ts';
import { compileLua } from '../../../runtimes/lua/compiler/index.ts';
import { sourceMapComment } from '../../../runtimes/lua/compiler/source-map.ts';
import { newEngine } from '../../support/lua.ts';

test('every generated line that stands for an operation leads to its line of the script', () => {
  const sites = [1, 2, 40, 3].map((line) => ({ line, names: [], tail: false }));
  const code = ['head', '/*0*/a', '/*1*/b', 'none', '/*2*/c', '/*3*/d'].join('\n');
  const comment = sourceMapComment('x.lua', 'the text', sitesByLine(code, sites));
  const map = new SourceMap(JSON.parse(Buffer.from(comment.split('base64,')[1] ?? '', 'base64').toString()));
  const lineOf = (generated: number) => {
    const entry = map.findEntry(generated, 0);
    return 'originalLine' in entry ? entry.originalLine + 1 : undefined;
  };
  expect([1, 2, 4, 5].map(lineOf)).toEqual([1, 2, 40, 3]);
  expect(map.payload.sourcesContent).toEqual(['the text']);
});

test('a debugger gets the script with its text', async () => {
  const session = new Session();
  session.connect();
  const maps: string[] = [];
  session.on('Debugger.scriptParsed', ({ params }) => {
    if (params.url.startsWith('weir-lua:')) maps.push(params.sourceMapURL ?? '');
  });
  await session.post('Debugger.enable');
  const { runtime } = newEngine().library;
  compileLua('local x = 1\nprint(x)', 'n', Object.keys(runtime), true);
  await expect.poll(() => maps.length).toBeGreaterThan(0);
  session.disconnect();
  const map = JSON.parse(Buffer.from(maps.at(-1)?.split('base64,')[1] ?? '', 'base64').toString());
  expect(map.sourcesContent).toEqual(['local x = 1\nprint(x)']);
});
