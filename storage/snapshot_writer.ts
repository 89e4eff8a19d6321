/** Writing snapshot files: from a state machine, and from what another node sends. */
import { assert } from "../raft/core/assert.ts";
import { encodeMembership } from "../raft/core/membership_format.ts";
import type { Crc32, SnapshotMeta } from "../raft/core/types.ts";
import { RaftError } from "../raft/errors.ts";
import { type AsideFile, diskError } from "./aside_file.ts";
import type { Compression } from "./compression.ts";
import type { StoredFile } from "./file_system.ts";
import { encodeFileHead, maxFileMetadataBytes } from "./snapshot_files.ts";
import {
  blockCodec,
  blockKind,
  encodeSnapshotHeader,
  encodeSnapshotTrailer,
  plainTraits,
  sealSnapshotBlock,
  sealSnapshotBlock2,
  type SnapshotBlock,
  snapshotBlockBytes,
  snapshotBlockHeadBytes,
  snapshotBlockHeadBytes2,
  type SnapshotHeader,
  SnapshotParser,
  snapshotTrailerBytes,
} from "./snapshot_format.ts";

/** Memory for the block being filled, to begin with: most states are small. It grows by the factor to a whole block. */
const firstBlockBytes = 4096;
const blockGrowth = 8;
/** Room for the head of a block of either version. */
const headRoom = snapshotBlockHeadBytes2;
const fullBlockBytes = headRoom + snapshotBlockBytes;

/** What writers and readers of snapshots need beside a file. */
export interface SnapshotCodecOptions {
  /** The checksum of all formats. */
  readonly crc32: Crc32;
  /** Gives the event loop a turn; called after each block, since a state may be large and slow to encode (rule C6). */
  readonly yield?: () => Promise<void>;
  /** Unpacks blocks; needed to read what was packed. */
  readonly compression?: Compression;
  /** Opens a file that a state machine adds. */
  readonly openFile?: (path: string) => StoredFile;
}

/** Where the bytes of a snapshot go: a file, or another NodeHost. */
export interface SnapshotSink {
  /** Bytes appended. */
  readonly bytes: number;
  /** Whether so much was appended that {@link sync} is due. */
  readonly needsSync: boolean;
  /** Takes the next bytes, which never change again. */
  append(bytes: Uint8Array): void;
  /** Waits until what was appended is where it belongs. */
  sync(): Promise<void>;
  /** Nothing more comes: puts it in its place. */
  finish(): Promise<void>;
  /** Gives up. Does nothing after {@link finish}. */
  abort(): void;
  /** What was appended, fewer bytes only at the end: for a file that has to begin anew. */
  readBack?(position: number, length: number): Uint8Array;
  /** Another sink for the same place. */
  again?(): SnapshotSink;
}

/**
 * Takes the state of a node: the `SnapshotWriter` that `saveSnapshot` is given, with the ends that its caller needs. A
 * header without traits makes a file of version 1, unless a file is added.
 */
export class SnapshotFileWriter {
  #sink: SnapshotSink;
  #header: SnapshotHeader;
  readonly #options: SnapshotCodecOptions;
  readonly #pack: Compression | undefined;
  /** The block being filled, behind room for its head. */
  #block = new Uint8Array(firstBlockBytes);
  #blockEnd = headRoom;
  #hasBegun = false;
  #checksum = 0;
  #blockCount = 0;
  #bodyBytes = 0;
  readonly #fileIds = new Set<number>();
  /** Writes that wait for the disk, one behind the other. */
  #queue: Promise<void> = Promise.resolve();
  #queued = 0;
  /** Why no more can be written: the disk's failure, or that it was given up. */
  #failure: Error | undefined;
  #diskFailure: Error | undefined;
  #isEnded = false;

