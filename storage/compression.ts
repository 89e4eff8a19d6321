/** The port to a compressor. It is synchronous and given small pieces, so that nothing completes on another thread. */

/** Packs and unpacks small pieces with raw deflate (RFC 1951). */
export interface Compression {
  /** Packs bytes. The result may be longer than they are. */
  deflate(bytes: Uint8Array): Uint8Array;
  /** Unpacks bytes; throws if they are damaged, or would be more than `maxBytes`. */
  inflate(bytes: Uint8Array, maxBytes: number): Uint8Array;
}
