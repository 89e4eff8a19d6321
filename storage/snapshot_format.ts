/**
 * The format of a snapshot file. It says nothing of the node that wrote it, so the file travels as it is.
 *
 * All integers are little-endian; 64-bit ones hold safe integers.
 *
 * ```text
 * header
 *    0  magic        (8B)  "drksnap" and a zero
 *    8  version      (4B)  = 1
 *   12  length       (4B)  of the header, checksum included
 *   16  cluster id   (8B)
 *   24  index        (8B)  last entry that the snapshot contains
 *   32  term         (8B)  of that entry
 *   40  membership         as `raft/core/membership.ts` encodes it, up to the checksum
 *   ..  crc32        (4B)  over all of the header before it
 * blocks, any number
 *    0  length       (4B)  of the data, 1 to 262,144
 *    4  crc32        (4B)  over the length, then the data; continues from the checksum of the block before (the
 *                          header's for the first), so blocks cannot change places
 *    8  data
 * trailer
 *    0  zero         (4B)  where a block has its length
 *    4  block count  (4B)
 *    8  body bytes   (8B)  sum of the blocks' lengths
 *   16  file bytes   (8B)  from the header to the end of the trailer
 *   24  last crc32   (4B)  of the last block (of the header if there is none)
 *   28  crc32        (4B)  over the trailer before it
 * ```
 */
import { assert } from "../raft/core/assert.ts";
import { getUint64, setUint64 } from "../raft/core/entry_batch.ts";
import { decodeMembership, encodeMembership } from "../raft/core/membership.ts";
import type { Crc32, SnapshotMeta } from "../raft/core/types.ts";
import { RaftError } from "../raft/errors.ts";

/** Version in the header of every snapshot file that this library writes. */
export const snapshotFormatVersion = 1;
/** Largest data of one block. */
export const snapshotBlockBytes = 256 * 1024;
/** Bytes before the data of a block. */
export const snapshotBlockHeadBytes = 8;
/** Bytes of the trailer. */
export const snapshotTrailerBytes = 32;

/** Bytes that tell how long the header is. */
const headerStartBytes = 16;
const headerFixedBytes = 40;
/** A membership holds at most a few dozen members, and eight bytes for each that ever was removed. */
const maxHeaderBytes = 1024 * 1024;
const magic = Uint8Array.from(
  [..."drksnap\0"].map((letter) => letter.charCodeAt(0)),
);

/** What the header says. */
export interface SnapshotHeader {
  /** The cluster whose state it is. */
  readonly clusterId: number;
  /** Where it stands in the log. */
  readonly meta: SnapshotMeta;
}

/** What the trailer says. */
export interface SnapshotTrailer {
  /** Number of blocks. */
  readonly blockCount: number;
  /** Sum of the blocks' lengths. */
  readonly bodyBytes: number;
  /** Length of the file. */
  readonly fileBytes: number;
  /** Checksum of the last block, or of the header. */
  readonly lastChecksum: number;
}

