/** The receiving side of one snapshot (`codec/snapshot_chunk.ts` draws the conversation). */
import type { SnapshotStore } from "../storage/snapshots.ts";
import type { SnapshotFileReceiver } from "../storage/snapshot_writer.ts";
import {
  decodeSnapshotFrame,
  encodeSnapshotFrame,
  type SnapshotFrame,
  type SnapshotOffer,
} from "./codec/snapshot_chunk.ts";
import type { Logger, Timer } from "./ports.ts";
import {
  snapshotWindowBytes,
  type TransferOptions,
} from "./snapshot_sender.ts";
import type { Connection } from "./transport/transport.ts";

/** A sender may exceed its window by a chunk that it had begun; more is not ours. */
const maxQueuedBytes = 2 * snapshotWindowBytes;

/** What the owner of a node decides about snapshots for it. */
export interface SnapshotHandler {
  /** Returns why the snapshot is not wanted, or undefined to take it. */
  onOffer(offer: SnapshotOffer): string | undefined;
  /** The snapshot is durable on this host's disk. The sender is told after this returns. */
  onReceived(offer: SnapshotOffer): void;
}

/** What a receiver needs beside its connection. */
export interface SnapshotReceiverOptions extends TransferOptions {
  /** Where snapshots go. */
  readonly store: SnapshotStore;
  /** Where failures are told. */
  readonly logger: Logger;
  /** Decides about the offer. */
  readonly handler: SnapshotHandler;
  /** Returns why there is no room for another snapshot, or undefined; called once the handler wants it. */
  admit(offer: SnapshotOffer): string | undefined;
  /** The transfer ended, however it did. Called exactly once. */
  onEnd(): void;
}

/** Receives one snapshot over one connection. */
export class SnapshotReceiver {
  readonly #connection: Connection;
  readonly #options: SnapshotReceiverOptions;
  #state: "waiting" | "receiving" | "answered" | "ended" = "waiting";
  #offer: SnapshotOffer | undefined;
  #file: SnapshotFileReceiver | undefined;
  /** Chunks that wait for the disk. */
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #receivedBytes = 0;
  #isWriting = false;
  #timer: Timer | undefined;

