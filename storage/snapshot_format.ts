/**
 * The format of a snapshot file. It says nothing of the node that wrote it, so the file travels as it is.
 *
 * All integers are little-endian; 64-bit ones hold safe integers.
 *
 * ```text
 * header, version 1
 *    0  magic        (8B)  "drksnap" and a zero
 *    8  version      (4B)  = 1
 *   12  length       (4B)  of the header, checksum included
 *   16  cluster id   (8B)
 *   24  index        (8B)  last entry that the snapshot contains
 *   32  term         (8B)  of that entry
 *   40  membership         as `raft/core/membership.ts` encodes it, up to the checksum
 *   ..  crc32        (4B)  over all of the header before it
 * header, version 2: as before, but
 *    8  version      (4B)  = 2
 *   40  kind         (1B)  of the state machine: 0 regular, 1 concurrent, 2 on disk
 *   41  flags        (1B)  bit 0 dummy: there is no state, the state machine has it on its own disk
 *                          bit 1 imported: the state replaces whatever the state machine has on its own disk
 *                          bit 2 a machine index follows the fingerprint
 *   42  zero         (2B)
 *   44  generation   (8B)  of the cluster (rule I3), 0 if it is not said
 *   52  fingerprint        of the cluster's initial members: length (2B) and UTF-8, at most 64 bytes
 *   ..  machine index (8B) with bit 2, of a state machine on disk: the last entry that it was given, at or before the
 *                          index (what follows were no commands), or behind it if it had applied more than the log had
 *                          replayed
 *   ..  membership, crc32  as before
 * blocks of version 1, any number
 *    0  length       (4B)  of the data, 1 to 262,144
 *    4  crc32        (4B)  over the length, then the data; continues from the checksum of the block before (the
 *                          header's for the first), so blocks cannot change places
 *    8  data               of the state
 * blocks of version 2, any number
 *    0  length       (4B)  of the data as they are stored, 1 to 262,144
 *    4  crc32        (4B)  over the length, then bytes 8 to the end; continues as in version 1
 *    8  raw length   (4B)  of the data when they are unpacked, 1 to 262,144
 *   12  kind         (1B)  0 state, 1 session table, 2 a file begins, 3 contents of the file that began last
 *   13  codec        (1B)  0 as they are, 1 raw deflate (RFC 1951)
 *   14  zero         (2B)
 *   16  data               `snapshot_files.ts` draws those of kind 2
 * trailer
 *    0  zero         (4B)  where a block has its length
 *    4  block count  (4B)
 *    8  body bytes   (8B)  sum of the raw lengths of the blocks of the state
 *   16  file bytes   (8B)  from the header to the end of the trailer
 *   24  last crc32   (4B)  of the last block (of the header if there is none)
 *   28  crc32        (4B)  over the trailer before it
 * ```
 */
import { assert } from "../raft/core/assert.ts";
import { getUint64, setUint64 } from "../raft/core/entry_batch.ts";
import {
  decodeMembership,
  encodeMembership,
} from "../raft/core/membership_format.ts";
import type { Crc32, SnapshotMeta } from "../raft/core/types.ts";
import { RaftError } from "../raft/errors.ts";

/** Version of snapshots that need no more: of regular state machines, not packed, without files. */
export const snapshotFormatVersion = 1;
/** Version of all others. */
export const snapshotFormatVersion2 = 2;
/** Largest data of one block. */
export const snapshotBlockBytes = 256 * 1024;
/** Bytes before the data of a block of version 1. */
export const snapshotBlockHeadBytes = 8;
/** Bytes before the data of a block of version 2. */
export const snapshotBlockHeadBytes2 = 16;
/** Bytes of the trailer. */
export const snapshotTrailerBytes = 32;

/** Bytes that tell how long the header is. */
const headerStartBytes = 16;
const headerFixedBytes = 40;
const headerFixedBytes2 = 54;
const maxFingerprintBytes = 64;
const flagDummy = 1;
const flagImported = 2;
const flagMachineIndex = 4;
/** A membership holds at most a few dozen members, and eight bytes for each that ever was removed. */
const maxHeaderBytes = 1024 * 1024;
const magic = Uint8Array.from(
  [..."drksnap\0"].map((letter) => letter.charCodeAt(0)),
);

/** Kinds of state machines, by their numbers in files. */
export const machineKinds = ["regular", "concurrent", "onDisk"] as const;

/** What a header of version 2 says beside. */
export interface SnapshotTraits {
  /** Of which kind the state machine is. */
  readonly kind: (typeof machineKinds)[number];
  /** There is no state in it: the state machine has that on its own disk. */
  readonly isDummy: boolean;
  /** The state replaces whatever the state machine has on its own disk. */
  readonly isImported: boolean;
  /** Generation of the cluster (rule I3), 0 if it is not said. */
  readonly generation: number;
  /** Of a state machine on disk: the last entry that it was given. 0 otherwise. */
  readonly machineIndex: number;
  /** Digest of the cluster's initial members, `""` if it is not said. */
  readonly fingerprint: string;
}

