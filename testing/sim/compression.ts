/**
 * A compressor for simulations: what `node:zlib` makes of bytes differs from one release to the next, and a length that
 * differs would change what happens when (rule C11). It writes runs of one byte as the byte and their length.
 */
import type { Compression } from "../../storage/compression.ts";

/** Packs runs; what has none gets longer, and so is stored as it is. */
export const simCompression: Compression = {
  deflate(bytes: Uint8Array): Uint8Array {
    const packed = new Uint8Array(2 * bytes.length);
    let length = 0;
    for (let at = 0; at < bytes.length;) {
      let end = at + 1;
      while (end < bytes.length && end - at < 255 && bytes[end] === bytes[at]) {
        end++;
      }
      packed[length++] = bytes[at]!;
      packed[length++] = end - at;
      at = end;
    }
    return packed.slice(0, length);
  },
  inflate(bytes: Uint8Array, maxBytes: number): Uint8Array {
    let length = 0;
    for (let at = 1; at < bytes.length; at += 2) length += bytes[at]!;
    if (length > maxBytes) {
      throw new RangeError(`Cannot unpack: it is more than ${maxBytes} bytes`);
    }
    const unpacked = new Uint8Array(length);
    let end = 0;
    for (let at = 0; at + 1 < bytes.length; at += 2) {
      const from = end;
      end += bytes[at + 1]!;
      unpacked.fill(bytes[at]!, from, end);
    }
    return unpacked;
  },
};
