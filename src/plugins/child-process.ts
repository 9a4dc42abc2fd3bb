/** One process of a plugin, from its start to its end. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import type { Readable } from 'node:stream';
import type { PluginProcess, PluginSpec } from '../abi/index.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../observability/logger.ts';
import { PluginControl } from './control.ts';
import type { Guardian } from './guardian.ts';
import { HANDSHAKE_ENV, parseHandshake } from './handshake.ts';

/** Lines of output that go to the log in one second; more are counted. */
const MAX_LINES = 200;
const MAX_LINE = 8192;
/** Last lines of standard error that an error message shows. */
const SHOWN_LINES = 20;
/** In a checkout `weir` is TypeScript for plugins, too. */
const NODE_OPTIONS = import.meta.url.endsWith('.ts') ? ['--conditions=source'] : [];
const SCRIPTS = new Set(['.js', '.mjs', '.ts', '.mts']);
/** The shell's names of the limits, and the units of their numbers. */
const ULIMITS = {
  address_space: ['-v', 1024],
  open_files: ['-n', 1],
  cpu_time: ['-t', 1],
  processes: ['-u', 1],
} as const;

export class ChildPlugin implements PluginProcess {
  readonly id: number;
  readonly pid: number;
  readonly startedAt = Date.now();
  network: 'unix' | 'tcp' = 'unix';
  address = '';
  /** Resolves with the reason once the process has ended. */
  readonly ended: Promise<string>;
  hasEnded = false;
  /** Calls, and health checks, in a row that it did not answer. */
  missedCalls = 0;
  missedChecks = 0;
  readonly #spec: PluginSpec;
  readonly #child: ChildProcess;
  readonly #guardian: Guardian;
  readonly #log: (message: string) => void;
  readonly #folder: string;
  readonly #lastLines: string[] = [];
  #control: PluginControl | undefined;
  #handshake: (line: string) => void = () => {};
  #second = 0;
  #lines = 0;

  /** @throws Error when it can't be started. */
  constructor(id: number, spec: PluginSpec, guardian: Guardian, logger: Logger) {
    this.id = id;
    this.#spec = spec;
    this.#guardian = guardian;
    this.#log = (message) => logger.write('info', message, { plugin: spec.name, pid: this.pid });
    this.#folder = join(guardian.folder, String(id));
    mkdirSync(this.#folder, { mode: 0o700 });
    const identity = spec.user === undefined ? undefined : lookUp(spec.user);
    if (identity !== undefined) chownSync(this.#folder, identity.uid, identity.gid);
    const [command, args] = commandOf(spec);
    this.#child = spawn(command, args, {
      cwd: spec.directory,
      env: {
        ...(spec.inheritEnv ? process.env : {}),
        ...HANDSHAKE_ENV,
        MOSN_LOGBASE: `${this.#folder}/`,
        TMPDIR: this.#folder,
        ...spec.env,
      },
      // Its own process group, so that Weir can end what it starts, too, and Ctrl-C reaches Weir alone.
      detached: true,
      // Programs may take the end of standard input for Weir's end.
      stdio: ['pipe', 'pipe', 'pipe'],
      ...identity,
    });
    this.pid = this.#child.pid ?? 0;
    if (this.pid !== 0) guardian.add(this.pid);
    this.#child.stdin?.on('error', () => {});
    this.#read();
    this.ended = this.#watchEnd();
  }

