/** Reads the few small protobuf messages that foreign functions and gRPC calls have. Source: Protocol Buffers, "Encoding". */

/** Field number → its values, the last one last: numbers as such, anything else as bytes. @throws RangeError when it is malformed */
export function readFields(bytes: Uint8Array): Map<number, (number | Uint8Array)[]> {
  const fields = new Map<number, (number | Uint8Array)[]>();
  let at = 0;
  while (at < bytes.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    const kind = key & 7;
    if (number === 0) throw new RangeError('a field has no number');
    const value =
      kind === 0 ? varint() : kind === 2 ? take(varint()) : kind === 5 ? take(4) : kind === 1 ? take(8) : undefined;
    if (value === undefined) throw new RangeError('a field has an unknown kind');
    const values = fields.get(number);
    if (values === undefined) fields.set(number, [value]);
    else values.push(value);
  }
  return fields;

  function varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a number is cut off');
  }

  function take(length: number): Uint8Array {
    if (at + length > bytes.length) throw new RangeError('a field is cut off');
    at += length;
    return bytes.subarray(at - length, at);
  }
}

/** The text of a field, or ''. */
export function textField(fields: ReturnType<typeof readFields>, number: number): string {
  const value = fields.get(number)?.at(-1);
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : '';
}
