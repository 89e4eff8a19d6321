/** What the benchmark takes from outside the project. */
export { parseArgs } from "node:util";
export { crc32 } from "node:zlib";
export { statfsSync } from "node:fs";
export { cpus, release, tmpdir } from "node:os";
export { isAbsolute, join, resolve } from "node:path";
export { default as process } from "node:process";
