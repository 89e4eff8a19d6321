/** Writing snapshot files: from a state machine, and from what another node sends. */
import { assert } from "../raft/core/assert.ts";
import { encodeMembership } from "../raft/core/membership.ts";
import type { Crc32, SnapshotMeta } from "../raft/core/types.ts";
import { RaftError } from "../raft/errors.ts";
import { type AsideFile, diskError } from "./aside_file.ts";
import {
  encodeSnapshotHeader,
  encodeSnapshotTrailer,
  sealSnapshotBlock,
  snapshotBlockBytes,
  snapshotBlockHeadBytes,
  type SnapshotHeader,
  SnapshotParser,
  snapshotTrailerBytes,
} from "./snapshot_format.ts";

/** Memory for the block being filled, to begin with: most states are small. It grows by the factor to a whole block. */
const firstBlockBytes = 4096;
const blockGrowth = 8;
const fullBlockBytes = snapshotBlockHeadBytes + snapshotBlockBytes;

/** What writers and readers of snapshots need beside a file. */
export interface SnapshotCodecOptions {
  /** The checksum of all formats. */
  readonly crc32: Crc32;
  /** Gives the event loop a turn; called after each block, since a state may be large and slow to encode (rule C6). */
  readonly yield?: () => Promise<void>;
}

/** Takes the state of a node: the `SnapshotWriter` that `saveSnapshot` is given, with the ends that its caller needs. */
export class SnapshotFileWriter {
  readonly #file: AsideFile;
  readonly #options: SnapshotCodecOptions;
  /** The block being filled, behind room for its head. */
  #block = new Uint8Array(firstBlockBytes);
  #blockEnd = snapshotBlockHeadBytes;
  #checksum: number;
  #blockCount = 0;
  #bodyBytes = 0;
  /** Writes that wait for the disk, one behind the other. */
  #queue: Promise<void> = Promise.resolve();
  #queued = 0;
  /** Why no more can be written: the disk's failure, or that it was given up. */
  #failure: Error | undefined;
  #diskFailure: Error | undefined;
  #isEnded = false;

  /** Made by {@link SnapshotStore.create}. */
  constructor(
    file: AsideFile,
    header: SnapshotHeader,
    options: SnapshotCodecOptions,
  ) {
    this.#file = file;
    this.#options = options;
    const bytes = encodeSnapshotHeader(header, options.crc32);
    this.#checksum = new DataView(bytes.buffer).getUint32(
      bytes.length - 4,
      true,
    );
    file.append(bytes);
  }

  /** What the disk did to it, or undefined. */
  get failure(): Error | undefined {
    return this.#diskFailure;
  }

  /**
   * Writes the next bytes, which are copied before the call returns. Await it: that is the back-pressure.
   *
   * @throws {RaftError} `diskFull` or `diskFailed`, and `closed` after the end.
   */
  write(bytes: Uint8Array): Promise<void> {
    const written = this.#write(bytes);
    // Whoever does not wait learns of a failure from `finish`; it must not end the process as an unhandled rejection.
    written.catch(() => {});
    return written;
  }

  /**
   * Makes the snapshot durable and puts it in its place. Returns the size of its file.
   *
   * @throws {RaftError} `diskFull` or `diskFailed`; nothing is left of it then.
   */
  async finish(): Promise<{ bytes: number }> {
    this.#requireOpen();
    this.#isEnded = true;
    await this.#enqueue(async () => {
      this.#sealBlock();
      this.#appendTrailer();
      await this.#file.finish();
    });
    return { bytes: this.#file.bytes };
  }

  /** Gives up; nothing is left of it. Does nothing after `finish`. */
  abort(): void {
    this.#isEnded = true;
    this.#failure ??= endedError();
    this.#file.abort();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (!(bytes instanceof Uint8Array)) {
      throw new TypeError("Cannot write to the snapshot: give a Uint8Array");
    }
    this.#requireOpen();
    if (this.#queued > 0 || bytes.length > snapshotBlockBytes) {
      const copy = bytes.slice();
      return this.#enqueue(() => this.#appendInTurns(copy));
    }
    const blocksBefore = this.#blockCount;
    try {
      this.#append(bytes);
    } catch (error) {
      throw this.#fail(error);
    }
    if (this.#blockCount > blocksBefore) {
      await this.#enqueue(() => this.#afterBlock());
    }
  }

  async #appendInTurns(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += snapshotBlockBytes) {
      this.#append(bytes.subarray(at, at + snapshotBlockBytes));
      await this.#afterBlock();
      // Given up meanwhile.
      if (this.#failure !== undefined) throw this.#failure;
    }
  }

  async #afterBlock(): Promise<void> {
    if (this.#file.needsSync) await this.#file.sync();
    else await this.#options.yield?.();
  }

  #requireOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isEnded) throw endedError();
  }

  #append(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + this.#block.length - this.#blockEnd);
      this.#block.set(part, this.#blockEnd);
      this.#blockEnd += part.length;
      at += part.length;
      if (this.#blockEnd < this.#block.length) continue;
      if (this.#blockEnd === fullBlockBytes) this.#sealBlock();
      else this.#growBlock();
    }
  }

  #growBlock(): void {
    const larger = Math.min(this.#block.length * blockGrowth, fullBlockBytes);
    const block = new Uint8Array(larger);
    block.set(this.#block);
    this.#block = block;
  }

  #sealBlock(): void {
    if (this.#blockEnd === snapshotBlockHeadBytes) return;
    const block = this.#block.subarray(0, this.#blockEnd);
    this.#checksum = sealSnapshotBlock(
      block,
      this.#checksum,
      this.#options.crc32,
    );
    this.#blockCount++;
    this.#bodyBytes += block.length - snapshotBlockHeadBytes;
    this.#blockEnd = snapshotBlockHeadBytes;
    this.#file.append(block);
  }

  #appendTrailer(): void {
    const trailer = {
      blockCount: this.#blockCount,
      bodyBytes: this.#bodyBytes,
      fileBytes: this.#file.bytes + snapshotTrailerBytes,
      lastChecksum: this.#checksum,
    };
    this.#file.append(encodeSnapshotTrailer(trailer, this.#options.crc32));
    assert(
      this.#file.bytes === trailer.fileBytes,
      "a snapshot's trailer must be its end",
    );
  }

  #enqueue(task: () => Promise<void>): Promise<void> {
    this.#queued++;
    const done = this.#queue.then(async () => {
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await task();
      } catch (error) {
        throw this.#fail(error);
      } finally {
        this.#queued--;
      }
    });
    this.#queue = done.catch(() => {});
    return done;
  }

  #fail(error: unknown): Error {
    if (this.#failure === undefined) {
      this.#diskFailure = diskError("write the snapshot", error);
      this.#failure = this.#diskFailure;
    }
    this.#file.abort();
    return this.#failure;
  }
}

