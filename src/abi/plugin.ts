/** Plugins: programs that run beside Weir as its children, and are spoken to over gRPC. */

/** A program to run. Two that are equal in every field are one plugin, however many workers ask for it. */
export interface PluginSpec {
  /** What the log and the admin API call it. */
  readonly name: string;
  /** Absolute path of an executable, or of a `.js`, `.mjs`, `.ts` or `.mts` file, which Weir's own Node runs. */
  readonly file: string;
  readonly args: readonly string[];
  /** Besides the handshake's variables; nothing else is in its environment, unless it inherits Weir's. */
  readonly env: Readonly<Record<string, string>>;
  readonly inheritEnv: boolean;
  /** Its working directory. */
  readonly directory: string;
  /** A user's name or number to run as; needs Weir to be root. */
  readonly user: string | undefined;
  /** Limits of the operating system (setrlimit): bytes of address space, open files, seconds of CPU time, processes of the user. */
  readonly resources: { readonly [K in PluginResource]?: number | undefined };
  /** How many processes share the calls. */
  readonly processes: number;
  /** Milliseconds until a process must have printed its handshake line and answer. */
  readonly startTimeout: number;
  /** Milliseconds from the request to stop until it is killed. */
  readonly stopTimeout: number;
  /** Milliseconds that calls in flight get when a process is replaced. */
  readonly drainTimeout: number;
  /** Starts in a row that fail, or do not last a second, until Weir gives up; 0: it never does. */
  readonly maxRestarts: number;
  /** Milliseconds between two health checks. */
  readonly healthInterval: number;
  /** Digest of what it is made from: a changed program is another plugin. */
  readonly version: string;
}

export type PluginResource = 'address_space' | 'open_files' | 'cpu_time' | 'processes';

/** Where one process of a plugin takes calls: gRPC over HTTP/2 without TLS. */
export interface PluginProcess {
  /** Unique for as long as Weir runs. */
  readonly id: number;
  readonly network: 'unix' | 'tcp';
  /** A path, or `host:port`. */
  readonly address: string;
}

/** What a worker knows of a plugin that it uses. */
export interface Plugin {
  /** The processes that take calls now, in no order. */
  readonly processes: readonly PluginProcess[];
  /** Why there is none; empty when there is one. */
  readonly problem: string;
  /** Resolves when a process takes calls; rejects with an Error when the plugin's first start failed. */
  readonly started: Promise<void>;
  /** Calls `callback` after every change of `processes` and `problem`. */
  onChange(callback: () => void): void;
  /** A call to that process was answered, or was not in its time; after some of the latter in a row the process is replaced. */
  report(process: number, answered: boolean): void;
  /** No more use of it from here. When nobody uses it any more, its processes are stopped. */
  close(): void;
}
