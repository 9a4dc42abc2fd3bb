/** Starts proxies in this process for tests, and ends them after each test. */
import { afterEach } from 'vitest';
import { type ConfigInput, Proxy } from '../../src/main.ts';
import type { Logger, LogLevel } from '../../src/observability/logger.ts';

export interface LogLine {
  level: LogLevel;
  message: string;
  fields: Readonly<Record<string, unknown>>;
}

/** A log that keeps its lines. */
export class LogCollector implements Logger {
  readonly lines: LogLine[] = [];

  isEnabled(): boolean {
    return true;
  }

  write(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ level, message, fields });
  }

  messages(level: LogLevel): string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.message);
  }
}

export interface RunningProxy {
  proxy: Proxy;
  port: number;
  log: LogCollector;
}

const cleanups: (() => unknown)[] = [];

/** Runs `cleanup` after the running test, the last one first. */
export function onCleanup(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type ListenerInput = NonNullable<ConfigInput['listeners']>[number];
type ClusterInput = NonNullable<ConfigInput['clusters']>[number];

/** A configuration of one listener on a free port and one cluster `app`; `listener` and `cluster` add to them. */
export function simpleConfig(
  upstreamPort: number,
  listener: Partial<ListenerInput> = {},
  cluster: Partial<ClusterInput> = {},
): ConfigInput {
  const routes = listener.virtual_hosts === undefined ? { routes: [{ match: { prefix: '/' }, cluster: 'app' }] } : {};
  return {
    drain_timeout: '200ms',
    listeners: [{ name: 'web', address: '127.0.0.1:0', ...routes, ...listener }],
    clusters: [{ name: 'app', endpoints: [`127.0.0.1:${upstreamPort}`], ...cluster }],
  };
}

/** Starts a proxy; it ends with the test. */
export async function startProxy(config: ConfigInput, directory?: string): Promise<RunningProxy> {
  const log = new LogCollector();
  const proxy = new Proxy(config, { logger: log, ...(directory === undefined ? {} : { directory }) });
  await proxy.listen();
  onCleanup(() => proxy.close());
  return { proxy, port: Object.values(proxy.ports)[0] ?? 0, log };
}
