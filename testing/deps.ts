/** What the simulator takes from the platform: a fast checksum, and one turn of the real event loop. */
export { crc32 } from "node:zlib";
export { setImmediate } from "node:timers";
