/** Reading snapshot files. */
import { RaftError } from "../raft/errors.ts";
import type { SnapshotMeta } from "../raft/core/types.ts";
import { diskError } from "./aside_file.ts";
import type { StoredFile } from "./file_system.ts";
import {
  blockCodec,
  blockKind,
  decodeSnapshotTrailer,
  plainTraits,
  type SnapshotBlock,
  snapshotBlockBytes,
  snapshotBlockHeadBytes,
  snapshotBlockHeadBytes2,
  SnapshotParser,
  snapshotTrailerBytes,
  type SnapshotTraits,
} from "./snapshot_format.ts";
import type { SnapshotCodecOptions } from "./snapshot_writer.ts";

/** A snapshot opened for reading. */
export class SnapshotFile {
  /** The cluster whose state it is. */
  readonly clusterId: number;
  /** Where it stands in the log. */
  readonly meta: SnapshotMeta;
  /** Size of the file. */
  readonly fileBytes: number;
  /** Size of the state in it. */
  readonly bodyBytes: number;
  /** For errors. */
  readonly path: string;
  /** What it is; a snapshot of version 1 has the plain ones. */
  readonly traits: SnapshotTraits;
  /** Version of its format: 1 or 2. */
  readonly formatVersion: number;
  readonly #file: StoredFile;
  readonly #options: SnapshotCodecOptions;
  /** Bytes before the data of a block. */
  readonly #headBytes: number;
  /** Where the first block stands. */
  readonly #bodyAt: number;
  #isClosed = false;

  /** Made by {@link SnapshotStore.open}. */
  constructor(file: StoredFile, path: string, options: SnapshotCodecOptions) {
    this.#file = file;
    this.path = path;
    this.#options = options;
    this.fileBytes = file.size();
    const parser = new SnapshotParser(path, options.crc32);
    for (let at = 0; parser.header === undefined; at += 4096) {
      const bytes = this.readChunk(at, 4096);
      if (bytes.length === 0) parser.finish();
      parser.push(bytes);
    }
    this.clusterId = parser.header.clusterId;
    this.meta = parser.header.meta;
    this.traits = parser.header.traits ?? plainTraits;
    this.formatVersion = parser.header.traits === undefined ? 1 : 2;
    this.#headBytes = parser.header.traits === undefined
      ? snapshotBlockHeadBytes
      : snapshotBlockHeadBytes2;
    this.#bodyAt = parser.headerBytes;
    this.bodyBytes = this.#checkTrailer();
  }

  /** Fails unless the header names this cluster and index. @throws {RaftError} `corruption`. */
  requireHeader(expected: { clusterId: number; index: number }): void {
    if (
      this.clusterId !== expected.clusterId ||
      this.meta.index !== expected.index
    ) {
      throw this.#corruption(
        0,
        `it is of cluster ${this.clusterId} at index ${this.meta.index}`,
      );
    }
  }

  /**
   * The state, in order, in blocks that check. Whoever stops half-way needs to do nothing: the file is closed by
   * `close`. Fails with `RaftError` `corruption` at the first block that does not check.
   */
  body(): ReadableStream<Uint8Array> {
    const parser = new SnapshotParser(this.path, this.#options.crc32);
    let at = 0;
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          for (let hasBlock = false; !hasBlock;) {
            await this.#options.yield?.();
            const bytes = this.readChunk(at, snapshotBlockBytes);
            at += bytes.length;
            for (const block of parser.push(bytes)) {
              if (block.kind !== blockKind.state) continue;
              hasBlock = true;
              controller.enqueue(this.unpack(block));
            }
            if (bytes.length > 0) continue;
            parser.finish();
            controller.close();
            return;
          }
        } catch (error) {
          controller.error(error);
        }
      },
    }, { highWaterMark: 0 });
  }

  /**
   * Every block of the file, in order and as it is stored: the whole file is read and checked by going through all of them.
   *
   * @throws {RaftError} `corruption`, `diskFailed`.
   */
  async *blocks(): AsyncGenerator<SnapshotBlock> {
    const parser = new SnapshotParser(this.path, this.#options.crc32);
    for (let at = 0;;) {
      await this.#options.yield?.();
      const bytes = this.readChunk(at, snapshotBlockBytes);
      yield* parser.push(bytes);
      at += bytes.length;
      if (bytes.length === 0) break;
    }
    parser.finish();
  }

  /**
   * Whether there are files in it, as the heads of the blocks say. They are not checked here, and need not be: whoever then
   * reads the blocks finds what is damaged.
   */
  hasFiles(): boolean {
    if (this.#headBytes !== snapshotBlockHeadBytes2) return false;
    for (let at = this.#bodyAt; at < this.fileBytes;) {
      const head = this.readChunk(at, snapshotBlockHeadBytes2);
      if (head.length < snapshotBlockHeadBytes2) return false;
      const view = new DataView(head.buffer, head.byteOffset, head.length);
      const length = view.getUint32(0, true);
      if (length === 0) return false;
      if (view.getUint8(12) === blockKind.fileBegins) return true;
      at += snapshotBlockHeadBytes2 + length;
    }
    return false;
  }

  /** The data of a block. @throws {RaftError} `corruption` if they cannot be unpacked. */
  unpack(block: SnapshotBlock): Uint8Array {
    if (block.codec === blockCodec.stored) return block.data;
    const { compression } = this.#options;
    let bytes: Uint8Array | undefined;
    try {
      bytes = compression?.inflate(block.data, block.rawLength);
    } catch {
      // Told below, with the rest.
    }
    if (bytes?.length === block.rawLength) return bytes;
    throw new RaftError(
      "corruption",
      `Cannot read snapshot ${this.path}: a block of ${block.rawLength} bytes cannot be unpacked`,
    );
  }

  /**
   * Bytes of the file as they are, unchecked: fewer than `length` only at the end.
   *
   * @throws {RaftError} `diskFailed`, and `closed` after `close`.
   */
  readChunk(position: number, length: number): Uint8Array {
    if (this.#isClosed) {
      throw new RaftError(
        "closed",
        `Cannot read snapshot ${this.path}: it was closed`,
      );
    }
    const bytes = new Uint8Array(
      Math.max(0, Math.min(length, this.fileBytes - position)),
    );
    try {
      return bytes.subarray(0, this.#file.readAt(bytes, position));
    } catch (error) {
      throw diskError(`read snapshot ${this.path}`, error);
    }
  }

  /** Closes the file; bodies that are still read fail. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#file.close();
  }

  #checkTrailer(): number {
    const offset = Math.max(0, this.fileBytes - snapshotTrailerBytes);
    const bytes = this.readChunk(offset, snapshotTrailerBytes);
    const trailer = decodeSnapshotTrailer(bytes, this.#options.crc32);
    if (trailer === undefined || trailer.fileBytes !== this.fileBytes) {
      throw this.#corruption(offset, "it does not end like a snapshot");
    }
    return trailer.bodyBytes;
  }

  #corruption(offset: number, what: string): RaftError {
    return new RaftError(
      "corruption",
      `Cannot read snapshot ${this.path} at offset ${offset}: ${what}`,
    );
  }
}