  /**
   * Waits until it has said where it listens and answers there.
   * @throws Error that says what it did instead, with what it wrote to standard error.
   */
  async ready(): Promise<void> {
    const { startTimeout } = this.#spec;
    const deadline = Date.now() + startTimeout;
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<never>((_, reject) => {
        const why = `it printed no handshake line within ${startTimeout / 1000} s`;
        timer = setTimeout(() => reject(new Error(why)), startTimeout);
      });
      const ended = this.ended.then((reason) => Promise.reject(new Error(`it ended before its handshake: ${reason}`)));
      const line = new Promise<string>((resolve) => {
        this.#handshake = resolve;
      });
      Object.assign(this, parseHandshake(await Promise.race([line, late, ended])));
      this.#control = new PluginControl(this);
      const health = await Promise.race([this.#control.health(Math.max(100, deadline - Date.now())), ended]);
      if (health !== 'serving') throw new Error(`it listens on ${this.address}, but its health check says: ${health}`);
    } catch (error) {
      this.kill();
      await this.ended;
      const said = this.#lastLines.map((text) => `\n    ${text}`).join('');
      throw new Error(`${messageOf(error)}${said === '' ? '' : `; it wrote:${said}`}`);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Whether it says within `timeout` that it is well. */
  async isHealthy(timeout: number): Promise<boolean> {
    return (await this.#control?.health(timeout)) === 'serving';
  }

  /** Asks it to end, by go-plugin's call or else by SIGTERM, and kills it when it does not. */
  async stop(): Promise<void> {
    if (this.hasEnded) return;
    const { stopTimeout } = this.#spec;
    const late = setTimeout(() => this.kill(), stopTimeout);
    const understood = (await this.#control?.shutdown(Math.min(1000, stopTimeout))) ?? false;
    if (!understood) this.#signal('SIGTERM');
    await this.ended;
    clearTimeout(late);
  }

  /** Ends it, and all that it started, at once. */
  kill(): void {
    this.#signal('SIGKILL');
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.hasEnded || this.pid === 0) return;
    try {
      process.kill(-this.pid, signal);
    } catch {
      // It has just ended.
    }
  }

  #watchEnd(): Promise<string> {
    return new Promise((resolve) => {
      const end = (reason: string) => {
        if (this.hasEnded) return;
        // What it started and left behind ends with it.
        this.kill();
        this.hasEnded = true;
        this.#guardian.delete(this.pid);
        this.#control?.close();
        rmSync(this.#folder, { recursive: true, force: true });
        resolve(reason);
      };
      this.#child.on('error', (error: NodeJS.ErrnoException) => {
        if (this.pid === 0) end(startFailure(error, this.#spec));
      });
      this.#child.on('exit', (code, signal) => end(signal === null ? `exit code ${code}` : `killed by ${signal}`));
    });
  }

  #read(): void {
    let first = true;
    eachLine(this.#child.stdout, (line) => {
      if (first) this.#handshake(line);
      else this.#write(line);
      first = false;
    });
    eachLine(this.#child.stderr, (line) => this.#write(line));
  }

  #write(line: string): void {
    this.#lastLines.push(line);
    if (this.#lastLines.length > SHOWN_LINES) this.#lastLines.shift();
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.#second) {
      if (this.#lines > MAX_LINES) this.#log(`${this.#lines - MAX_LINES} further lines of output are left out`);
      this.#second = second;
      this.#lines = 0;
    }
    if (++this.#lines <= MAX_LINES) this.#log(line);
  }
}

/** Calls `onLine` for each line, cut at `MAX_LINE`: a program that never ends its line must not fill the memory. */
function eachLine(stream: Readable | null, onLine: (line: string) => void): void {
  let line = '';
  stream?.setEncoding('utf8');
  stream?.on('data', (text: string) => {
    const [head = '', ...others] = text.split('\n');
    line = (line + head).slice(0, MAX_LINE);
    for (const other of others) {
      onLine(line);
      line = other.slice(0, MAX_LINE);
    }
  });
  stream?.on('end', () => line !== '' && onLine(line));
}

/** The command line: scripts run in Weir's own Node, limits are set by a shell that then becomes the program. */
function commandOf({ file, args, resources }: PluginSpec): [string, string[]] {
  const [command, all] = SCRIPTS.has(extname(file))
    ? [process.execPath, [...NODE_OPTIONS, file, ...args]]
    : [file, [...args]];
  const limits = Object.entries(resources).flatMap(([name, value]) => {
    const [option, unit] = ULIMITS[name as keyof typeof ULIMITS];
    return value === undefined ? [] : [`ulimit ${option} ${Math.max(1, Math.floor(value / unit))}`];
  });
  if (limits.length === 0) return [command, all];
  return ['/bin/sh', ['-c', `${[...limits, 'exec "$@"'].join(' && ')}`, 'sh', command, ...all]];
}

function lookUp(user: string): { uid: number; gid: number } {
  try {
    const ask = (option: string) =>
      Number(execFileSync('id', [option, '--', user], { encoding: 'utf8', stdio: 'pipe' }));
    return { uid: ask('-u'), gid: ask('-g') };
  } catch {
    throw new Error(`there is no user ${JSON.stringify(user)}`);
  }
}

function startFailure({ code, message }: NodeJS.ErrnoException, { file, directory, user }: PluginSpec): string {
  if (code === 'EACCES') return `${file} can't be executed: is it executable (chmod +x)?`;
  if (code === 'ENOENT')
    return `${file} can't be started: it, its interpreter (the #! line) or the folder ${directory} is not there`;
  if (code === 'EPERM' && user !== undefined) return `Weir may not start programs as ${user}`;
  if (code === 'ENOEXEC') return `${file} is no program: a script needs a #! line`;
  return `${file} can't be started: ${message} (in ${dirname(file)})`;
}
