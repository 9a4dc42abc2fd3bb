/** Log, time, ticks, contexts, and what 0.1.0 had of its own. */
import { BufferType, LOG_LEVELS, Status } from '../constants.ts';
import type { Machine } from '../machine.ts';
import { configurationOf } from './buffers.ts';
import type { HostFunctions } from './index.ts';

export function generalFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  return {
    proxy_log(level, pointer, size) {
      if (!memory.holds(pointer, size)) return Status.InvalidMemoryAccess;
      const name = LOG_LEVELS[level];
      if (name === undefined) return Status.BadArgument;
      const log = logOf(machine);
      if (log.isEnabled(name)) {
        machine.charge(size);
        log[name](memory.utf8(pointer, size));
      }
      return Status.Ok;
    },
    proxy_get_log_level(levelTo) {
      const log = logOf(machine);
      const lowest = LOG_LEVELS.findIndex((level) => log.isEnabled(level));
      const level = lowest < 0 ? LOG_LEVELS.length - 1 : lowest;
      return memory.writeU32(levelTo, level) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_get_current_time_nanoseconds(timeTo) {
      return memory.writeU64(timeTo, nowInNanoseconds()) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_set_tick_period_milliseconds(period) {
      machine.effective?.root.setTickPeriod(period >>> 0);
      return Status.Ok;
    },
    proxy_set_effective_context(id) {
      // 0 goes back to the context that was called.
      const context = id === 0 ? machine.current : machine.find(id);
      if (context === undefined) return Status.BadArgument;
      machine.effective = context;
      return Status.Ok;
    },
    proxy_done() {
      return machine.effective?.root.done() === true ? Status.Ok : Status.NotFound;
    },
    proxy_get_status(codeTo, pointerTo, sizeTo) {
      const { code, message } = machine.effective?.root.status ?? { code: 0, message: '' };
      const written = memory.writeU32(codeTo, code) && memory.giveText(message, pointerTo, sizeTo);
      return written ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_get_configuration(pointerTo, sizeTo) {
      const root = machine.effective?.root;
      const type = root?.configuring === true ? BufferType.PluginConfiguration : BufferType.VmConfiguration;
      const bytes = configurationOf(machine, type);
      if (bytes === undefined) return Status.NotFound;
      return memory.give(bytes, pointerTo, sizeTo) ? Status.Ok : Status.InvalidMemoryAccess;
    },
  };
}

function logOf(machine: Machine) {
  const context = machine.effective;
  if (context === undefined) return machine.log;
  return 'stream' in context ? context.stream.log : context.plugin.host.log;
}

export function nowInNanoseconds(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
}