  /** Made by {@link SnapshotStore.create}. With `pack` blocks are packed where that makes them shorter. */
  constructor(
    sink: SnapshotSink,
    header: SnapshotHeader,
    options: SnapshotCodecOptions,
    pack?: Compression,
  ) {
    this.#sink = sink;
    this.#header = pack === undefined || header.traits !== undefined
      ? header
      : { ...header, traits: plainTraits };
    this.#options = options;
    this.#pack = pack;
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
   * Adds a file, which must not change before the promise settled; it may be removed then.
   *
   * @throws {TypeError} @throws {RangeError} if the id is not a safe integer from 0 on, or was used before.
   * @throws {RaftError} `rejected` if the file cannot be read; `diskFull` or `diskFailed`.
   */
  addFile(id: number, path: string, metadata?: Uint8Array): Promise<void> {
    const added = this.#addFile(id, path, metadata ?? new Uint8Array(0));
    added.catch(() => {});
    return added;
  }

  /** Writes the table of sessions: a block of its own kind, as `raft/` encodes it. */
  writeSessions(table: Uint8Array): Promise<void> {
    assert(this.#header.traits !== undefined, "sessions need version 2");
    return this.#enqueue(() => this.#putInTurns(blockKind.sessions, table));
  }

  /** Writes a block of another snapshot as it is. */
  copyBlock(block: SnapshotBlock): Promise<void> {
    assert(this.#header.traits !== undefined, "blocks are copied to version 2");
    return this.#enqueue(async () => {
      this.#sealState();
      this.#putBlock(block);
      await this.#afterBlock();
    });
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
      this.#sealState();
      this.#begin();
      this.#appendTrailer();
      await this.#sink.finish();
    });
    return { bytes: this.#sink.bytes };
  }

  /** Gives up; nothing is left of it. Does nothing after `finish`. */
  abort(): void {
    this.#isEnded = true;
    this.#failure ??= endedError();
    this.#sink.abort();
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

  async #addFile(
    id: number,
    path: string,
    metadata: Uint8Array,
  ): Promise<void> {
    this.#requireOpen();
    if (typeof path !== "string" || !(metadata instanceof Uint8Array)) {
      throw new TypeError(
        "Cannot add a file to the snapshot: give an id, a path and, if you like, metadata as a Uint8Array",
      );
    }
    const isNew = Number.isSafeInteger(id) && id >= 0 &&
      !this.#fileIds.has(id);
    if (!isNew || metadata.length > maxFileMetadataBytes) {
      throw new RangeError(
        `Cannot add file ${path} to the snapshot: ` +
          (isNew
            ? `its metadata are longer than ${maxFileMetadataBytes} bytes`
            : `its id ${id} is no integer from 0 on, or was used before`),
      );
    }
    const { openFile } = this.#options;
    assert(openFile !== undefined, "files need a file system");
    let file: StoredFile;
    try {
      file = openFile(path);
    } catch (error) {
      throw new RaftError(
        "rejected",
        `Cannot add file ${path} to the snapshot: ${
          error instanceof Error ? error.message : String(error)
        }`,
        { cause: error },
      );
    }
    this.#fileIds.add(id);
    const own = metadata.slice();
    await this.#enqueue(() => this.#copyFile(id, path, file, own))
      .finally(() => file.close());
  }

