/** What the adapters of this folder need of Node's standard library. */
import { createHash } from "node:crypto";

export { crc32, deflateRawSync, inflateRawSync } from "node:zlib";

/** The SHA-256 of a text, as hex. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
