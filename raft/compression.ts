/** The compressor that a NodeHost uses unless its ports bring another: that of Node's standard library. */
import type { Compression } from "../storage/compression.ts";
import { deflateRawSync, inflateRawSync } from "./deps.ts";

/** Raw deflate at its fastest level: entries and snapshots are packed while others wait. */
export const zlibCompression: Compression = {
  deflate: (bytes) => deflateRawSync(bytes, { level: 1 }),
  inflate: (bytes, maxBytes) =>
    inflateRawSync(bytes, { maxOutputLength: Math.max(1, maxBytes) }),
};
