/** The buffer. Source: Envoy, "Lua" HTTP filter, "Buffer API". */
import type { ScriptBuffer } from '../script-stream.ts';
import { NativeError } from '../vm/errors.ts';
import { integer, type Methods, string } from './kind.ts';

export const bufferMethods: Methods<ScriptBuffer> = {
  length: ({ bytes }) => bytes.length,
  getBytes({ bytes }, args) {
    const index = integer(args, 0);
    const length = integer(args, 1);
    if (!(index >= 0 && length >= 0 && index + length <= bytes.length)) {
      throw new NativeError('index/length must be >= 0 and (index + length) must be <= buffer size');
    }
    return Buffer.from(bytes.buffer, bytes.byteOffset + index, length).toString('latin1');
  },
  setBytes(buffer, args) {
    buffer.bytes = Buffer.from(string(args, 0), 'latin1');
    buffer.replaced = true;
    const { run, whole, bytes } = buffer;
    if (whole && !run.headersContinued) run.headers.set('content-length', String(bytes.length));
    return bytes.length;
  },
};