/** What a snapshot of version 1 does not say. */
export const plainTraits: SnapshotTraits = {
  kind: "regular",
  isDummy: false,
  isImported: false,
  generation: 0,
  machineIndex: 0,
  fingerprint: "",
};

/** What the header says. */
export interface SnapshotHeader {
  /** The cluster whose state it is. */
  readonly clusterId: number;
  /** Where it stands in the log. */
  readonly meta: SnapshotMeta;
  /** Present in version 2. */
  readonly traits?: SnapshotTraits;
}

/** What the data of a block are. */
export const blockKind = {
  state: 0,
  sessions: 1,
  fileBegins: 2,
  fileContents: 3,
} as const;

/** How the data of a block are stored. */
export const blockCodec = { stored: 0, deflate: 1 } as const;

/** A block that checks, its data as they are stored. */
export interface SnapshotBlock {
  /** One of {@link blockKind}. */
  readonly kind: number;
  /** One of {@link blockCodec}. */
  readonly codec: number;
  /** Length of the data when they are unpacked. */
  readonly rawLength: number;
  /** The data. */
  readonly data: Uint8Array;
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
  const { meta, traits } = header;
  const membership = encodeMembership(meta.membership);
  const fingerprint = new TextEncoder().encode(traits?.fingerprint ?? "");
  assert(
    fingerprint.length <= maxFingerprintBytes,
    "a fingerprint must be short",
  );
  const membershipAt = traits === undefined
    ? headerFixedBytes
    : headerFixedBytes2 + fingerprint.length +
      (traits.machineIndex === 0 ? 0 : 8);
  const bytes = new Uint8Array(membershipAt + membership.length + 4);
  assert(bytes.length <= maxHeaderBytes, "a snapshot's header must fit");
  const view = viewOf(bytes);
  bytes.set(magic);
  view.setUint32(12, bytes.length, true);
  setUint64(view, 16, header.clusterId);
  setUint64(view, 24, meta.index);
  setUint64(view, 32, meta.term);
  if (traits === undefined) view.setUint32(8, snapshotFormatVersion, true);
  else {
    view.setUint32(8, snapshotFormatVersion2, true);
    bytes[40] = machineKinds.indexOf(traits.kind);
    bytes[41] = (traits.isDummy ? flagDummy : 0) |
      (traits.isImported ? flagImported : 0) |
      (traits.machineIndex === 0 ? 0 : flagMachineIndex);
    setUint64(view, 44, traits.generation);
    view.setUint16(52, fingerprint.length, true);
    bytes.set(fingerprint, headerFixedBytes2);
    if (traits.machineIndex !== 0) {
      setUint64(view, membershipAt - 8, traits.machineIndex);
    }
  }
  bytes.set(membership, membershipAt);
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

/** Fills the sixteen bytes before the data of a block of version 2, and returns its checksum. */
export function sealSnapshotBlock2(
  block: Uint8Array,
  head: { readonly kind: number; readonly codec: number; rawLength: number },
  previousChecksum: number,
  crc32: Crc32,
): number {
  const length = block.length - snapshotBlockHeadBytes2;
  assert(length >= 1, "a block must hold data");
  assert(length <= snapshotBlockBytes, "a block must not be too long");
  const view = viewOf(block);
  view.setUint32(0, length, true);
  view.setUint32(8, head.rawLength, true);
  view.setUint8(12, head.kind);
  view.setUint8(13, head.codec);
  view.setUint16(14, 0, true);
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
  #headerBytes = 0;
  #version = snapshotFormatVersion;

  /** Reads what `source` names in errors. */
  constructor(source: string, crc32: Crc32) {
    this.#source = source;
    this.#crc32 = crc32;
  }

  /** What the header says, once it was read. */
  get header(): SnapshotHeader | undefined {
    return this.#header;
  }

  /** Length of the header, once it was read. */
  get headerBytes(): number {
    return this.#headerBytes;
  }

  /** Whether the file was read to its end, and all of it checks. */
  get isComplete(): boolean {
    return this.#stage === "end";
  }

  /**
   * Takes the next bytes, and returns the blocks that they complete: copies, so `bytes` may be used again, and the
   * receiver's to keep.
   *
   * @throws {RaftError} `corruption` with source and offset.
   */
  push(bytes: Uint8Array): SnapshotBlock[] {
    const blocks: SnapshotBlock[] = [];
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

  #advance(bytes: Uint8Array, blocks: SnapshotBlock[]): void {
    switch (this.#stage) {
      case "headerStart":
        return this.#begin("header", this.#headerLength(bytes), bytes);
      case "header":
        this.#readHeader(bytes);
        this.#headerBytes = bytes.length;
        this.#offset += bytes.length;
        return this.#begin("blockHead", this.#headBytes);
      case "blockHead": {
        const length = viewOf(bytes).getUint32(0, true);
        if (length === 0) {
          return this.#begin("trailer", snapshotTrailerBytes, bytes);
        }
        if (length > snapshotBlockBytes) {
          throw this.#corruption(`a block of ${length} bytes is too long`);
        }
        return this.#begin("block", this.#headBytes + length, bytes);
      }
      case "block":
        blocks.push(this.#readBlock(bytes));
        this.#offset += bytes.length;
        return this.#begin("blockHead", this.#headBytes);
      default:
        this.#readTrailer(bytes);
        this.#offset += bytes.length;
        return this.#begin("end", 0);
    }
  }

  get #headBytes(): number {
    return this.#version === snapshotFormatVersion
      ? snapshotBlockHeadBytes
      : snapshotBlockHeadBytes2;
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
    if (version < 1 || version > snapshotFormatVersion2) {
      throw this.#corruption(
        `its format version is ${version}, and this library reads 1 and 2`,
      );
    }
    this.#version = version;
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
    const traits = this.#version === snapshotFormatVersion
      ? undefined
      : readTraits(bytes.subarray(0, end));
    const membershipAt = traits === undefined
      ? headerFixedBytes
      : headerFixedBytes2 + view.getUint16(52, true) +
        (traits.machineIndex === 0 ? 0 : 8);
    const membership = decodeMembership(bytes.subarray(membershipAt, end));
    const isInRange = [clusterId, index, term].every((value) =>
      Number.isSafeInteger(value) && value >= 1
    );
    const lacksTraits = traits === undefined &&
      this.#version !== snapshotFormatVersion;
    if (!isInRange || membership === undefined || lacksTraits) {
      throw this.#corruption("its header cannot be understood");
    }
    const meta = { index, term, membership };
    this.#header = traits === undefined
      ? { clusterId, meta }
      : { clusterId, meta, traits };
    this.#checksum = expected;
  }

