/** What the demo needs from outside. */
export { createHash } from "node:crypto";
export { isAbsolute, join, relative, resolve } from "node:path";
export { fileURLToPath } from "node:url";
export { parseArgs } from "node:util";
export { crc32 } from "node:zlib";