  /** Does nothing until `start`. */
  constructor(connection: Connection, options: SnapshotReceiverOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** Takes over the connection, in the turn in which it was handed over. */
  start(): void {
    this.#expectFrame();
    this.#connection.start({
      onFrame: (frame) => this.#onFrame(frame),
      onClose: (reason) => this.#end(`connection ended: ${reason}`),
    });
  }

  /** What is being received, once it was accepted and until it is answered for. */
  get offer(): SnapshotOffer | undefined {
    return this.#state === "receiving" ? this.#offer : undefined;
  }

  /** Gives up, and tells the sender why. */
  abort(reason: string): void {
    this.#answer({ kind: "failed", reason });
  }

  /** Ends the connection at once. */
  close(reason: string): void {
    this.#end(reason);
  }

  #onFrame(bytes: Uint8Array): void {
    if (this.#state !== "waiting" && this.#state !== "receiving") return;
    const frame = decodeSnapshotFrame(bytes, this.#options.crc32);
    if (typeof frame === "string") {
      return this.abort(`a frame is not well-formed (${frame})`);
    }
    if (frame.kind === "offer" && this.#state === "waiting") {
      return this.#onOffer(frame.offer);
    }
    if (frame.kind === "chunk" && this.#state === "receiving") {
      return this.#onChunk(frame.offset, frame.data);
    }
    this.abort(`a frame of kind ${frame.kind} was not expected`);
  }

  #onOffer(offer: SnapshotOffer): void {
    const { handler, admit, store, logger } = this.#options;
    try {
      const refusal = handler.onOffer(offer) ?? admit(offer);
      if (refusal !== undefined) {
        return this.#answer({ kind: "refused", reason: refusal });
      }
      this.#file = store.receive(offer.clusterId, offer.to, offer.meta);
    } catch (error) {
      // A full disk, or a bug in the handler: no harm to the others.
      logger.warn("Cannot receive a snapshot", { ...brief(offer), error });
      return this.#answer({ kind: "refused", reason: textOf(error) });
    }
    this.#offer = offer;
    this.#state = "receiving";
    this.#send({ kind: "accept" });
    this.#expectFrame();
  }

  #onChunk(offset: number, data: Uint8Array): void {
    const { fileBytes } = this.#offer ?? { fileBytes: 0 };
    if (offset !== this.#receivedBytes) {
      return this.abort(`offset ${offset} follows ${this.#receivedBytes}`);
    }
    if (fileBytes > 0 && offset + data.length > fileBytes) {
      return this.abort(`there is more than the ${fileBytes} bytes offered`);
    }
    if (this.#queuedBytes + data.length > maxQueuedBytes) {
      return this.abort("the sender does not wait for progress");
    }
    this.#timer?.cancel();
    this.#receivedBytes += data.length;
    this.#queuedBytes += data.length;
    this.#queue.push(data);
    if (!this.#isWriting) this.#write();
  }

  /** Writes what came, until nothing waits or all is there. Never rejects. */
  async #write(): Promise<void> {
    const file = this.#file;
    const offer = this.#offer;
    if (file === undefined || offer === undefined) return;
    const { clock, handler, logger, throttle } = this.#options;
    this.#isWriting = true;
    try {
      for (;;) {
        const data = this.#queue.shift();
        if (data === undefined || this.#state !== "receiving") break;
        await throttle?.take(data.length);
        if (this.#state !== "receiving") break;
        await file.write(data);
        this.#queuedBytes -= data.length;
        this.#send({ kind: "progress", bytes: file.bytes });
        // Others have their turn between chunks (rule C6).
        await new Promise<void>((resolve) => clock.defer(resolve));
      }
      if (this.#state !== "receiving") return;
      const isAll = offer.fileBytes === 0
        ? file.isComplete
        : file.bytes >= offer.fileBytes;
      if (!isAll) return this.#expectFrame();
      await file.finish();
      if (this.#state !== "receiving") return;
      handler.onReceived(offer);
      this.#answer({ kind: "done" });
    } catch (error) {
      if (this.#state !== "receiving") return;
      logger.warn("Cannot receive a snapshot", { ...brief(offer), error });
      this.#answer({ kind: "failed", reason: textOf(error) });
    } finally {
      this.#isWriting = false;
    }
  }

  /** The last thing that is said. The sender closes the connection when it has heard it. */
  #answer(frame: SnapshotFrame): void {
    if (this.#state === "answered" || this.#state === "ended") return;
    this.#state = "answered";
    this.#drop();
    this.#send(frame);
    this.#expectFrame();
  }

  #send(frame: SnapshotFrame): void {
    this.#connection.send(encodeSnapshotFrame(frame, this.#options.crc32));
  }

  /** The sender has so long to say, or do, the next thing. While we are the slow ones, no time runs. */
  #expectFrame(): void {
    const { clock, stallMs } = this.#options;
    this.#timer?.cancel();
    this.#timer = clock.setTimer(
      stallMs,
      () => this.#end(`nothing came for ${stallMs} ms`),
    );
  }

  #end(reason: string): void {
    if (this.#state === "ended") return;
    const { offer } = this;
    this.#state = "ended";
    this.#timer?.cancel();
    this.#drop();
    this.#connection.close();
    if (offer !== undefined) {
      const fields = { ...brief(offer), reason };
      this.#options.logger.info("A snapshot did not arrive", fields);
    }
    this.#options.onEnd();
  }

  /** Removes what was written, unless it is in its place already. */
  #drop(): void {
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#file?.abort();
  }
}

function brief(offer: SnapshotOffer): Record<string, unknown> {
  const { clusterId, from, to, meta } = offer;
  return { clusterId, from, to, index: meta.index };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
