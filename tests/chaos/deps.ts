/** What the chaos run takes from the platform. */
export { join } from "node:path";
export { crc32 } from "node:zlib";
export { parseArgs } from "node:util";

import { cpSync } from "node:fs";

/** Copies a folder with all that is in it. */
export function copyFolder(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
}
