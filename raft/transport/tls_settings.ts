/** What mutual TLS needs. */

/**
 * By whom a NodeHost is known, and whom it believes. Each is the path of a PEM file, or the PEM text itself (it begins
 * with `-----BEGIN`). Files are read again when they change.
 */
export interface TlsSettings {
  /** Certificates of the authorities whose signature makes a peer one of ours; those of the system are not believed. */
  readonly ca: string;
  /**
   * This NodeHost's certificate, followed by intermediate ones if there are any. It must name the host of its
   * `raftAddress` (a subject alternative name of type DNS or IP), and be good for servers and clients.
   */
  readonly cert: string;
  /** Its private key. */
  readonly key: string;
}
