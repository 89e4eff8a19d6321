/**
 * The log on disk, version 1. All integers are little-endian; 64-bit ones hold safe integers.
 *
 * ```text
 * folder     NNNNNNNN.log segments, numbered from 1 without a gap: the oldest with live data to the newest.
 *            The newest that has a header of its own number is written to; one with a higher number is a spare.
 *            new.tmp      a segment that is being made; removed when the log is opened
 *
 * segment    Written in full before it gets its name, so that writing into it changes no metadata.
 *     0  header                (512B)
 *   512  the header once more  (512B)
 *  1024  records, each a multiple of 8 bytes, then 32 zeros unless the file ends
 *
 * header
 *     0  magic "drkwal" and two zeros (8B)
 *     8  version        (4B)  = 1
 *    12  crc32          (4B)  over bytes 0 to 11, then 16 to 511; magic, version and crc32 never move in any version
 *    16  number         (8B)  as in the file's name
 *    24  salt           (8B)  random, new each time the file is used: two 32-bit seeds, of headers and of payloads
 *    32  base           (8B)  log position of byte 0: behind all bytes of the segment before
 *    40  size           (8B)  of the file
 *    48  previous end   (8B)  log position at which the segment before ends, durably. What follows there is void
 *    56  oldest         (8B)  number of the oldest segment that was needed when this header was written
 *    64  synced to      (8B)  everything before this position was durable when the header was written. More than the
 *                             base if recovery made the segment: then it also holds, up to there, what stood behind
 *                             the previous end
 *    72  judged to      (8B)  damage before this position was judged when the log was opened with `onDamage: "mend"`: what
 *                             it took is said in the profiles of the nodes concerned. 0 if there was none
 *    80  zero
 *
 * record     A log position is a segment's base plus the offset in it. It never comes twice.
 *     0  header crc32   (4B)  over bytes 4 to 31, seeded with the first half of the salt
 *     4  payload crc32  (4B)  over the payload, seeded with the second half of the salt
 *     8  length         (4B)  of the payload, a multiple of 8
 *    12  kind           (4B)  1 group, 2 checkpoint, 3 last of a checkpoint, 4 proof, 5 end
 *    16  position       (8B)  of this record
 *    24  synced to      (8B)  everything before this position was durable when the record was written (rule L1)
 *    32  payload              sections, then zeros up to the length. Proof and end have none
 *
 * section    What happened to one node, applied in this order: hard state, profile, log reset, batches, compaction.
 *     0  length         (4B)  of the section
 *     4  parts          (4B)  bits, below; the parts follow in the order of their bits
 *     8  cluster id     (8B)
 *    16  node id        (8B)
 *    24  bit 0  removed:    nothing follows; the node is gone (a tombstone)
 *        bit 1  hard state: term (8B), voted for (8B), commit (8B)
 *        bit 2  bounds:     compacted index (8B), its term (8B), last index (8B). Only in checkpoints
 *        bit 3  compaction: compacted index (8B), its term (8B). Batches that end at or below it are gone
 *        bit 4  profile:    length (4B), profile
 *        bit 5  log reset:  no bytes; the log is empty and continues behind the profile's snapshot
 *        bit 6  batches:    whole, as raft/core/entry_batch.ts draws them, up to the section's end. The first cuts
 *                           off what stands at and behind its first index
 *        bit 7  moved:      batches as before, but copied from an older segment: they cut off nothing
 *
 * profile    What changes seldom, always as a whole. Texts are UTF-8 with their length (4B) before them.
 *     0  version        (4B)  = 1, or 2 if one of the bits 2 to 5 of the bootstrap's flags is set, or 3 if there is damage
 *     4  snapshot index (8B)  0 if there is none
 *    12  snapshot term  (8B)
 *    20  membership           length (4B) and as raft/core/membership_format.ts draws it; length 0 without a snapshot
 *    ..  bootstrap            length (4B) and, unless that is 0: flags (4B; bit 0 join, bit 1 admitted,
 *                             bit 2 concurrent and bit 3 on-disk state machine, bit 4 data removed for good, bit 5 witness),
 *                             generation (8B), state machine name, fingerprint, setting count (4B), settings (8B
 *                             IEEE 754 each), member count (4B), members: node id (8B), address
 *    ..  peers                count (4B), each: node id (8B), incarnation (8B), nodeHostId
 *    ..  damage               with version 3: kind (4B; 1 entries, 2 lost), first index (8B), last index (8B), reason.
 *                             That of node 0 of cluster 0, which is none, says that damage may have hidden nodes
 * ```
 *
 * A segment opens with a checkpoint: a section with hard state, bounds and profile for every node, over one or more
 * records. What is known of a node is the last checkpoint that names it and what came after. Its batches stand in any
 * of the segments; where two cover the same index, the later one counts.
 */
