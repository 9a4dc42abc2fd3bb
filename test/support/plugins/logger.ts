#!/usr/bin/env node
/** An access logger as a plugin: writes what it gets to the file that its configuration names. */
import { appendFileSync } from 'node:fs';
import { serve } from 'weir/plugin';

await serve({
  accessLog(entries, config) {
    const { file } = config as { file: string };
    for (const { info, status, requestHeaders, metadata, duration, startTime } of entries) {
      const line = {
        route: info.route,
        id: info.id,
        status,
        path: requestHeaders.get(':path'),
        metadata,
        timed: duration > 0 && startTime.getTime() > 1e12,
      };
      appendFileSync(file, `${JSON.stringify(line)}\n`);
    }
  },
});
