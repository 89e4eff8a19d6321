/**
 * The one encoding of entries (rules B1 to B4), for memory, wire and disk. This module reads and writes
 * the header and never a payload, so that the core, the log and the transport share it.
 *
 * All integers are little-endian; 64-bit ones hold safe integers.
 *
 * ```text
 *  0      version (1B) = 1
 *  1      flags   (1B)   bit 0: the batch is one membership change; bit 1: some entry has session fields, which who
 *                        does not know sessions must not apply; bit 2, alone: the payloads were left out, for a witness,
 *                        and nothing follows the header; other bits 0
 *  2      zero    (2B)
 *  4      length  (4B)   of header and entries
 *  8      term    (8B)
 * 16      first index (8B)
 * 24      count   (4B)   of entries, at least 1
 * 28      crc32   (4B)   over bytes 0 to 27, then 32 to length
 * 32      entries, each:
 *           kind (1B)    bits 0-3: 0 empty, 1 application, 2 membership change, 3 application with a packed command
 *                        bit 4: a proposer key follows; bit 5: session fields follow
 *           command length (4B)
 *           [proposer key (16B)]  [session id (8B), series (8B), responded to (8B)]
 *           command
 * ```
 */
import { assert } from "./assert.ts";
import type { Crc32, EntryBatch } from "./types.ts";

/** Version in the header of every batch this library makes. */
export const batchFormatVersion = 1;
/** Bytes before the first entry. */
export const batchHeaderBytes = 32;
/** Bytes of an entry before its command, without optional fields. */
export const entryHeaderBytes = 5;
/** Bytes of the optional proposer key. */
export const proposerKeyBytes = 16;
/** Bytes of the optional session fields. */
export const sessionFieldBytes = 24;

/** The kind of an entry, in bits 0-3 of its first byte. */
export const entryKind = {
  empty: 0,
  application: 1,
  configChange: 2,
  packed: 3,
} as const;
/** Bit 4 of an entry's first byte. */
export const entryHasProposerKey = 0x10;
/** Bit 5 of an entry's first byte. */
export const entryHasSession = 0x20;

const flagConfigChange = 1;
const flagSessions = 2;
const flagBare = 4;
const two32 = 0x1_0000_0000;

/** Writes a safe integer as 64 bits. */
export function setUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % two32, true);
  view.setUint32(offset + 4, Math.floor(value / two32), true);
}

/** Reads 64 bits; the result may exceed the safe integers if the bytes do, which callers check. */
export function getUint64(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true);
  const low = view.getUint32(offset, true);
  // Nearly all are small, and what was multiplied takes memory of its own wherever it is kept.
  return high === 0 ? low : low + high * two32;
}

/** What the leader adds to a batch whose entries are already encoded. */
export interface BatchSeal {
  /** The leader's term. */
  readonly term: number;
  /** Index of the first entry. */
  readonly firstIndex: number;
  /** Number of entries. */
  readonly entryCount: number;
  /** Whether the only entry is a membership change. */
  readonly isConfigChange: boolean;
  /** Whether some entry has session fields; false if left out. */
  readonly hasSessions?: boolean;
}

/**
 * Fills the header of `bytes`, whose entries are in place behind `batchHeaderBytes`, and returns the batch.
 * The bytes belong to the batch from here on.
 */
export function sealBatch(
  bytes: Uint8Array,
  seal: BatchSeal,
  crc32: Crc32,
): EntryBatch {
  assert(
    bytes.length >= batchHeaderBytes + entryHeaderBytes,
    "a batch must have an entry",
  );
  assert(seal.entryCount >= 1, "a batch must count an entry");
  assert(seal.firstIndex >= 1, "a batch must begin at index 1 or later");
  assert(
    !seal.isConfigChange || seal.entryCount === 1,
    "a membership change must be alone in its batch",
  );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint8(0, batchFormatVersion);
  view.setUint8(
    1,
    seal.isConfigChange
      ? flagConfigChange
      : seal.hasSessions === true
      ? flagSessions
      : 0,
  );
  view.setUint16(2, 0, true);
  view.setUint32(4, bytes.length, true);
  setUint64(view, 8, seal.term);
  setUint64(view, 16, seal.firstIndex);
  view.setUint32(24, seal.entryCount, true);
  view.setUint32(28, batchChecksum(bytes, crc32), true);
  return {
    firstIndex: seal.firstIndex,
    lastIndex: seal.firstIndex + seal.entryCount - 1,
    term: seal.term,
    isConfigChange: seal.isConfigChange,
    bytes,
  };
}

/** The batch a new leader begins its term with: one empty entry (paper 5.4.2, section 8). */
export function emptyBatch(
  term: number,
  firstIndex: number,
  crc32: Crc32,
): EntryBatch {
  const bytes = new Uint8Array(batchHeaderBytes + entryHeaderBytes);
  return sealBatch(bytes, {
    term,
    firstIndex,
    entryCount: 1,
    isConfigChange: false,
  }, crc32);
}

/**
 * The same batch with its payloads left out, for a witness (rules B1, C9): its header says which entries there are, and
 * in which term. A membership change stays in full, since a witness must know the members.
 */
export function withoutPayloads(batch: EntryBatch, crc32: Crc32): EntryBatch {
  if (batch.isConfigChange || !hasPayloads(batch)) return batch;
  const bytes = batch.bytes.slice(0, batchHeaderBytes);
  const view = new DataView(bytes.buffer);
  view.setUint8(1, flagBare);
  view.setUint32(4, batchHeaderBytes, true);
  view.setUint32(28, batchChecksum(bytes, crc32), true);
  return { ...batch, bytes };
}

/** Whether a batch has its entries, and can be applied; false if it is a witness's. */
export function hasPayloads(batch: EntryBatch): boolean {
  return batch.bytes.length > batchHeaderBytes;
}

/** Why bytes are not a batch. */
export type BatchDefect =
  | "short"
  | "version"
  | "flags"
  | "length"
  | "range"
  | "crc";

/**
 * Reads the batch that `bytes` is, without copying. Returns the defect by name if it is none; the length must
 * be exact. Entries inside are trusted once the checksum holds.
 */
export function openBatch(
  bytes: Uint8Array,
  crc32: Crc32,
): EntryBatch | BatchDefect {
  if (bytes.length < batchHeaderBytes) return "short";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint8(0) !== batchFormatVersion) return "version";
  const flags = view.getUint8(1);
  const isBare = flags === flagBare;
  if ((flags > flagSessions && !isBare) || view.getUint16(2, true) !== 0) {
    return "flags";
  }
  if (!isBare && bytes.length < batchHeaderBytes + entryHeaderBytes) {
    return "short";
  }
  if (isBare && bytes.length !== batchHeaderBytes) return "length";
  if (view.getUint32(4, true) !== bytes.length) return "length";
  const term = getUint64(view, 8);
  const firstIndex = getUint64(view, 16);
  const entryCount = view.getUint32(24, true);
  const lastIndex = firstIndex + entryCount - 1;
  if (!Number.isSafeInteger(term) || !Number.isSafeInteger(lastIndex)) {
    return "range";
  }
  if (term < 1 || firstIndex < 1 || entryCount < 1) return "range";
  const isConfigChange = flags === flagConfigChange;
  if (isConfigChange && entryCount !== 1) return "range";
  if (view.getUint32(28, true) !== batchChecksum(bytes, crc32)) return "crc";
  return { firstIndex, lastIndex, term, isConfigChange, bytes };
}

function batchChecksum(bytes: Uint8Array, crc32: Crc32): number {
  return crc32(bytes.subarray(batchHeaderBytes), crc32(bytes.subarray(0, 28)));
}
