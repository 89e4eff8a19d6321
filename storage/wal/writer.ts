/**
 * Writes records to the newest segment: the hot path of the log. A group is encoded into one buffer, its index rows
 * are made on the way, and it is written with one call.
 */
import { assert } from "../../raft/core/assert.ts";
import { setUint64 } from "../../raft/core/entry_batch.ts";
import type { Crc32 } from "../../raft/core/types.ts";
import type { StoredFile } from "../file_system.ts";
import type { NodeWrite } from "../log_store.ts";
import {
  encodeSegmentHeader,
  endMarkBytes,
  firstRecordOffset,
  part,
  recordHeaderBytes,
  recordKind,
  type SegmentHeader,
} from "./format.ts";
import type { WalNodeLog } from "./node_log.ts";
import type { NodeTable } from "./node_table.ts";
import { profileBytesMax } from "./profile.ts";
import { RecordBuffer } from "./record.ts";
import {
  beginSection,
  endSection,
  putCheckpointSection,
  putHardState,
  putProfile,
  sectionFixedBytesMax,
} from "./section.ts";
import { Segment, type SegmentList } from "./segment.ts";

/** A group of more than this becomes several records, so that the buffer stays small. */
const recordBytesMax = 4 * 1024 * 1024;
/** Kept free at a segment's end: a proof, an end record and the end mark. */
const tailBytes = 2 * recordHeaderBytes + endMarkBytes;

/** What a writer works on. */
export interface WriterContext {
  readonly segments: SegmentList;
  readonly nodes: NodeTable;
  readonly crc32: Crc32;
}

/** Bytes of a segment that neither checkpoint nor groups can use. */
export const segmentOverheadBytes = firstRecordOffset + tailBytes;

/** Kinds of records without contents. */
export type EmptyKind = typeof recordKind.proof | typeof recordKind.end;

/** Bytes that a group takes at most. */
export function groupBytesMax(
  writes: readonly NodeWrite[],
  nodes: NodeTable,
): number {
  let bytes = recordHeaderBytes + 8;
  for (const write of writes) {
    bytes += sectionFixedBytesMax + batchBytesOf(write);
    const { snapshot, bootstrap, peers, mended } = write;
    if (snapshot ?? bootstrap ?? peers ?? mended) {
      const known = nodes.obtain(write.clusterId, write.nodeId).profileBytes;
      bytes += known?.length ?? 0;
      bytes += profileBytesMax(write);
    }
  }
  return bytes + Math.ceil(bytes / recordBytesMax) * (recordHeaderBytes + 8);
}

/** Bytes of the batches in a write. */
export function batchBytesOf({ batches, mended }: NodeWrite): number {
  let bytes = 0;
  if (batches !== undefined) {
    for (const batch of batches) bytes += batch.bytes.length;
  }
  if (mended !== undefined) {
    for (const batch of mended) bytes += batch.bytes.length;
  }
  return bytes;
}

/** Appends records to the newest segment, and syncs it. Errors of the file are thrown as they come. */
export class LogWriter {
  readonly #segments: SegmentList;
  readonly #nodes: NodeTable;
  readonly #crc32: Crc32;
  readonly #buffer = new RecordBuffer();
  /** Everything before this log position is durable. */
  #syncedTo = 0;
  /** What the last record said about that. */
  #provenTo = 0;
  /** What the last durable record said. */
  #durablyProvenTo = 0;
  /** Where the last record with contents ends. */
  #contentEnd = 0;
  /** Commits up to this one are durable. */
  #syncedCommits = 0;

  /** Makes a writer; it writes once a segment was begun. */
  constructor(context: WriterContext) {
    this.#segments = context.segments;
    this.#nodes = context.nodes;
    this.#crc32 = context.crc32;
  }

  /** Log position of the next record. */
  get position(): number {
    const { active } = this.#segments;
    return active.base + active.end;
  }

  /** Commits up to this one are durable, as `SegmentList.commitCount` counts them. */
  get syncedCommits(): number {
    return this.#syncedCommits;
  }

  /** Whether the newest segment's header and checkpoint are durable, and so it will be found when the log is opened. */
  get isSegmentDurable(): boolean {
    return this.#syncedTo > this.#segments.active.base;
  }

  /**
   * Whether even a damaged header could not make the newest segment pass for one that was never durable, since a
   * durable record behind it says that it was. Only then are older segments let go.
   */
  get isSegmentProven(): boolean {
    return this.#durablyProvenTo > this.#segments.active.base;
  }

  /** Whether something was written that no record says to be durable. */
  get needsProof(): boolean {
    return this.#provenTo < this.#contentEnd;
  }

  /** Whether something was written that is not known to be durable. */
  get needsSync(): boolean {
    return this.#syncedTo < this.position;
  }