  async #copyFile(
    id: number,
    path: string,
    file: StoredFile,
    metadata: Uint8Array,
  ): Promise<void> {
    await this.#needVersion2();
    this.#sealState();
    const size = file.size();
    this.#put(blockKind.fileBegins, encodeFileHead({ id, size, metadata }));
    for (let at = 0; at < size;) {
      const bytes = new Uint8Array(Math.min(snapshotBlockBytes, size - at));
      if (file.readAt(bytes, at) < bytes.length) {
        throw new RaftError(
          "rejected",
          `Cannot add file ${path} to the snapshot: it became shorter meanwhile`,
        );
      }
      this.#put(blockKind.fileContents, bytes);
      at += bytes.length;
      await this.#afterBlock();
      if (this.#failure !== undefined) throw this.#failure;
    }
  }

  /** A file of version 1 holds nothing but the state; what was written of it is written again. */
  async #needVersion2(): Promise<void> {
    if (this.#header.traits !== undefined) return;
    this.#header = { ...this.#header, traits: plainTraits };
    if (!this.#hasBegun) return;
    const old = this.#sink;
    const sink = old.again?.();
    assert(sink !== undefined, "only a file is written in version 1");
    const parser = new SnapshotParser("being written", this.#options.crc32);
    this.#sink = sink;
    this.#hasBegun = false;
    this.#blockCount = 0;
    this.#bodyBytes = 0;
    try {
      for (let at = 0; at < old.bytes; at += snapshotBlockBytes) {
        const bytes = old.readBack!(at, snapshotBlockBytes);
        for (const block of parser.push(bytes)) {
          this.#put(blockKind.state, block.data);
        }
        await this.#afterBlock();
        if (this.#failure !== undefined) throw this.#failure;
      }
    } finally {
      old.abort();
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

  async #putInTurns(kind: number, bytes: Uint8Array): Promise<void> {
    this.#sealState();
    for (let at = 0; at < bytes.length; at += snapshotBlockBytes) {
      this.#put(kind, bytes.subarray(at, at + snapshotBlockBytes));
      await this.#afterBlock();
    }
  }

  async #afterBlock(): Promise<void> {
    if (this.#sink.needsSync) await this.#sink.sync();
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
      if (this.#blockEnd === fullBlockBytes) this.#sealState();
      else this.#growBlock();
    }
  }

  #growBlock(): void {
    const larger = Math.min(this.#block.length * blockGrowth, fullBlockBytes);
    const block = new Uint8Array(larger);
    block.set(this.#block);
    this.#block = block;
  }

  /** Writes what was collected of the state. */
  #sealState(): void {
    if (this.#blockEnd === headRoom) return;
    this.#begin();
    const end = this.#blockEnd;
    const rawLength = end - headRoom;
    this.#blockEnd = headRoom;
    if (this.#header.traits !== undefined) {
      return this.#put(blockKind.state, this.#block.subarray(headRoom, end));
    }
    const block = this.#block.subarray(headRoom - snapshotBlockHeadBytes, end);
    const { crc32 } = this.#options;
    this.#checksum = sealSnapshotBlock(block, this.#checksum, crc32);
    this.#blockCount++;
    this.#bodyBytes += rawLength;
    this.#sink.append(block.slice());
  }

  /** Writes a block of version 2. */
  #put(kind: number, data: Uint8Array): void {
    const rawLength = data.length;
    const packed = this.#pack?.deflate(data);
    if (packed === undefined || packed.length >= rawLength) {
      return this.#putBlock({ kind, codec: 0, rawLength, data });
    }
    const codec = blockCodec.deflate;
    this.#putBlock({ kind, codec, rawLength, data: packed });
  }

  #putBlock(block: SnapshotBlock): void {
    this.#begin();
    const bytes = new Uint8Array(snapshotBlockHeadBytes2 + block.data.length);
    bytes.set(block.data, snapshotBlockHeadBytes2);
    const { crc32 } = this.#options;
    this.#checksum = sealSnapshotBlock2(bytes, block, this.#checksum, crc32);
    this.#blockCount++;
    if (block.kind === blockKind.state) this.#bodyBytes += block.rawLength;
    this.#sink.append(bytes);
  }

  /** Writes the header, once it is known whether the file is of version 1 or 2. */
  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const bytes = encodeSnapshotHeader(this.#header, this.#options.crc32);
    const view = new DataView(bytes.buffer);
    this.#checksum = view.getUint32(bytes.length - 4, true);
    this.#sink.append(bytes);
  }

  #appendTrailer(): void {
    const trailer = {
      blockCount: this.#blockCount,
      bodyBytes: this.#bodyBytes,
      fileBytes: this.#sink.bytes + snapshotTrailerBytes,
      lastChecksum: this.#checksum,
    };
    this.#sink.append(encodeSnapshotTrailer(trailer, this.#options.crc32));
    assert(
      this.#sink.bytes === trailer.fileBytes,
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
    this.#sink.abort();
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

  /** Whether the end of the snapshot came. */
  get isComplete(): boolean {
    return this.#parser.isComplete;
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
