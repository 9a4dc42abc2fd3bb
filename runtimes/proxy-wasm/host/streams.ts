/** Going on with a stream, answering it, ending it. */
import { ExtensionError } from '../../../src/abi/index.ts';
import { Status, StreamType } from '../constants.ts';
import type { StreamContext } from '../context.ts';
import type { Machine } from '../machine.ts';
import { decodePairs } from '../pairs.ts';
import type { HostFunctions } from './index.ts';

/** What the host sets of a message itself. */
const FRAMING = new Set(['content-length', 'transfer-encoding', 'connection']);

export function streamFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  const streamContext = () => {
    const context = machine.effective;
    return context !== undefined && 'stream' in context ? context : undefined;
  };
  const continueSide = (isRequest: boolean) => {
    const context = streamContext();
    if (context === undefined || context.logging) return;
    run(machine, context, () => {
      const side = isRequest ? context.request : context.response;
      side.paused = false;
      side.bodyHeld = false;
      if (isRequest) context.stream.continueRequest();
      else context.stream.continueResponse();
      // What had come meanwhile has gone through by now.
      side.waited = false;
    });
  };
  return {
    proxy_continue_stream(type) {
      if (type >>> 0 > StreamType.Upstream) return Status.BadArgument;
      if (type <= StreamType.Response) continueSide(type === StreamType.Request);
      return Status.Ok;
    },
    proxy_close_stream(type) {
      if (type >>> 0 > StreamType.Upstream) return Status.BadArgument;
      const context = streamContext();
      if (context === undefined || context.logging || type > StreamType.Response) return Status.Ok;
      if (context.inHook) context.stopped = true;
      run(machine, context, () => context.stream.reset());
      return Status.Ok;
    },
    proxy_continue_request() {
      continueSide(true);
      return Status.Ok;
    },
    proxy_continue_response() {
      continueSide(false);
      return Status.Ok;
    },
    proxy_clear_route_cache() {
      streamContext()?.stream.clearRouteCache();
      return Status.Ok;
    },
    proxy_send_local_response(
      code,
      detailsPointer,
      detailsSize,
      bodyPointer,
      bodySize,
      headersPointer,
      headersSize,
      grpcStatus,
    ) {
      if (
        !memory.holds(detailsPointer, detailsSize) ||
        !memory.holds(bodyPointer, bodySize) ||
        !memory.holds(headersPointer, headersSize)
      ) {
        return Status.InvalidMemoryAccess;
      }
      const status = code >>> 0;
      if (status < 200 || status > 599) return Status.BadArgument;
      machine.charge(bodySize >>> 0);
      const context = streamContext();
      if (context === undefined || context.answered || context.logging) return Status.Ok;
      const headers = decodePairs(memory.copy(headersPointer, headersSize)).filter(
        ([name]) => !name.startsWith(':') && !FRAMING.has(name.toLowerCase()),
      );
      const body = memory.copy(bodyPointer, bodySize);
      const details = memory.text(detailsPointer, detailsSize).replace(/\s/g, '_') || 'wasm_local_response';
      context.answered = true;
      if (context.inHook) context.stopped = true;
      run(machine, context, () => {
        try {
          context.stream.respond(status, headers, body, details, grpcStatus < 0 ? undefined : grpcStatus);
        } catch (error) {
          // The response is on its way already: all that is left is to end it.
          if (!(error instanceof ExtensionError)) throw error;
          context.stream.log.warn(`the module’s answer came too late: ${error.message}`);
          context.stream.reset();
        }
      });
      return Status.Ok;
    },
  };
}

/** In a hook of the stream Weir waits for its end by itself; otherwise other filters would run while the module does. */
function run(machine: Machine, context: StreamContext, action: () => void): void {
  if (context.inHook) action();
  else machine.defer(action);
}