  /** Bytes that a group can still take in the newest segment. */
  get roomBytes(): number {
    const { active } = this.#segments;
    return Math.max(0, active.size - active.end - tailBytes);
  }

  /** Bytes of the checkpoint that a segment begun now would open with, at most. */
  get checkpointBytesMax(): number {
    let bytes = recordHeaderBytes;
    for (const node of this.#nodes.all) {
      bytes += sectionFixedBytesMax + (node.profileBytes?.length ?? 0);
    }
    const records = Math.ceil(bytes / recordBytesMax);
    return bytes + records * (recordHeaderBytes + 8);
  }

  /** Begins a segment with header and checkpoint. Everything before it is durable. */
  beginSegment(path: string, file: StoredFile, header: SegmentHeader): void {
    this.#segments.add(new Segment(path, file, header));
    this.#syncedTo = header.base;
    const bytes = encodeSegmentHeader(header, this.#crc32);
    this.#buffer.append(bytes);
    this.#buffer.append(bytes);
    this.#writeCheckpoint();
  }

  /**
   * Begins a segment as recovery does: without a header, so that it does not exist for whoever reads the log, until
   * `completeSegment`.
   */
  beginRecoverySegment(
    path: string,
    file: StoredFile,
    header: SegmentHeader,
  ): void {
    const segment = new Segment(path, file, header);
    segment.end = firstRecordOffset;
    this.#segments.add(segment);
    this.#syncedTo = header.base;
    this.#writeCheckpoint();
  }

  /** Makes durable what a segment of recovery holds, and then that it exists. */
  async completeSegment(header: SegmentHeader): Promise<void> {
    await this.sync();
    const syncedTo = this.#syncedTo;
    const bytes = encodeSegmentHeader({ ...header, syncedTo }, this.#crc32);
    const both = new Uint8Array(firstRecordOffset);
    both.set(bytes);
    both.set(bytes, bytes.length);
    this.#segments.active.file.writeAt(both, 0);
    await this.sync();
    this.#provenTo = syncedTo;
  }

  /** Begins a group's record. */
  beginGroup(): void {
    this.#buffer.begin();
  }

  /** Adds one node's write to the group, and to the index. */
  putWrite(write: NodeWrite): void {
    this.#maybeSplit();
    const start = beginSection(this.#buffer);
    const node = this.#nodes.obtain(write.clusterId, write.nodeId);
    const parts = write.remove === true
      ? part.removed
      : this.#putParts(node, write);
    endSection(this.#buffer, start, node, parts);
    if (write.remove === true) this.#nodes.remove(node);
    else node.isWritten = true;
  }

  /**
   * Copies batches of a node into the group: those rows from `row` on that `isWanted`, until more than `budget`
   * bytes would be copied (one always is). Returns where it stopped.
   *
   * @throws {RaftError} `corruption` if a batch is damaged; those before it are copied.
   */
  putMoved(
    node: WalNodeLog,
    from: number,
    isWanted: (row: number) => boolean,
    budget: number,
  ): { readonly nextRow: number; readonly bytes: number } {
    this.#maybeSplit();
    const { index } = node;
    const buffer = this.#buffer;
    const { active } = this.#segments;
    const start = beginSection(buffer);
    let bytes = 0;
    let row = from;
    try {
      for (; row < index.count; row++) {
        if (!isWanted(row)) continue;
        const length = index.lengthOf(row);
        if (bytes > 0 && bytes + length > budget) break;
        const at = buffer.reserve(length);
        try {
          node.readRow(row, buffer.bytes.subarray(at, at + length));
        } catch (error) {
          buffer.length = at;
          throw error;
        }
        node.relocate(row, active.number, active.end + at);
        bytes += length;
      }
    } finally {
      if (bytes === 0) buffer.length = start;
      else endSection(buffer, start, node, part.moved);
    }
    return { nextRow: row, bytes };
  }

  /** Ends the group and hands it to the file system. */
  finishGroup(): void {
    this.#finish(recordKind.group);
    this.#flush();
  }

  /**
   * Writes an empty record, which proves what was synced (rule L1), if it fits; a proof leaves room for an end record.
   * Returns whether it did.
   */
  maybeWriteEmpty(kind: EmptyKind): boolean {
    const { active } = this.#segments;
    const needed = kind === recordKind.end ? recordHeaderBytes : tailBytes;
    if (active.end + needed > active.size) return false;
    this.#buffer.begin();
    this.#finish(kind);
    this.#flush();
    return true;
  }

  /** Nothing is to be written for a while: memory that only large groups need is given back. */
  rest(): void {
    this.#buffer.trim();
  }

  /** Makes everything written before the call durable. */
  async sync(): Promise<void> {
    const position = this.position;
    const proven = this.#provenTo;
    const commits = this.#segments.commitCount;
    await this.#segments.active.file.sync();
    this.#syncedTo = position;
    this.#durablyProvenTo = proven;
    this.#syncedCommits = commits;
  }

  #putParts(node: WalNodeLog, write: NodeWrite): number {
    if (write.mended !== undefined) return this.#putMended(node, write.mended);
    const buffer = this.#buffer;
    let parts = 0;
    if (write.hardState !== undefined) {
      parts |= part.hardState;
      putHardState(buffer, write.hardState);
      node.setHardState(write.hardState);
    }
    // What goes is known only when the batches are in place.
    const compactionAt = write.compactTo === undefined
      ? -1
      : buffer.reserve(16);
    const { snapshot, bootstrap, peers } = write;
    if (snapshot ?? bootstrap ?? peers) {
      parts |= part.profile;
      node.changeProfile({ snapshot, bootstrap, peers });
      putProfile(buffer, node.profileBytes!);
      const isTaken = snapshot !== undefined && node.snapshot() === snapshot;
      if (isTaken && node.isOvertakenBy(snapshot)) {
        parts |= part.reset;
        node.resetToSnapshot();
      }
    }
    if (write.batches !== undefined && write.batches.length > 0) {
      parts |= part.batches;
      this.#putBatches(node, write.batches);
    }
    if (write.compactTo !== undefined) {
      parts |= part.compaction;
      const { index, term } = node.compactionFor(write.compactTo);
      setUint64(buffer.view, compactionAt, index);
      setUint64(buffer.view, compactionAt + 8, term);
      node.compactTo(index, term);
    }
    return parts;
  }

  /** Fills in what damage took, from its front, and says what is missing still (rule L7). */
  #putMended(
    node: WalNodeLog,
    batches: NonNullable<NodeWrite["mended"]>,
  ): number {
    const damage = node.damage();
    assert(damage?.kind === "entries", "only missing entries can be mended");
    let next = damage.firstIndex;
    for (const batch of batches) {
      assert(
        batch.firstIndex === next,
        "mended entries must follow each other",
      );
      next = batch.lastIndex + 1;
    }
    assert(next <= damage.lastIndex + 1, "only what is missing can be mended");
    const isWhole = next > damage.lastIndex;
    node.setDamage(isWhole ? undefined : { ...damage, firstIndex: next });
    putProfile(this.#buffer, node.profileBytes!);
    const { active } = this.#segments;
    for (const batch of batches) {
      const at = this.#buffer.append(batch.bytes);
      node.placeMoved({
        firstIndex: batch.firstIndex,
        entryCount: batch.lastIndex - batch.firstIndex + 1,
        term: batch.term,
        segment: active.number,
        offset: active.end + at,
        length: batch.bytes.length,
      });
    }
    return part.profile | (batches.length === 0 ? 0 : part.moved);
  }

  #putBatches(
    node: WalNodeLog,
    batches: NonNullable<NodeWrite["batches"]>,
  ): void {
    const { active } = this.#segments;
    for (const batch of batches) {
      const at = this.#buffer.append(batch.bytes);
      node.append({
        firstIndex: batch.firstIndex,
        entryCount: batch.lastIndex - batch.firstIndex + 1,
        term: batch.term,
        segment: active.number,
        offset: active.end + at,
        length: batch.bytes.length,
      });
    }
  }

  #writeCheckpoint(): void {
    this.#buffer.begin();
    for (const node of this.#nodes.all) {
      if (!node.isWritten) continue;
      if (this.#buffer.payloadBytes >= recordBytesMax) {
        this.#finish(recordKind.checkpoint);
        this.#flush();
        this.#buffer.begin();
      }
      putCheckpointSection(this.#buffer, node);
    }
    this.#finish(recordKind.checkpointEnd);
    this.#flush();
  }

  /** Ends a record that has become long, and begins another. */
  #maybeSplit(): void {
    if (this.#buffer.payloadBytes < recordBytesMax) return;
    this.finishGroup();
    this.#buffer.begin();
  }

  #finish(kind: number): void {
    const { active } = this.#segments;
    this.#buffer.finish({
      kind,
      bufferPosition: active.base + active.end,
      syncedTo: this.#syncedTo,
      salt: active.salt,
    }, this.#crc32);
    this.#provenTo = this.#syncedTo;
    if (kind !== recordKind.proof && kind !== recordKind.end) {
      this.#contentEnd = active.base + active.end + this.#buffer.length;
    }
  }

  #flush(): void {
    const { active } = this.#segments;
    const end = active.end + this.#buffer.length;
    assert(end <= active.size, "a record must fit its segment");
    active.file.writeAt(this.#buffer.contents(active.size - end), active.end);
    active.end = end;
    this.#buffer.clear();
  }
}
