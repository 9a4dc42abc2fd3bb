/** Access logs by `weir.plugin.v1.AccessLogger`: streams are sent behind their backs, several at a time, and dropped when nobody takes them. */
import {
  type AccessLogEntry,
  type AccessLogger,
  type FilterHost,
  type FilterSpec,
  occasionally,
} from '../../src/abi/index.ts';
import { messageType } from './messages.ts';
import type { PluginClient } from './plugin-client.ts';
import { completeMessage, infoMessage, listOf, metadataMessage } from './weir.ts';

const METHOD = '/weir.plugin.v1.AccessLogger/Log';
const Request = messageType<{ config: string; entries: object[] }>('weir_plugin', 'weir.plugin.v1.LogRequest');
/** Streams of one call, and milliseconds that the first of them waits for others. */
const BATCH = 100;
const DELAY = 100;
/** Streams that may wait while the program is down. */
const MAX_WAITING = 10_000;

export function createWeirAccessLogger(client: PluginClient, spec: FilterSpec, host: FilterHost): AccessLogger {
  const config = JSON.stringify(spec.config);
  const dropped = host.counter('access_log_dropped');
  let waiting: object[] = [];
  let timer: NodeJS.Timeout | undefined;
  let sending = false;
  const tell = occasionally((message) => host.log.error(message));
  let closed = false;

  async function send(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    if (sending) return;
    sending = true;
    while (waiting.length > 0) {
      const entries = waiting.slice(0, BATCH);
      waiting = waiting.slice(BATCH);
      try {
        await client.call(METHOD, Request.encode({ config, entries }));
      } catch (error) {
        dropped.add(entries.length);
        tell(`${entries.length} streams were not logged: ${(error as Error).message}`);
      }
    }
    sending = false;
    if (closed) client.close();
  }

  return {
    log({ info, requestHeaders, responseHeaders, metadata }: AccessLogEntry) {
      if (waiting.length >= MAX_WAITING) {
        dropped.add();
        return;
      }
      waiting.push({
        info: infoMessage(info),
        complete: completeMessage(info),
        start_time_ms: info.startTime,
        endpoint: info.endpoint,
        details: info.responseCodeDetails,
        request_headers: listOf(requestHeaders),
        response_headers: responseHeaders === undefined ? [] : listOf(responseHeaders),
        metadata: metadataMessage(metadata),
      });
      if (waiting.length >= BATCH) void send();
      else timer ??= setTimeout(() => void send(), DELAY);
    },
    close() {
      closed = true;
      void send();
    },
  };
}
