/**
 * `npm run test:fuzz-lua [scripts] [seed]`, by default 100,000: mutated and generated scripts are loaded, and their hooks called with a
 * request and a response. What comes out may only be an answer, an error of the script, or a refusal to load it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createLuaRuntime } from '../../../runtimes/lua/index.ts';
import { ExtensionError, FilterConfigError, HeaderMap, type StreamFilter } from '../../../src/abi/index.ts';
import { fakeHost, fakeStream } from '../../support/fakes.ts';
import { randomOf } from '../http1/corpus.ts';
import { ProgramGenerator } from './generate.ts';

const count = Number(process.argv[2] ?? 100_000);
const seed = Number(process.argv[3] ?? 1);
const below = randomOf(seed);
const folder = new URL('./cases/', import.meta.url);
const corpus = readdirSync(folder).map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')).lua as string);
const TOKENS =
  'h:headers() end function return local nil ( ) { } [ ] : , = .. "x" 1 -1 1e308 and or not # while true do for i=1,9 do in pairs( if then else repeat until goto a ::a:: pcall( coroutine.wrap( setmetatable( {__index= {__gc= string.rep( h:body() h:respond({[":status"]=200}) h:httpCall( h:bodyChunks() constructor __proto__ toString weir. _G getfenv setfenv(1, \\0 \\x \\u{ [[ ]] --[[ ]]'.split(
    ' ',
  );

const host = fakeHost();
const runtime = createLuaRuntime();
const limits = { instructions: 50_000, memory: 4 * 1024 * 1024, time: 1000 };
const outcomes = { refused: 0, failed: 0, answered: 0 };
const findings: string[] = [];

for (let i = 0; i < count; i++) {
  const source = below(4) === 0 ? new ProgramGenerator(seed * 1_000_003 + i).program(8) : mutate(pick(corpus));
  try {
    await run(source);
    outcomes.answered++;
  } catch (error) {
    if (error instanceof FilterConfigError) outcomes.refused++;
    else if (error instanceof ExtensionError) outcomes.failed++;
    else findings.push(`${error instanceof Error ? error.stack : error}\n--- script:\n${source}`);
  }
}
for (const finding of findings.slice(0, 10)) process.stdout.write(`${finding}\n\n`);
process.stdout.write(
  `${count} scripts, seed ${seed}: ${outcomes.answered} ran, ${outcomes.failed} failed, ${outcomes.refused} were refused; ${findings.length} findings\n`,
);
process.exitCode = findings.length === 0 ? 0 : 1;

function pick<T>(list: readonly T[]): T {
  return list[below(list.length)] as T;
}

function mutate(source: string): string {
  let text = source;
  for (let n = below(4); n > 0; n--) {
    const at = below(text.length + 1);
    switch (below(4)) {
      case 0:
        text = text.slice(0, at) + text.slice(at + below(20));
        break;
      case 1:
        text = `${text.slice(0, at)} ${pick(TOKENS)} ${text.slice(at)}`;
        break;
      case 2: {
        const other = pick(corpus);
        const from = below(other.length);
        text = text.slice(0, at) + other.slice(from, from + below(60)) + text.slice(at);
        break;
      }
      default:
        text = text.slice(0, at) + String.fromCharCode(below(256)) + text.slice(at + 1);
    }
  }
  return text;
}

async function run(source: string): Promise<void> {
  const spec = { name: 'fuzz', use: '', file: undefined, source, config: null, options: {}, limits, directory: '/' };
  const factory = await runtime.load(spec, host);
  try {
    const stream = fakeStream();
    const filter: StreamFilter = factory.create(stream);
    await filter.onRequestHeaders?.(stream.requestHeaders, false);
    await filter.onRequestBody?.(new Uint8Array([104, 105]), false);
    await filter.onRequestBody?.(new Uint8Array([0, 255]), true);
    await filter.onResponseHeaders?.(stream.responseHeaders as HeaderMap, false);
    await filter.onResponseBody?.(new Uint8Array([120]), false);
    await filter.onResponseTrailers?.(new HeaderMap([['x-t', '1']]));
    filter.onComplete?.(stream.info);
    filter.onDestroy?.();
  } finally {
    factory.close?.();
  }
}
