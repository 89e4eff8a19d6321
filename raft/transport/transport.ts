/**
 * The port to the network: connections that carry whole frames. An adapter adds framing and checksums over TCP
 * (`tcp.ts`), hands frames over in memory (`memory.ts`), or simulates a hostile network (`testing/sim`).
 */

/** What a connection tells its owner. */
export interface ConnectionHandlers {
  /** One whole, checked frame. The bytes are the receiver's: never reused by the adapter. */
  onFrame(frame: Uint8Array): void;
  /** The connection ended, for this reason; called exactly once, also after `close()`. */
  onClose(reason: string): void;
}

/** One connection between two NodeHosts. Frames arrive whole and in order, or the connection ends. */
export interface Connection {
  /** The other end, for logs. */
  readonly remoteAddress: string;
  /** Bytes given to `send` that have not left yet. */
  readonly bufferedBytes: number;
  /** Must be called once, in the turn that handed the connection over; frames arrive from then on. */
  start(handlers: ConnectionHandlers): void;
  /** Queues one frame made of `parts` (concatenated). The parts must not change afterwards. Ignored once closed. */
  send(parts: readonly Uint8Array[]): void;
  /** Resolves when `bufferedBytes` is at most `bytes`, or the connection is closed. */
  drained(bytes: number): Promise<void>;
  /** Ends the connection; what is queued may be lost. */
  close(): void;
}

/** A listening address. */
export interface Listener {
  /** The address bound, with the real port. */
  readonly address: string;
  /** Stops listening; connections stay. */
  close(): void;
}

/** Makes connections. */
export interface Network {
  /**
   * Listens on `host:port`. `onConnection` must call `start` at once.
   *
   * @throws {Error} with `code` `EADDRINUSE` or another Node-style code if the address cannot be bound.
   */
  listen(
    address: string,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener>;
  /** Connects to `host:port`; rejects if that fails or `signal` is aborted. */
  connect(address: string, signal: AbortSignal): Promise<Connection>;
}

/** The reason given to `onClose` when the other end closed the connection in good order. */
export const closedByOtherEnd = "closed by the other end";
