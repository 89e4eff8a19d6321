/** What the tests of the transport need of Node's standard library. */
export { crc32 } from "node:zlib";
export { setImmediate } from "node:timers";
export {
  connect as tlsConnect,
  createServer as createTlsServer,
} from "node:tls";
export type { ConnectionOptions } from "node:tls";
