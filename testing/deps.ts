/** What the simulator takes from the platform: a fast checksum, one turn of the real event loop, and the CPU time that it took. */
export { crc32 } from "node:zlib";
export { setImmediate } from "node:timers";
export { default as process } from "node:process";
