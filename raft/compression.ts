/** The compressor that a NodeHost uses unless its ports bring another: that of Node's standard library. */
import type { Compression } from "../storage/compression.ts";
import { deflateRawSync, inflateRawSync } from "./deps.ts";

/** Raw deflate at its fastest level: entries and snapshots are packed while others wait. */
export const zlibCompression: Compression = {
  deflate: (bytes) => plain(deflateRawSync(bytes, { level: 1 })),
  inflate: (bytes, maxBytes) =>
    plain(inflateRawSync(bytes, { maxOutputLength: Math.max(1, maxBytes) })),
};

/** A `Buffer` is a `Uint8Array` whose `slice()` does not copy: whoever keeps a slice of a command relies on that (B4). */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