  #readBlock(bytes: Uint8Array): SnapshotBlock {
    const expected = viewOf(bytes).getUint32(4, true);
    const found = blockChecksum(bytes, this.#checksum, this.#crc32);
    if (found !== expected) throw this.#checksumError(expected, found);
    const block = this.#openBlock(bytes);
    this.#checksum = expected;
    this.#blockCount++;
    if (block.kind === blockKind.state) this.#bodyBytes += block.rawLength;
    return block;
  }

  #openBlock(bytes: Uint8Array): SnapshotBlock {
    const data = bytes.subarray(this.#headBytes);
    if (this.#version === snapshotFormatVersion) {
      const { length } = data;
      return { kind: blockKind.state, codec: 0, rawLength: length, data };
    }
    const view = viewOf(bytes);
    const rawLength = view.getUint32(8, true);
    const kind = view.getUint8(12);
    const codec = view.getUint8(13);
    const isKnown = kind <= blockKind.fileContents &&
      codec <= blockCodec.deflate && view.getUint16(14, true) === 0;
    if (!isKnown) {
      throw this.#corruption(`a block of kind ${kind} and codec ${codec}`);
    }
    const isPacked = codec !== blockCodec.stored;
    const fits = isPacked
      ? rawLength > data.length && rawLength <= snapshotBlockBytes
      : rawLength === data.length;
    if (!fits) {
      throw this.#corruption(
        `a block of ${data.length} bytes cannot hold ${rawLength}`,
      );
    }
    return { kind, codec, rawLength, data };
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

/** The fields that version 2 adds to a header; undefined if they cannot be. */
function readTraits(bytes: Uint8Array): SnapshotTraits | undefined {
  if (bytes.length < headerFixedBytes2) return undefined;
  const view = viewOf(bytes);
  const kind = machineKinds[view.getUint8(40)];
  const flags = view.getUint8(41);
  const generation = getUint64(view, 44);
  const length = view.getUint16(52, true);
  const end = headerFixedBytes2 + length;
  const known = flagDummy | flagImported | flagMachineIndex;
  const hasMachineIndex = (flags & flagMachineIndex) !== 0;
  if (end + (hasMachineIndex ? 8 : 0) > bytes.length) return undefined;
  const machineIndex = hasMachineIndex ? getUint64(view, end) : 0;
  const isGood = (flags & ~known) === 0 &&
    hasMachineIndex === machineIndex > 0 &&
    view.getUint16(42, true) === 0 && Number.isSafeInteger(generation) &&
    Number.isSafeInteger(machineIndex) &&
    length <= maxFingerprintBytes;
  if (kind === undefined || !isGood) return undefined;
  return {
    kind,
    isDummy: (flags & flagDummy) !== 0,
    isImported: (flags & flagImported) !== 0,
    generation,
    machineIndex,
    fingerprint: new TextDecoder().decode(
      bytes.subarray(headerFixedBytes2, end),
    ),
  };
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