/** Takes the bytes of another node's snapshot file, and checks them as they come. */
export class SnapshotFileReceiver {
  readonly #file: AsideFile;
  readonly #expected: SnapshotHeader;
  readonly #parser: SnapshotParser;
  #isHeaderChecked = false;
  #isEnded = false;

  /** Made by {@link SnapshotStore.receive}. */
  constructor(
    file: AsideFile,
    expected: SnapshotHeader,
    options: SnapshotCodecOptions,
  ) {
    this.#file = file;
    this.#expected = expected;
    this.#parser = new SnapshotParser("being received", options.crc32);
  }

  /** Bytes received. */
  get bytes(): number {
    return this.#file.bytes;
  }

  /**
   * Takes the next bytes. One call at a time.
   *
   * @throws {RaftError} `corruption` if they do not check, or are not the snapshot that was offered; `diskFull`;
   * `diskFailed`. Nothing is left of it then.
   */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#isEnded) throw endedError();
    try {
      this.#parser.push(bytes);
      this.#checkHeader();
      this.#file.append(bytes);
      if (this.#file.needsSync) await this.#file.sync();
    } catch (error) {
      this.abort();
      throw error;
    }
  }

  /**
   * Makes the snapshot durable and puts it in its place.
   *
   * @throws {RaftError} `corruption` if its end is missing; `diskFull`; `diskFailed`. Nothing is left of it then.
   */
  async finish(): Promise<{ bytes: number }> {
    if (this.#isEnded) throw endedError();
    try {
      this.#parser.finish();
      this.#isEnded = true;
      await this.#file.finish();
    } catch (error) {
      this.abort();
      throw error;
    }
    return { bytes: this.#file.bytes };
  }

  /** Gives up; nothing is left of it. Does nothing after `finish`. */
  abort(): void {
    this.#isEnded = true;
    this.#file.abort();
  }

  #checkHeader(): void {
    const { header } = this.#parser;
    if (this.#isHeaderChecked || header === undefined) return;
    const { clusterId, meta } = this.#expected;
    if (header.clusterId !== clusterId || !isSameMeta(header.meta, meta)) {
      throw new RaftError(
        "corruption",
        `Cannot receive the snapshot: it is of cluster ${header.clusterId} at ` +
          `index ${header.meta.index}, term ${header.meta.term}, and one of cluster ` +
          `${clusterId} at index ${meta.index}, term ${meta.term} was offered`,
      );
    }
    this.#isHeaderChecked = true;
  }
}

function isSameMeta(a: SnapshotMeta, b: SnapshotMeta): boolean {
  if (a.index !== b.index || a.term !== b.term) return false;
  const left = encodeMembership(a.membership);
  const right = encodeMembership(b.membership);
  return left.length === right.length &&
    left.every((byte, i) => byte === right[i]);
}

function endedError(): RaftError {
  return new RaftError(
    "closed",
    "Cannot write to the snapshot: it is finished or was given up",
  );
}
