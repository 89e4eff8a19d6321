/**
 * A compressor for simulations: what `node:zlib` makes of bytes differs from one release to the next, and a length that
 * differs would change what happens when (rule C11). It writes runs of one byte as the byte and their length.
 */
import type { Compression } from "../../storage/compression.ts";

/** Packs runs; what has none gets longer, and so is stored as it is. */
export const simCompression: Compression = {
  deflate(bytes: Uint8Array): Uint8Array {
    const packed: number[] = [];
    for (let at = 0; at < bytes.length;) {
      let end = at + 1;
      while (end < bytes.length && end - at < 255 && bytes[end] === bytes[at]) {
        end++;
      }
      packed.push(bytes[at]!, end - at);
      at = end;
    }
    return Uint8Array.from(packed);
  },
  inflate(bytes: Uint8Array, maxBytes: number): Uint8Array {
    const unpacked: number[] = [];
    for (let at = 0; at + 1 < bytes.length; at += 2) {
      for (let count = bytes[at + 1]!; count > 0; count--) {
        unpacked.push(bytes[at]!);
      }
      if (unpacked.length > maxBytes) {
        throw new RangeError(
          `Cannot unpack: it is more than ${maxBytes} bytes`,
        );
      }
    }
    return Uint8Array.from(unpacked);
  },
};
