/** The sending side of one snapshot (`codec/snapshot_chunk.ts` draws the conversation). */
import { SnapshotParser } from "../storage/snapshot_format.ts";
import type { SnapshotFile } from "../storage/snapshot_reader.ts";
import {
  decodeSnapshotFrame,
  encodeSnapshotFrame,
  snapshotChunkBytes,
  type SnapshotFrame,
  type SnapshotOffer,
} from "./codec/snapshot_chunk.ts";
import type { Crc32 } from "./core/types.ts";
import { RaftError } from "./errors.ts";
import type { Clock, Timer } from "./ports.ts";
import type { Connection } from "./transport/transport.ts";

/** Most bytes that are under way: sent and not yet written by the receiver. */
export const snapshotWindowBytes = 4 * 1024 * 1024;
/** More than this in the connection's own buffer would be memory without use. */
const maxBufferedBytes = 512 * 1024;

/** What both sides of a transfer need. */
export interface TransferOptions {
  /** Time, and turns of the event loop. */
  readonly clock: Clock;
  /** The checksum of all formats. */
  readonly crc32: Crc32;
  /** Milliseconds without progress after which the other side is given up. */
  readonly stallMs: number;
}

/** Sends one snapshot over one connection. */
export class SnapshotSender {
  readonly #connection: Connection;
  readonly #snapshot: SnapshotFile;
  readonly #offer: SnapshotOffer;
  readonly #options: TransferOptions;
  #isAccepted = false;
  #isDone = false;
  #writtenBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #timer: Timer | undefined;
  #wake: () => void = () => {};

  /** Takes over the connection in the turn in which it was handed over; the snapshot stays the caller's. */
  constructor(
    connection: Connection,
    snapshot: SnapshotFile,
    offer: SnapshotOffer,
    options: TransferOptions,
  ) {
    this.#connection = connection;
    this.#snapshot = snapshot;
    this.#offer = offer;
    this.#options = options;
    connection.start({
      onFrame: (frame) => this.#onFrame(frame),
      onClose: (reason) => this.#fail("dropped", `connection ended: ${reason}`),
    });
  }

  /**
   * Sends it. Settles when the receiver has it on its disk, and closes the connection in any case.
   *
   * @throws {RaftError} `rejected` if the receiver refused it or failed, `dropped` if the connection ended, `timeout`
   * if it stalled, `corruption` if our own file is damaged.
   */
  async run(): Promise<void> {
    try {
      this.#expectProgress();
      this.#send({ kind: "offer", offer: this.#offer });
      await this.#until(() => this.#isAccepted);
      await this.#sendChunks();
      await this.#until(() => this.#isDone);
    } finally {
      this.#failure ??= { error: this.#error("dropped", "it was over") };
      this.#timer?.cancel();
      this.#connection.close();
    }
  }

  /** Gives up; `run` rejects with `error`. */
  abort(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#connection.close();
    this.#wake();
  }

  async #sendChunks(): Promise<void> {
    const { clock, crc32 } = this.#options;
    const { fileBytes, path } = this.#snapshot;
    // The receiver checks as well, but could not tell our disk's fault from its own.
    const parser = new SnapshotParser(path, crc32);
    for (let offset = 0; offset < fileBytes;) {
      const under = offset - snapshotWindowBytes;
      await this.#until(() => this.#writtenBytes >= under);
      const data = this.#snapshot.readChunk(offset, snapshotChunkBytes);
      parser.push(data);
      if (data.length === 0) parser.finish();
      this.#send({ kind: "chunk", offset, data });
      offset += data.length;
      // Others have their turn between chunks (rule C6).
      await new Promise<void>((resolve) => clock.defer(resolve));
      await this.#connection.drained(maxBufferedBytes);
    }
    parser.finish();
  }

  #send(frame: SnapshotFrame): void {
    this.#connection.send(encodeSnapshotFrame(frame, this.#options.crc32));
  }

  #onFrame(bytes: Uint8Array): void {
    if (this.#failure !== undefined) return;
    const frame = decodeSnapshotFrame(bytes, this.#options.crc32);
    if (typeof frame === "string") {
      return this.#fail("rejected", `the receiver sent a bad frame (${frame})`);
    }
    switch (frame.kind) {
      case "accept":
        this.#isAccepted = true;
        break;
      case "progress":
        if (frame.bytes <= this.#writtenBytes) return; // No progress.
        this.#writtenBytes = frame.bytes;
        break;
      case "done":
        this.#isDone = true;
        break;
      case "refused":
        return this.#fail(
          "rejected",
          `the receiver refused it: ${frame.reason}`,
        );
      case "failed":
        return this.#fail("rejected", `the receiver failed: ${frame.reason}`);
      default:
        return this.#fail("rejected", `the receiver sent a ${frame.kind}`);
    }
    this.#expectProgress();
    this.#wake();
  }

  #expectProgress(): void {
    const { clock, stallMs } = this.#options;
    this.#timer?.cancel();
    this.#timer = clock.setTimer(
      stallMs,
      () => this.#fail("timeout", `no progress for ${stallMs} ms`),
    );
  }

  async #until(condition: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (condition()) return;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #fail(code: "dropped" | "rejected" | "timeout", reason: string): void {
    this.abort(this.#error(code, reason));
  }

  #error(code: "dropped" | "rejected" | "timeout", reason: string): RaftError {
    const { clusterId, from, to, meta } = this.#offer;
    return new RaftError(
      code,
      `Cannot send snapshot ${meta.index} of cluster ${clusterId} from node ${from} to node ${to} at ` +
        `${this.#connection.remoteAddress}: ${reason}`,
    );
  }
}