/** Encodes the header; its last four bytes are the checksum that the first block continues from. */
export function encodeSnapshotHeader(
  header: SnapshotHeader,
  crc32: Crc32,
): Uint8Array {
  const membership = encodeMembership(header.meta.membership);
  const bytes = new Uint8Array(headerFixedBytes + membership.length + 4);
  assert(bytes.length <= maxHeaderBytes, "a snapshot's header must fit");
  const view = viewOf(bytes);
  bytes.set(magic);
  view.setUint32(8, snapshotFormatVersion, true);
  view.setUint32(12, bytes.length, true);
  setUint64(view, 16, header.clusterId);
  setUint64(view, 24, header.meta.index);
  setUint64(view, 32, header.meta.term);
  bytes.set(membership, headerFixedBytes);
  const end = bytes.length - 4;
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** Fills the eight bytes before the data of `block`, and returns its checksum. */
export function sealSnapshotBlock(
  block: Uint8Array,
  previousChecksum: number,
  crc32: Crc32,
): number {
  const length = block.length - snapshotBlockHeadBytes;
  assert(length >= 1, "a block must hold data");
  assert(length <= snapshotBlockBytes, "a block must not be too long");
  const view = viewOf(block);
  view.setUint32(0, length, true);
  const checksum = blockChecksum(block, previousChecksum, crc32);
  view.setUint32(4, checksum, true);
  return checksum;
}

/** Encodes the trailer. */
export function encodeSnapshotTrailer(
  trailer: SnapshotTrailer,
  crc32: Crc32,
): Uint8Array {
  const bytes = new Uint8Array(snapshotTrailerBytes);
  const view = viewOf(bytes);
  view.setUint32(4, trailer.blockCount, true);
  setUint64(view, 8, trailer.bodyBytes);
  setUint64(view, 16, trailer.fileBytes);
  view.setUint32(24, trailer.lastChecksum, true);
  view.setUint32(28, crc32(bytes.subarray(0, 28)), true);
  return bytes;
}

/** Reads a trailer, or returns undefined if the bytes are none. */
export function decodeSnapshotTrailer(
  bytes: Uint8Array,
  crc32: Crc32,
): SnapshotTrailer | undefined {
  if (bytes.length !== snapshotTrailerBytes) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== 0) return undefined;
  if (view.getUint32(28, true) !== crc32(bytes.subarray(0, 28))) {
    return undefined;
  }
  return {
    blockCount: view.getUint32(4, true),
    bodyBytes: getUint64(view, 8),
    fileBytes: getUint64(view, 16),
    lastChecksum: view.getUint32(24, true),
  };
}

/** Where in a file the parser is. */
type Stage =
  | "headerStart"
  | "header"
  | "blockHead"
  | "block"
  | "trailer"
  | "end";

/**
 * Reads a snapshot file from its bytes in order, in pieces of any size. It hands out the data of a block only when
 * the whole of it checks, and holds no more than one.
 */
export class SnapshotParser {
  readonly #source: string;
  readonly #crc32: Crc32;
  #stage: Stage = "headerStart";
  /** Bytes of the stage, in all. */
  #needed = headerStartBytes;
  /** Bytes of the stage so far, if they came in pieces. */
  #held = new Uint8Array(headerStartBytes);
  #heldBytes = 0;
  /** Where in the file the stage begins. */
  #offset = 0;
  #checksum = 0;
  #blockCount = 0;
  #bodyBytes = 0;
  #header: SnapshotHeader | undefined;

  /** Reads what `source` names in errors. */
  constructor(source: string, crc32: Crc32) {
    this.#source = source;
    this.#crc32 = crc32;
  }

  /** What the header says, once it was read. */
  get header(): SnapshotHeader | undefined {
    return this.#header;
  }

  /** Whether the file was read to its end, and all of it checks. */
  get isComplete(): boolean {
    return this.#stage === "end";
  }

