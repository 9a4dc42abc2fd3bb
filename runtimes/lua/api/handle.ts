/** The stream handle. Source: Envoy, "Lua" HTTP filter, "Stream handle API"; shared observations of Envoy 1.40. */
import { isIP } from 'node:net';
import type { ScriptStream } from '../script-stream.ts';
import { NativeError } from '../vm/errors.ts';
import { type LuaValue, NONE } from '../vm/values.ts';
import { importPublicKey, verifySignature } from './crypto.ts';
import { headersOf } from './headers.ts';
import { httpCall } from './http-call.ts';
import type { Kinds } from './index.ts';
import { HostFunction, type MethodResult, type Methods, string, table, Wait, wrongType } from './kind.ts';
import { asRecord, ownMetadata } from './metadata.ts';

/** Methods in which a script can wait. */
export const WAITING = ['body', 'trailers', 'httpCall', 'respond'];

/** `EnvoyTimestampResolution` in a script's globals. */
export const RESOLUTIONS: Readonly<Record<string, number>> = { MILLISECOND: 0, MICROSECOND: 1 };

export function handleMethods(kinds: Kinds): Methods<ScriptStream> {
  return {
    headers: (run) => kinds.headers.create({ run, map: run.headers, mutable: true }, run),
    requestHeaders(run) {
      return kinds.headers.create({ run, map: run.stream.requestHeaders, mutable: true }, run);
    },
    body: (run, args) => body(kinds, run, args),
    bodyChunks,
    /** Waits for the end of the body; no value when no trailers follow it. */
    trailers(run) {
      if (run.trailers !== undefined) return kinds.headers.create({ run, map: run.trailers, mutable: true }, run);
      return run.ended ? NONE : new Wait('trailers');
    },
    respond,
    httpCall,
    metadata: (run) => metadata(kinds, run, run.stream.routeMetadata),
    route: (run) => kinds.route.create({ run }, run),
    virtualHost: (run) => kinds.virtualHost.create({ run }, run),
    filterContext: (run) =>
      kinds.metadata.create({ run, values: asRecord(run.script.filterContextOf(run.stream)) }, run),
    streamInfo: (run) => kinds.streamInfo.create({ run }, run),
    connection: (run) => kinds.connection.create({ run }, run),
    connectionStreamInfo: (run) => kinds.connectionStreamInfo.create({ run }, run),
    stats: (run) => kinds.stats.create({ run }, run),
    importPublicKey: importPublicKey(kinds),
    verifySignature,
    base64Escape: (_, args) => Buffer.from(string(args, 0), 'latin1').toString('base64'),
    base64Decode(_, args) {
      // Blanks do not matter, and the padding may be left out as a whole.
      const text = string(args, 0).replace(/\s/g, '');
      const padded = text.endsWith('=');
      const valid = /^[A-Za-z0-9+/]*={0,2}$/.test(text) && (padded ? text.length % 4 === 0 : text.length % 4 !== 1);
      return valid ? Buffer.from(text, 'base64').toString('latin1') : undefined;
    },
    timestamp(_, args) {
      if (args[0] !== undefined && args[0] !== RESOLUTIONS.MILLISECOND) {
        throw new NativeError('timestamp format must be MILLISECOND.');
      }
      return Date.now();
    },
    timestampString(_, args) {
      const resolution = args[0] ?? RESOLUTIONS.MILLISECOND;
      if (resolution === RESOLUTIONS.MILLISECOND) return String(Date.now());
      if (resolution === RESOLUTIONS.MICROSECOND)
        return String(Math.round((performance.timeOrigin + performance.now()) * 1000));
      throw new NativeError('timestamp format must be MILLISECOND or MICROSECOND.');
    },
    setUpstreamOverrideHost(run, args) {
      const host = string(args, 0);
      if (args[1] !== undefined && typeof args[1] !== 'boolean') throw wrongType(args, 1, 'boolean');
      if (!isAddress(host)) throw new NativeError('host is not a valid IP address');
      run.stream.overrideEndpoint(host, args[1] === true);
      return NONE;
    },
    clearRouteCache(run) {
      run.stream.clearRouteCache();
      return NONE;
    },
    /** Milliseconds until Weir ends what this hook waits for (Weir's own). */
    time_left: (run) => run.timeLeft,
  };
}

/** An address of either family, with or without a port. */
function isAddress(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?$/.exec(text);
  return match !== null && isIP(match[1] ?? match[2] ?? '') !== 0 && Number(match[3] ?? 0) <= 65_535;
}

function metadata(kinds: Kinds, run: ScriptStream, all: ScriptStream['stream']['routeMetadata']): LuaValue {
  return kinds.metadata.create({ run, values: ownMetadata(run, all) }, run);
}

/** `body([always_wrap])`: waits for the whole body; no value when there is none. */
function body(kinds: Kinds, run: ScriptStream, args: LuaValue[]): MethodResult {
  const [wrap] = args;
  if (wrap !== undefined && typeof wrap !== 'boolean') throw wrongType(args, 0, 'boolean');
  if (run.body !== undefined) return bodyObject(kinds, run);
  if (run.bodyPassed) {
    const state = run.ended ? 'after body has been streamed' : 'after body streaming has started';
    throw new NativeError(`cannot call body() ${state}`);
  }
  if (!run.ended) return new Wait('body');
  if (wrap !== true) return NONE;
  run.body = { run, bytes: new Uint8Array(0), replaced: false, whole: true };
  return bodyObject(kinds, run);
}

/** The same object each time, until it dies. */
export function bodyObject(kinds: Kinds, run: ScriptStream): LuaValue {
  run.bodyObject ??= kinds.buffer.create(run.body as NonNullable<typeof run.body>, run);
  return run.bodyObject;
}

/** `bodyChunks()`: an iterator that waits for each piece; the last one is empty. */
function bodyChunks(run: ScriptStream): MethodResult {
  if (run.bodyPassed || run.body !== undefined) {
    throw new NativeError('cannot call bodyChunks after body processing has begun');
  }
  return new HostFunction(() => {
    if (run.handleScope.epoch !== 0) throw new NativeError('object used outside of proper scope');
    return run.ended ? undefined : new Wait('chunk');
  }, true);
}

/** `respond(headers [, body])`: answers, and the script does not go on. */
function respond(run: ScriptStream, args: LuaValue[]): MethodResult {
  const given = table(args, 0);
  const inResponse = run.direction === 'response';
  if (inResponse && run.script.envoyResponses) {
    throw new NativeError('respond not currently supported in the response path');
  }
  if (run.headersContinued) throw new NativeError('respond() cannot be called if headers have been continued');
  const headers = headersOf(given, args.length);
  const status = Number(headers.find(([name]) => name === ':status')?.[1]);
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new NativeError(':status must be between 200-599');
  }
  const text = args[1] === undefined ? '' : string(args, 1);
  const fields = headers.filter(([name]) => name !== ':status');
  try {
    run.stream.respond(status, fields, Buffer.from(text, 'latin1'), 'lua_response');
  } catch (error) {
    throw error instanceof Error ? new NativeError(error.message) : error;
  }
  run.responded = true;
  return new Wait('never');
}
