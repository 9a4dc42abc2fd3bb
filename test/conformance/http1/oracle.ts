/** llhttp in strict mode, as undici ships it (WebAssembly), and Weir's parser, both as a function from bytes to an outcome. */
import { createRequire } from 'node:module';
import type { HeaderMap } from '../../../src/abi/index.ts';
import { type MessageHead, ProtocolError } from '../../../src/codec/head.ts';
import { MessageParser, type MessageSink } from '../../../src/codec/parser.ts';

export type Kind = 'request' | 'response';

export interface ParsedMessage {
  /** Method of a request, status of a response. */
  start: string;
  body: string;
}

/** What a parser makes of a whole input, and of its end. */
export interface Outcome {
  /** Complete messages, in order. */
  messages: ParsedMessage[];
  /** The input ended within a message, or is malformed: nothing after `messages` is accepted. */
  rejected: boolean;
  /** The parser's own words. */
  reason: string;
}

interface LlhttpExports {
  memory: { buffer: ArrayBuffer };
  _initialize(): void;
  llhttp_alloc(type: number): number;
  llhttp_free(parser: number): void;
  llhttp_execute(parser: number, data: number, length: number): number;
  llhttp_finish(parser: number): number;
  llhttp_get_method(parser: number): number;
  llhttp_method_name(method: number): number;
  llhttp_get_status_code(parser: number): number;
  llhttp_get_error_reason(parser: number): number;
  malloc(size: number): number;
}

declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: unknown };
};

const PAUSED_UPGRADE = 22;
const BUFFER_SIZE = 65_536;

const llhttp = load();
let current: { messages: ParsedMessage[]; open: ParsedMessage | undefined; kind: Kind; parser: number };

function load(): LlhttpExports & { buffer: number } {
  const bytes = createRequire(import.meta.url)('undici/lib/llhttp/llhttp-wasm.js') as Uint8Array;
  const nothing = () => 0;
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    env: {
      wasm_on_url: nothing,
      wasm_on_status: nothing,
      wasm_on_header_field: nothing,
      wasm_on_header_value: nothing,
      wasm_on_message_begin: () => {
        current.open = { start: '', body: '' };
        return 0;
      },
      wasm_on_headers_complete: (parser: number, status: number) => {
        if (current.open !== undefined) {
          current.open.start =
            current.kind === 'response'
              ? String(status)
              : cString(llhttp.llhttp_method_name(llhttp.llhttp_get_method(parser)));
        }
        return 0;
      },
      wasm_on_body: (_: number, at: number, length: number) => {
        if (current.open !== undefined) current.open.body += latin1(at, length);
        return 0;
      },
      wasm_on_message_complete: () => {
        if (current.open !== undefined) current.messages.push(current.open);
        current.open = undefined;
        return 0;
      },
    },
  });
  const exports = instance.exports as LlhttpExports;
  exports._initialize();
  return { ...exports, buffer: exports.malloc(BUFFER_SIZE) };
}

function latin1(at: number, length: number): string {
  return Buffer.from(llhttp.memory.buffer, at, length).toString('latin1');
}

function cString(at: number): string {
  const bytes = new Uint8Array(llhttp.memory.buffer);
  let end = at;
  while (bytes[end] !== 0) end++;
  return latin1(at, end - at);
}

/** What llhttp makes of `input` (at most 64 KiB). */
export function runLlhttp(kind: Kind, input: Buffer): Outcome {
  const parser = llhttp.llhttp_alloc(kind === 'request' ? 1 : 2);
  current = { messages: [], open: undefined, kind, parser };
  const { messages } = current;
  new Uint8Array(llhttp.memory.buffer).set(input, llhttp.buffer);
  let code = llhttp.llhttp_execute(parser, llhttp.buffer, input.length);
  if (code === 0) code = llhttp.llhttp_finish(parser);
  const incomplete = current.open !== undefined && current.open.start !== '' && code === 0;
  const reason = code === 0 ? '' : cString(llhttp.llhttp_get_error_reason(parser));
  llhttp.llhttp_free(parser);
  return { messages, rejected: (code !== 0 && code !== PAUSED_UPGRADE) || incomplete, reason };
}

class Collector implements MessageSink {
  readonly messages: ParsedMessage[] = [];
  readonly #kind: Kind;
  parser!: MessageParser;
  #open: ParsedMessage | undefined;
  #upgrade = false;
  #keepAlive = true;

  constructor(kind: Kind) {
    this.#kind = kind;
  }

  onHead(head: MessageHead, end: boolean): void {
    this.#open = { start: this.#kind === 'request' ? head.method : String(head.status), body: '' };
    this.#upgrade =
      head.method === 'CONNECT' || (head.upgrade !== undefined && (this.#kind === 'request' || head.status === 101));
    this.#keepAlive = head.keepAlive;
    if (end) this.#complete();
  }
  onInterimHead(head: MessageHead): void {
    this.messages.push({ start: String(head.status), body: '' });
  }
  onBody(chunk: Buffer, end: boolean): void {
    if (this.#open !== undefined) this.#open.body += chunk.toString('latin1');
    if (end) this.#complete();
  }
  onTrailers(_trailers: HeaderMap): void {
    this.#complete();
  }

  #complete(): void {
    if (this.#open !== undefined) this.messages.push(this.#open);
    this.#open = undefined;
    // What follows an upgrade is no HTTP/1.1 for either parser; what follows a last message is not read by Weir.
    if (!this.#upgrade && this.#keepAlive) this.parser.next();
  }

  /** Bytes came behind a message that said it is the last. */
  get hasBytesAfterClose(): boolean {
    return !this.#keepAlive && !this.#upgrade && this.#open === undefined && this.parser.hasRest;
  }
}

const LIMITS = { maxHeadSize: 65_536, maxHeaders: 1000, maxTargetSize: 65_536 };

/** What Weir makes of `input`, cut into pieces at `cuts` (ascending). */
export function runWeir(kind: Kind, input: Buffer, cuts: readonly number[] = []): Outcome {
  const sink = new Collector(kind);
  const parser = new MessageParser(kind, LIMITS, sink);
  sink.parser = parser;
  try {
    let start = 0;
    for (const cut of [...cuts, input.length]) {
      parser.execute(input.subarray(start, cut));
      start = cut;
    }
    parser.finish();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { messages: sink.messages, rejected: true, reason: error.message };
  }
  return { messages: sink.messages, rejected: sink.hasBytesAfterClose, reason: 'bytes after the last message' };
}