  /**
   * Takes the next bytes, and returns the data of the blocks that they complete: copies, so `bytes` may be used
   * again, and the receiver's to keep.
   *
   * @throws {RaftError} `corruption` with source and offset.
   */
  push(bytes: Uint8Array): Uint8Array[] {
    const blocks: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#stage === "end") {
        throw this.#corruption("there are bytes behind its end");
      }
      const missing = this.#needed - this.#heldBytes;
      const part = bytes.subarray(at, at + missing);
      at += part.length;
      if (part.length === this.#needed) {
        this.#advance(part, blocks);
        continue;
      }
      this.#held.set(part, this.#heldBytes);
      this.#heldBytes += part.length;
      if (this.#heldBytes === this.#needed) this.#advance(this.#held, blocks);
    }
    return blocks;
  }

  /** Called at the end of the file. @throws {RaftError} `corruption` if the end is missing. */
  finish(): void {
    if (!this.isComplete) {
      const found = this.#offset + this.#heldBytes;
      throw this.#corruption(
        `it ends at offset ${found}, in the ${this.#where()}`,
      );
    }
  }

  #advance(bytes: Uint8Array, blocks: Uint8Array[]): void {
    switch (this.#stage) {
      case "headerStart":
        return this.#begin("header", this.#headerLength(bytes), bytes);
      case "header":
        this.#readHeader(bytes);
        this.#offset += bytes.length;
        return this.#begin("blockHead", snapshotBlockHeadBytes);
      case "blockHead": {
        const length = viewOf(bytes).getUint32(0, true);
        if (length === 0) {
          return this.#begin("trailer", snapshotTrailerBytes, bytes);
        }
        if (length > snapshotBlockBytes) {
          throw this.#corruption(`a block of ${length} bytes is too long`);
        }
        return this.#begin("block", snapshotBlockHeadBytes + length, bytes);
      }
      case "block":
        blocks.push(this.#readBlock(bytes));
        this.#offset += bytes.length;
        return this.#begin("blockHead", snapshotBlockHeadBytes);
      default:
        this.#readTrailer(bytes);
        this.#offset += bytes.length;
        return this.#begin("end", 0);
    }
  }

  /** Goes to the next stage, of which `start` was read already. */
  #begin(stage: Stage, needed: number, start?: Uint8Array): void {
    const held = new Uint8Array(needed);
    if (start !== undefined) held.set(start);
    this.#stage = stage;
    this.#needed = needed;
    this.#held = held;
    this.#heldBytes = start?.length ?? 0;
  }

  #headerLength(bytes: Uint8Array): number {
    if (!magic.every((byte, i) => bytes[i] === byte)) {
      throw this.#corruption("it does not begin like a snapshot");
    }
    const view = viewOf(bytes);
    const version = view.getUint32(8, true);
    if (version !== snapshotFormatVersion) {
      throw this.#corruption(
        `its format version is ${version}, and this library reads ${snapshotFormatVersion}`,
      );
    }
    const length = view.getUint32(12, true);
    if (length < headerFixedBytes + 4 || length > maxHeaderBytes) {
      throw this.#corruption(`its header cannot be of ${length} bytes`);
    }
    return length;
  }

  #readHeader(bytes: Uint8Array): void {
    const view = viewOf(bytes);
    const end = bytes.length - 4;
    const expected = view.getUint32(end, true);
    const found = this.#crc32(bytes.subarray(0, end));
    if (found !== expected) throw this.#checksumError(expected, found);
    const clusterId = getUint64(view, 16);
    const index = getUint64(view, 24);
    const term = getUint64(view, 32);
    const membership = decodeMembership(bytes.subarray(headerFixedBytes, end));
    const isInRange = [clusterId, index, term].every((value) =>
      Number.isSafeInteger(value) && value >= 1
    );
    if (!isInRange || membership === undefined) {
      throw this.#corruption("its header cannot be understood");
    }
    this.#header = { clusterId, meta: { index, term, membership } };
    this.#checksum = expected;
  }

  #readBlock(bytes: Uint8Array): Uint8Array {
    const expected = viewOf(bytes).getUint32(4, true);
    const found = blockChecksum(bytes, this.#checksum, this.#crc32);
    if (found !== expected) throw this.#checksumError(expected, found);
    this.#checksum = expected;
    this.#blockCount++;
    const data = bytes.subarray(snapshotBlockHeadBytes);
    this.#bodyBytes += data.length;
    return data;
  }

  #readTrailer(bytes: Uint8Array): void {
    const trailer = decodeSnapshotTrailer(bytes, this.#crc32);
    const fits = trailer !== undefined &&
      trailer.blockCount === this.#blockCount &&
      trailer.bodyBytes === this.#bodyBytes &&
      trailer.fileBytes === this.#offset + snapshotTrailerBytes &&
      trailer.lastChecksum === this.#checksum;
    if (!fits) throw this.#corruption("its trailer does not fit what precedes");
  }

  #where(): string {
    return this.#stage.startsWith("header")
      ? "header"
      : this.#stage === "trailer"
      ? "trailer"
      : `block ${this.#blockCount + 1}`;
  }

  #checksumError(expected: number, found: number): RaftError {
    return this.#corruption(
      `the ${this.#where()} has checksum ${hex(found)}, expected ${
        hex(expected)
      }`,
    );
  }

  #corruption(what: string): RaftError {
    return new RaftError(
      "corruption",
      `Cannot read snapshot ${this.#source} at offset ${this.#offset}: ${what}`,
    );
  }
}

function blockChecksum(
  block: Uint8Array,
  previousChecksum: number,
  crc32: Crc32,
): number {
  const overLength = crc32(block.subarray(0, 4), previousChecksum);
  return crc32(block.subarray(snapshotBlockHeadBytes), overLength);
}

function hex(checksum: number): string {
  return checksum.toString(16).padStart(8, "0");
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