import { getUint64, setUint64 } from "../../raft/core/entry_batch.ts";
import type { Crc32 } from "../../raft/core/types.ts";

/** Version of this format. */
export const walFormatVersion = 1;
/** Bytes of one copy of a segment's header: one sector, which a disk writes whole or not at all. */
export const segmentHeaderBytes = 512;
/** Where the first record of a segment stands. */
export const firstRecordOffset = 2 * segmentHeaderBytes;
/** Bytes of a record before its payload. */
export const recordHeaderBytes = 32;
/** Zeros behind the last record, so that a recycled segment does not end in what it held before. */
export const endMarkBytes = 32;
/** Bytes of a section before its parts. */
export const sectionHeaderBytes = 24;
/** Sizes of segments are multiples of this. */
export const segmentGranuleBytes = 4096;

/** What a record is. */
export const recordKind = {
  group: 1,
  checkpoint: 2,
  checkpointEnd: 3,
  proof: 4,
  end: 5,
} as const;

/** Bits of a section's parts. */
export const part = {
  removed: 1,
  hardState: 2,
  bounds: 4,
  compaction: 8,
  profile: 16,
  reset: 32,
  batches: 64,
  moved: 128,
} as const;

/** All of {@link part}. */
export const allParts = 255;

/** The random 64 bits of one use of a segment, as the two seeds that they are. */
export interface Salt {
  /** Seeds the checksums of record headers. */
  readonly headerSeed: number;
  /** Seeds the checksums of payloads. */
  readonly payloadSeed: number;
}

/** What a segment's header says. */
export interface SegmentHeader {
  readonly number: number;
  readonly salt: Salt;
  readonly base: number;
  readonly size: number;
  readonly previousEnd: number;
  readonly oldest: number;
  readonly syncedTo: number;
  readonly judgedTo: number;
}

/** Why bytes are not the header of a segment of version 1. */
export type HeaderDefect =
  | { readonly defect: "zero" | "damaged" }
  | { readonly defect: "version"; readonly version: number };

const magic = Uint8Array.from([..."drkwal\0\0"].map((c) => c.charCodeAt(0)));

/** Encodes one copy of a segment's header. */
export function encodeSegmentHeader(
  header: SegmentHeader,
  crc32: Crc32,
): Uint8Array {
  const bytes = new Uint8Array(segmentHeaderBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(magic);
  view.setUint32(8, walFormatVersion, true);
  setUint64(view, 16, header.number);
  view.setUint32(24, header.salt.headerSeed, true);
  view.setUint32(28, header.salt.payloadSeed, true);
  setUint64(view, 32, header.base);
  setUint64(view, 40, header.size);
  setUint64(view, 48, header.previousEnd);
  setUint64(view, 56, header.oldest);
  setUint64(view, 64, header.syncedTo);
  setUint64(view, 72, header.judgedTo);
  view.setUint32(12, headerChecksum(bytes, crc32), true);
  return bytes;
}

/** Reads one copy of a segment's header. */
export function decodeSegmentHeader(
  bytes: Uint8Array,
  crc32: Crc32,
): SegmentHeader | HeaderDefect {
  if (bytes.every((byte) => byte === 0)) return { defect: "zero" };
  if (bytes.length < segmentHeaderBytes) return { defect: "damaged" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isOurs = magic.every((byte, i) => bytes[i] === byte);
  if (!isOurs || view.getUint32(12, true) !== headerChecksum(bytes, crc32)) {
    return { defect: "damaged" };
  }
  const version = view.getUint32(8, true);
  if (version !== walFormatVersion) return { defect: "version", version };
  return {
    number: getUint64(view, 16),
    salt: {
      headerSeed: view.getUint32(24, true),
      payloadSeed: view.getUint32(28, true),
    },
    base: getUint64(view, 32),
    size: getUint64(view, 40),
    previousEnd: getUint64(view, 48),
    oldest: getUint64(view, 56),
    syncedTo: getUint64(view, 64),
    judgedTo: getUint64(view, 72),
  };
}

/** The file name of a segment. */
export function segmentName(number: number): string {
  return `${String(number).padStart(8, "0")}.log`;
}

/** The number in a segment's file name, or undefined if it is another file. */
export function segmentNumber(name: string): number | undefined {
  if (!/^\d{8,15}\.log$/.test(name)) return undefined;
  const number = Number(name.slice(0, -4));
  return number >= 1 && segmentName(number) === name ? number : undefined;
}

/** Rounds up to the granule of sizes. */
export function segmentSizeFor(bytes: number): number {
  return Math.ceil(bytes / segmentGranuleBytes) * segmentGranuleBytes;
}

function headerChecksum(bytes: Uint8Array, crc32: Crc32): number {
  return crc32(
    bytes.subarray(16, segmentHeaderBytes),
    crc32(bytes.subarray(0, 12)),
  );
}
