/** Sections: what happened to one node, in and out of bytes. `format.ts` draws them. */
import {
  batchFormatVersion,
  batchHeaderBytes,
  getUint64,
  setUint64,
} from "../../raft/core/entry_batch.ts";
import type { HardState } from "../../raft/core/types.ts";
import { allParts, part, sectionHeaderBytes } from "./format.ts";
import type { LogBounds, WalNodeLog } from "./node_log.ts";
import type { RecordBuffer, Window } from "./record.ts";

/** Most bytes of a section's parts of fixed length. */
export const sectionFixedBytesMax = sectionHeaderBytes + 24 + 24 + 16 + 4;

/** Begins a section, and returns where. */
export function beginSection(buffer: RecordBuffer): number {
  return buffer.reserve(sectionHeaderBytes);
}

/** Fills the header of the section that began at `start` and ends the buffer. */
export function endSection(
  buffer: RecordBuffer,
  start: number,
  node: { readonly clusterId: number; readonly nodeId: number },
  parts: number,
): void {
  const { view } = buffer;
  view.setUint32(start, buffer.length - start, true);
  view.setUint32(start + 4, parts, true);
  setUint64(view, start + 8, node.clusterId);
  setUint64(view, start + 16, node.nodeId);
}

/** Appends a hard state. */
export function putHardState(buffer: RecordBuffer, hardState: HardState): void {
  const at = buffer.reserve(24);
  setUint64(buffer.view, at, hardState.term);
  setUint64(buffer.view, at + 8, hardState.votedFor);
  setUint64(buffer.view, at + 16, hardState.commit);
}

/** Appends the ends of a log. */
export function putBounds(buffer: RecordBuffer, bounds: LogBounds): void {
  const at = buffer.reserve(24);
  setUint64(buffer.view, at, bounds.compactedIndex);
  setUint64(buffer.view, at + 8, bounds.compactedTerm);
  setUint64(buffer.view, at + 16, bounds.lastIndex);
}

/** Appends a profile. */
export function putProfile(buffer: RecordBuffer, profile: Uint8Array): void {
  const at = buffer.reserve(4);
  buffer.view.setUint32(at, profile.length, true);
  buffer.append(profile);
}

/** Appends a node's section of a checkpoint. */
export function putCheckpointSection(
  buffer: RecordBuffer,
  node: WalNodeLog,
): void {
  const start = beginSection(buffer);
  const hardState = node.hardState();
  const profile = node.profileBytes;
  if (hardState !== undefined) putHardState(buffer, hardState);
  putBounds(buffer, node.bounds);
  if (profile !== undefined) putProfile(buffer, profile);
  const parts = part.bounds |
    (hardState === undefined ? 0 : part.hardState) |
    (profile === undefined ? 0 : part.profile);
  endSection(buffer, start, node, parts);
}

/** A section as read. The same object is filled again and again. */
export class ParsedSection {
  clusterId = 0;
  nodeId = 0;
  parts = 0;
  hardState: HardState | undefined = undefined;
  bounds: LogBounds | undefined = undefined;
  compactedIndex = 0;
  compactedTerm = 0;
  profile: Uint8Array | undefined = undefined;
  /** Where in the window the first batch stands; equal to `end` if there is none. */
  batchesAt = 0;
  /** Where in the window the section ends. */
  end = 0;

  /** Reads the section at `at`, of a payload that ends at `limit`. Returns what is wrong, or undefined. */
  read({ bytes, view }: Window, at: number, limit: number): string | undefined {
    const length = view.getUint32(at, true);
    if (length < sectionHeaderBytes || at + length > limit) {
      return `a section of ${length} bytes`;
    }
    const parts = view.getUint32(at + 4, true);
    if ((parts & ~allParts) !== 0) return `unknown parts ${parts}`;
    this.parts = parts;
    this.clusterId = getUint64(view, at + 8);
    this.nodeId = getUint64(view, at + 16);
    this.end = at + length;
    let next = at + sectionHeaderBytes;
    const fixedBytes = ((parts & part.hardState) === 0 ? 0 : 24) +
      ((parts & part.bounds) === 0 ? 0 : 24) +
      ((parts & part.compaction) === 0 ? 0 : 16) +
      ((parts & part.profile) === 0 ? 0 : 4);
    if (next + fixedBytes > this.end) return "a section that is too short";
    this.hardState = undefined;
    if ((parts & part.hardState) !== 0) {
      this.hardState = {
        term: getUint64(view, next),
        votedFor: getUint64(view, next + 8),
        commit: getUint64(view, next + 16),
      };
      next += 24;
    }
    this.bounds = undefined;
    if ((parts & part.bounds) !== 0) {
      this.bounds = {
        compactedIndex: getUint64(view, next),
        compactedTerm: getUint64(view, next + 8),
        lastIndex: getUint64(view, next + 16),
      };
      next += 24;
    }
    if ((parts & part.compaction) !== 0) {
      this.compactedIndex = getUint64(view, next);
      this.compactedTerm = getUint64(view, next + 8);
      next += 16;
    }
    this.profile = undefined;
    if ((parts & part.profile) !== 0) {
      const profileBytes = view.getUint32(next, true);
      next += 4;
      if (next + profileBytes > this.end) return "a profile that is too long";
      this.profile = bytes.subarray(next, next + profileBytes);
      next += profileBytes;
    }
    this.batchesAt = next;
    const hasBatches = (parts & (part.batches | part.moved)) !== 0;
    return !hasBatches && next !== this.end
      ? "a section that is too long"
      : undefined;
  }
}

/** A batch's header, as far as the index needs it. */
export interface BatchHead {
  readonly firstIndex: number;
  readonly entryCount: number;
  readonly term: number;
  readonly length: number;
}

/** Reads the header of the batch at `at`; a text says what is wrong. Its checksum is the record's matter. */
export function readBatchHead(
  { view }: Window,
  at: number,
  limit: number,
): BatchHead | string {
  if (at + batchHeaderBytes > limit) return "a batch that is too short";
  const version = view.getUint8(at);
  if (version !== batchFormatVersion) {
    return `a batch of format version ${version}, and this program reads ${batchFormatVersion}`;
  }
  const length = view.getUint32(at + 4, true);
  if (length < batchHeaderBytes || at + length > limit) {
    return `a batch of ${length} bytes`;
  }
  const firstIndex = getUint64(view, at + 16);
  const entryCount = view.getUint32(at + 24, true);
  const term = getUint64(view, at + 8);
  const isSafe = Number.isSafeInteger(firstIndex + entryCount) &&
    Number.isSafeInteger(term);
  if (!isSafe || firstIndex < 1 || entryCount < 1) {
    return `a batch of ${entryCount} entries at index ${firstIndex}`;
  }
  return { firstIndex, entryCount, term, length };
}
