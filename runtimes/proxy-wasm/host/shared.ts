/** Shared data and queues, which all workers see. */
import { Status } from '../constants.ts';
import type { Machine } from '../machine.ts';
import type { HostFunctions } from './index.ts';

export function sharedFunctions(machine: Machine): HostFunctions {
  const { memory } = machine;
  return {
    proxy_get_shared_data(keyPointer, keySize, pointerTo, sizeTo, casTo) {
      if (!memory.holds(keyPointer, keySize)) return Status.InvalidMemoryAccess;
      const entry = machine.settings.shared.get(memory.text(keyPointer, keySize));
      if (entry === undefined) return Status.NotFound;
      machine.charge(entry.value.length);
      const given = memory.giveText(entry.value, pointerTo, sizeTo) && memory.writeU32(casTo, entry.version);
      return given ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_set_shared_data(keyPointer, keySize, valuePointer, valueSize, cas) {
      if (!memory.holds(keyPointer, keySize) || !memory.holds(valuePointer, valueSize))
        return Status.InvalidMemoryAccess;
      machine.charge(valueSize >>> 0);
      const key = memory.text(keyPointer, keySize);
      const value = memory.text(valuePointer, valueSize);
      return machine.settings.shared.set(key, value, cas >>> 0);
    },
    proxy_register_shared_queue(namePointer, nameSize, idTo) {
      if (!memory.holds(namePointer, nameSize)) return Status.InvalidMemoryAccess;
      const root = machine.effective?.root;
      if (root === undefined) return Status.InternalFailure;
      const { queues, vmId } = machine.settings;
      const id = queues.register(vmId, memory.text(namePointer, nameSize), (queue) =>
        machine.callRoot(root, 'proxy_on_queue_ready', queue),
      );
      if (id === undefined) return Status.InternalFailure;
      return memory.writeU32(idTo, id) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_resolve_shared_queue(vmPointer, vmSize, namePointer, nameSize, idTo) {
      if (!memory.holds(vmPointer, vmSize) || !memory.holds(namePointer, nameSize)) return Status.InvalidMemoryAccess;
      const { queues, vmId } = machine.settings;
      const id = queues.resolve(memory.text(vmPointer, vmSize) || vmId, memory.text(namePointer, nameSize));
      if (id === undefined) return Status.NotFound;
      return memory.writeU32(idTo, id) ? Status.Ok : Status.InvalidMemoryAccess;
    },
    proxy_enqueue_shared_queue(id, pointer, size) {
      if (!memory.holds(pointer, size)) return Status.InvalidMemoryAccess;
      machine.charge(size >>> 0);
      const { queues } = machine.settings;
      return queues.enqueue(id >>> 0, memory.text(pointer, size));
    },
    proxy_dequeue_shared_queue(id, pointerTo, sizeTo) {
      if (!memory.holds(pointerTo, 4) || !memory.holds(sizeTo, 4)) return Status.InvalidMemoryAccess;
      const item = machine.settings.queues.dequeue(id >>> 0);
      if (typeof item === 'number') return item;
      return memory.giveText(item, pointerTo, sizeTo) ? Status.Ok : Status.InvalidMemoryAccess;
    },
  };
}
