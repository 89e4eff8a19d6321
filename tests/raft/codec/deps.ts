/** What the tests of the codec need of Node's standard library. */
export { crc32 } from "node:zlib";
