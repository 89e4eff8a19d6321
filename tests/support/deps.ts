/** What the helpers of the tests need of Node's standard library. */
export { crc32 } from "node:zlib";
export { Buffer } from "node:buffer";
export { generateKeyPairSync, sign } from "node:crypto";
export { pathToFileURL } from "node:url";
