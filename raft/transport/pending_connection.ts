import type { Connection, ConnectionHandlers } from "./transport.ts";

/** Frames that may arrive between two owners; more is a peer that does not keep to the protocol. */
const maxHeldFrames = 64;

/**
 * A connection that changes hands: the handshake owns it first, then a link or a snapshot transfer. Between `hold`
 * and the next `start` what arrives is kept, so that nothing sent right behind a handshake is lost.
 */
export class PendingConnection implements Connection {
  readonly #connection: Connection;
  #handlers: ConnectionHandlers | undefined;
  #isStarted = false;
  #held: Uint8Array[] = [];
  #endReason: string | undefined;
  readonly #onEnd: () => void;

  /** Wraps a connection that was not started. `onEnd` is called when a started one has ended, whoever owned it. */
  constructor(connection: Connection, onEnd: () => void = () => {}) {
    this.#connection = connection;
    this.#onEnd = onEnd;
  }

  /** The other end, for logs. */
  get remoteAddress(): string {
    return this.#connection.remoteAddress;
  }

  /** Bytes given to `send` that have not left yet. */
  get bufferedBytes(): number {
    return this.#connection.bufferedBytes;
  }

  /** Says why the other end may not call itself `raftAddress`; undefined if it may, or proved nothing. */
  refusePeer(raftAddress: string): string | undefined {
    return this.#connection.refusePeer?.(raftAddress);
  }

  /** Whether nobody owns it now. */
  get isHeld(): boolean {
    return this.#handlers === undefined;
  }

  /** Takes the handlers away; what arrives waits for the next `start`. */
  hold(): void {
    this.#handlers = undefined;
  }

  /** Gives it to an owner, who gets at once what arrived meanwhile. */
  start(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#connection.start({
        onFrame: (frame) => this.#onFrame(frame),
        onClose: (reason) => this.#onClose(reason),
      });
      return;
    }
    while (this.#held.length > 0 && this.#handlers === handlers) {
      handlers.onFrame(this.#held.shift()!);
    }
    if (this.#endReason !== undefined && this.#handlers === handlers) {
      this.#tellEnd(this.#endReason);
    }
  }

  /** Queues one frame. */
  send(parts: readonly Uint8Array[]): void {
    this.#connection.send(parts);
  }

  /** Resolves when at most `bytes` wait, or the connection is closed. */
  drained(bytes: number): Promise<void> {
    return this.#connection.drained(bytes);
  }

  /** Ends the connection. */
  close(): void {
    this.#connection.close();
  }

  /** Ends the connection once what was sent has left. */
  closeWhenDrained(): void {
    this.#connection.drained(0).then(() => this.#connection.close());
  }

  #onFrame(frame: Uint8Array): void {
    if (this.#handlers !== undefined && this.#held.length === 0) {
      this.#handlers.onFrame(frame);
    } else if (this.#held.length < maxHeldFrames) {
      this.#held.push(frame);
    } else {
      this.#connection.close();
    }
  }

  #onClose(reason: string): void {
    this.#endReason = reason;
    this.#onEnd();
    if (this.#handlers !== undefined) this.#tellEnd(reason);
  }

  #tellEnd(reason: string): void {
    const handlers = this.#handlers;
    this.#handlers = endedHandlers;
    handlers?.onClose(reason);
  }
}

/** Exactly one `onClose` reaches an owner; this one gets the rest. */
const endedHandlers: ConnectionHandlers = {
  onFrame: () => {},
  onClose: () => {},
};
