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
import type { Throttle } from "./throttle.ts";
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
  /** Keeps to a bandwidth. */
  readonly throttle?: Throttle | undefined;
}

/** Where the bytes of a snapshot come from. */
export interface ChunkSource {
  /** Length of the whole, 0 if that is not known before the end. */
  readonly fileBytes: number;
  /** The next bytes, at most `length` of them; none at the end. */
  next(length: number): Promise<Uint8Array>;
}

/** A snapshot's file as a source. The receiver checks as well, but could not tell our disk's fault from its own. */
export class FileSource implements ChunkSource {
  /** Length of the file. */
  readonly fileBytes: number;
  readonly #snapshot: SnapshotFile;
  readonly #parser: SnapshotParser;
  #offset = 0;

  /** Reads `snapshot` from its beginning. */
  constructor(snapshot: SnapshotFile, crc32: Crc32) {
    this.#snapshot = snapshot;
    this.fileBytes = snapshot.fileBytes;
    this.#parser = new SnapshotParser(snapshot.path, crc32);
  }

  /** See {@link ChunkSource}. @throws {RaftError} `corruption` if the file is damaged. */
  next(length: number): Promise<Uint8Array> {
    const data = this.#snapshot.readChunk(this.#offset, length);
    this.#parser.push(data);
    this.#offset += data.length;
    if (data.length === 0) this.#parser.finish();
    return Promise.resolve(data);
  }
}

/** Sends one snapshot over one connection. */
export class SnapshotSender {
  readonly #connection: Connection;
  readonly #source: ChunkSource;
  readonly #offer: SnapshotOffer;
  readonly #options: TransferOptions;
  #isAccepted = false;
  #isDone = false;
  #writtenBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #timer: Timer | undefined;
  #wake: () => void = () => {};

  /** Takes over the connection in the turn in which it was handed over; the source stays the caller's. */
  constructor(
    connection: Connection,
    source: ChunkSource,
    offer: SnapshotOffer,
    options: TransferOptions,
  ) {
    this.#connection = connection;
    this.#source = source;
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
    const { clock, throttle } = this.#options;
    for (let offset = 0;;) {
      const data = await this.#source.next(snapshotChunkBytes);
      if (data.length === 0) return;
      await throttle?.take(data.length);
      const under = offset - snapshotWindowBytes;
      await this.#until(() => this.#writtenBytes >= under);
      this.#send({ kind: "chunk", offset, data });
      offset += data.length;
      // Others have their turn between chunks (rule C6).
      await new Promise<void>((resolve) => clock.defer(resolve));
      await this.#connection.drained(maxBufferedBytes);
    }
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
