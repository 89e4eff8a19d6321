/**
 * The port to the network: connections that carry whole frames. An adapter adds framing and checksums over TCP
 * (`tcp.ts`), hands frames over in memory (`memory.ts`), or simulates a hostile network (`testing/sim`).
 */
import type { TlsSettings } from "./tls_settings.ts";

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
  /**
   * Says why the other end may not call itself `raftAddress`, or undefined if it may: its certificate does not name that
   * host. Absent where nothing was proven.
   */
  readonly refusePeer?:
    | ((raftAddress: string) => string | undefined)
    | undefined;
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

/** Somebody who was turned away before there was a connection. */
export interface TurnedAway {
  /** Where it came from. */
  readonly remoteAddress: string;
  /** For programs, such as `tls`. */
  readonly code: string;
  /** For people. */
  readonly reason: string;
}

/** Makes connections. */
export interface Network {
  /**
   * Listens on `host:port`. `onConnection` must call `start` at once. `onTurnedAway` is told who was not let in.
   *
   * @throws {Error} with `code` `EADDRINUSE` or another Node-style code if the address cannot be bound.
   */
  listen(
    address: string,
    onConnection: (connection: Connection) => void,
    onTurnedAway?: (stranger: TurnedAway) => void,
  ): Promise<Listener>;
  /** Connects to `host:port`; rejects if that fails or `signal` is aborted. */
  connect(address: string, signal: AbortSignal): Promise<Connection>;
  /** The same network with mutual TLS; absent where there is none. */
  secure?(settings: TlsSettings): SecureNetwork;
}

/** A network whose connections are encrypted, and whose ends are known to each other by certificates. */
export interface SecureNetwork extends Network {
  /**
   * Reads the certificates for the first time, and checks that they are of any use at `raftAddress`.
   *
   * @throws {RaftError} `rejected`, with what is wrong with them.
   */
  open(raftAddress: string): Promise<void>;
  /**
   * Reads them again if their files have changed; true if there were new ones. New connections use those.
   *
   * @throws {RaftError} `rejected`, with what is wrong with the new ones; the old ones stay in use.
   */
  reload(): Promise<boolean>;
}

/** The reason given to `onClose` when the other end closed the connection in good order. */
export const closedByOtherEnd = "closed by the other end";

/** The other end was reached, and is not who it should be: its certificate was not accepted. */
export class PeerRefusedError extends Error {
  /** Always `"PeerRefusedError"`. */
  override readonly name = "PeerRefusedError";
}
