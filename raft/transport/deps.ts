/** What the transport needs of Node's standard library. */
export { crc32 } from "node:zlib";
export { setImmediate } from "node:timers";
export {
  checkServerIdentity,
  connect as tlsConnect,
  createServer as createTlsServer,
  Server as TlsServer,
} from "node:tls";
export type { PeerCertificate, TLSSocket } from "node:tls";
export { createPrivateKey, X509Certificate } from "node:crypto";
