/** What the tests of the transport need of Node's standard library. */
export { crc32 } from "node:zlib";
export { setImmediate } from "node:timers";
