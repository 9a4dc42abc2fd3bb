/** `httpCall`. Source: Envoy, "Lua" HTTP filter; its error texts are Envoy 1.40's. */
import { type CallResponse, HeaderMap } from '../../../src/abi/index.ts';
import type { ScriptStream } from '../script-stream.ts';
import { NativeError } from '../vm/errors.ts';
import { LuaTable } from '../vm/table.ts';
import { type LuaValue, NONE, type Results } from '../vm/values.ts';
import { headersOf } from './headers.ts';
import { type Method, number, string, table, Wait, wrongType } from './kind.ts';

interface Options {
  timeout: number;
  asynchronous: boolean;
  duplicates: boolean;
  forwardedFor: boolean;
}

const OPTIONS = ['asynchronous', 'timeout_ms', 'trace_sampled', 'return_duplicate_headers', 'send_xff'];

/** `httpCall(cluster, headers, body, timeout_ms [, asynchronous])` or `httpCall(cluster, headers, body, options)` */
export const httpCall: Method<ScriptStream> = (run, args) => {
  const cluster = string(args, 0);
  const fields = headersOf(table(args, 1), args.length);
  const body = args[2] === undefined ? undefined : Buffer.from(string(args, 2), 'latin1');
  const options = args[3] instanceof LuaTable ? optionsOf(args[3]) : plainOptions(args);
  const headers = requestHeaders(fields);
  if ([':path', ':method', ':authority'].some((name) => !headers.has(name))) {
    throw new NativeError("http call headers must include ':path', ':method', and ':authority'");
  }
  if (options.forwardedFor) {
    const address = run.stream.info.downstreamLocalAddress.replace(/:[0-9]+$/, '');
    headers.set('x-forwarded-for', address);
  }
  const request = { headers, timeout: options.timeout, ...(body === undefined ? {} : { body }) };
  let response: Promise<CallResponse>;
  try {
    response = run.stream.call(cluster, request);
  } catch {
    throw new NativeError('http call cluster invalid. Must be configured');
  }
  if (options.asynchronous) return NONE;
  return new Wait(
    'call',
    response.then((answer) => () => resultsOf(answer, options.duplicates)),
  );
};

function requestHeaders(fields: [string, string][]): HeaderMap {
  try {
    return new HeaderMap(fields);
  } catch (error) {
    throw new NativeError(error instanceof Error ? error.message : String(error));
  }
}

function plainOptions(args: LuaValue[]): Options {
  const timeout = number(args, 3);
  if (timeout < 0) throw new NativeError('http call timeout must be >= 0');
  const flag = args[4];
  if (flag !== undefined && typeof flag !== 'boolean') {
    throw new NativeError("http call asynchronous flag must be 'true', 'false', or empty");
  }
  return { timeout: asTimeout(timeout), asynchronous: flag === true, duplicates: false, forwardedFor: true };
}

function optionsOf(given: LuaTable): Options {
  for (let cursor = given.advance(0); cursor !== 0; cursor = given.advance(cursor)) {
    const key = given.keyAt(cursor);
    if (typeof key !== 'string' || !OPTIONS.includes(key)) {
      throw new NativeError(`"${String(key)}" is not valid key for httpCall() options`);
    }
  }
  const timeout = given.str('timeout_ms') ?? 0;
  if (typeof timeout !== 'number')
    throw wrongType(
      Array.from({ length: 7 }, () => timeout),
      6,
      'number',
    );
  if (timeout < 0) throw new NativeError('http call timeout must be >= 0');
  const flag = (name: string, otherwise: boolean) => {
    const value = given.str(name);
    return value === undefined ? otherwise : value !== false;
  };
  return {
    timeout: asTimeout(timeout),
    asynchronous: flag('asynchronous', false),
    duplicates: flag('return_duplicate_headers', false),
    forwardedFor: flag('send_xff', true),
  };
}

/** 0 waits as long as the stream lives, as in Envoy. */
function asTimeout(timeout: number): number {
  return timeout === 0 ? MAX_TIMEOUT : Math.min(timeout, MAX_TIMEOUT);
}

const MAX_TIMEOUT = 24 * 60 * 60 * 1000;

function resultsOf(answer: CallResponse, duplicates: boolean): Results {
  const headers = new LuaTable();
  for (const [name, value] of answer.headers) {
    const old = duplicates ? headers.str(name) : undefined;
    if (old instanceof LuaTable) old.set(old.length() + 1, value);
    else if (old !== undefined) {
      const list = new LuaTable();
      list.set(1, old);
      list.set(2, value);
      headers.set(name, list);
    } else headers.set(name, value);
  }
  const { body } = answer;
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1');
  return [headers, body.length === 0 ? undefined : text];
}
