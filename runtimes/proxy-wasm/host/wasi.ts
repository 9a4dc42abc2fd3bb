/** WASI preview 1 as far as SDKs use it: log, clocks, random numbers, environment; no files, no sockets. Source: WASI preview 1, `witx`. */
import { randomFillSync } from 'node:crypto';
import { type Machine, ProcExit } from '../machine.ts';
import { nowInNanoseconds } from './general.ts';
import type { HostFunctions } from './index.ts';

const SUCCESS = 0;
const EBADF = 8;
const EFAULT = 21;
const EINVAL = 28;
const ENOSYS = 52;
const ENOTSUP = 58;
const MAX_RANDOM = 64 * 1024;
const REALTIME = 0;
const MONOTONIC = 1;
/** Functions on files: there are none. The search for directories that are open already ends by this. */
const NO_FILES =
  'fd_advise fd_allocate fd_close fd_datasync fd_fdstat_set_rights fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_dir_name fd_prestat_get fd_pwrite fd_readdir fd_renumber fd_seek fd_sync fd_tell path_create_directory path_filestat_get path_filestat_set_times path_link path_open path_readlink path_remove_directory path_rename path_symlink path_unlink_file'.split(
    ' ',
  );
const NOT_SUPPORTED = ['proc_raise', 'sock_accept', 'sock_recv', 'sock_send', 'sock_shutdown'];
const MAX_VECTORS = 1024;
/** Longer lines are cut. */
const MAX_LINE = 64 * 1024;

export function wasiFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  const environment = () => machine.settings.environment.map((line) => Buffer.from(`${line}\0`));
  return {
    ...Object.fromEntries(NO_FILES.map((name) => [name, () => EBADF])),
    ...Object.fromEntries(NOT_SUPPORTED.map((name) => [name, () => ENOTSUP])),
    fd_write(fd, vectors, count, writtenTo) {
      if (fd !== 1 && fd !== 2) return EBADF;
      if (count >>> 0 > MAX_VECTORS) return EINVAL;
      if (!memory.holds(vectors, count * 8)) return EFAULT;
      let text = '';
      let written = 0;
      for (let i = 0; i < count; i++) {
        const pointer = memory.readU32(vectors + 8 * i);
        const size = memory.readU32(vectors + 8 * i + 4);
        if (!memory.holds(pointer, size)) return EFAULT;
        if (text.length < MAX_LINE) text += memory.utf8(pointer, Math.min(size, MAX_LINE));
        written += size;
      }
      machine.charge(written);
      const log = machine.effective === undefined ? machine.log : machine.effective.root.plugin.host.log;
      const line = text.replace(/\n$/, '');
      if (line !== '') log[fd === 1 ? 'info' : 'error'](line);
      return memory.writeU32(writtenTo, written) ? SUCCESS : EFAULT;
    },
    environ_sizes_get(countTo, sizeTo) {
      const lines = environment();
      const size = lines.reduce((sum, line) => sum + line.length, 0);
      return memory.writeU32(countTo, lines.length) && memory.writeU32(sizeTo, size) ? SUCCESS : EFAULT;
    },
    environ_get(pointers, buffer) {
      let at = buffer >>> 0;
      for (const [i, line] of environment().entries()) {
        if (!memory.writeU32(pointers + 4 * i, at) || !memory.write(at, line)) return EFAULT;
        at += line.length;
      }
      return SUCCESS;
    },
    args_sizes_get(countTo, sizeTo) {
      return memory.writeU32(countTo, 0) && memory.writeU32(sizeTo, 0) ? SUCCESS : EFAULT;
    },
    args_get(_pointers, _buffer) {
      return SUCCESS;
    },
    clock_time_get(clock, _precision, timeTo) {
      if (clock !== REALTIME && clock !== MONOTONIC) return ENOTSUP;
      const time = clock === REALTIME ? nowInNanoseconds() : process.hrtime.bigint();
      return memory.writeU64(timeTo, time) ? SUCCESS : EFAULT;
    },
    clock_res_get(clock, resolutionTo) {
      if (clock !== REALTIME && clock !== MONOTONIC) return ENOTSUP;
      return memory.writeU64(resolutionTo, 1000n) ? SUCCESS : EFAULT;
    },
    random_get(pointer, size) {
      if (size >>> 0 > MAX_RANDOM) return EINVAL;
      machine.charge(size >>> 0);
      const bytes = Buffer.alloc(size >>> 0);
      randomFillSync(bytes);
      return memory.write(pointer, bytes) ? SUCCESS : EFAULT;
    },
    proc_exit(code) {
      throw new ProcExit(code);
    },
    fd_read: (_fd: number, _vectors: number, _count: number, _to: number) => ENOSYS,
    fd_fdstat_get(fd, statTo) {
      if (fd !== 1 && fd !== 2) return EBADF;
      // A character device that can be written (rights: fd_write).
      const stat = Buffer.alloc(24);
      stat[0] = 2;
      stat.writeBigUInt64LE(64n, 8);
      return memory.write(statTo, stat) ? SUCCESS : EFAULT;
    },
    fd_fdstat_set_flags: (fd: number, _flags: number) => (fd <= 2 ? SUCCESS : EBADF),
    sched_yield: () => SUCCESS,
    poll_oneoff(_in, _out, _count, eventsTo) {
      return memory.writeU32(eventsTo, 0) ? SUCCESS : EFAULT;
    },
  };
}
