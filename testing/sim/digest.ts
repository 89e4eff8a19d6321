/** A checksum for what the simulator compares: of short bytes it is quicker than a call of the platform's. */
import { crc32 } from "../deps.ts";

/** Longer bytes are left to the platform. */
const shortBytes = 256;

/** 32 bits of `bytes`, continuing from `seed`: a changed byte always changes them. Integer arithmetic (rule C11). */
export function digestOf(bytes: Uint8Array, seed = 0): number {
  const { length } = bytes;
  if (length > shortBytes) return crc32(bytes, seed >>> 0) | 0;
  let hash = seed ^ 0x811c9dc5 ^ length;
  for (let i = 0; i < length; i++) {
    hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  }
  return hash;
}
