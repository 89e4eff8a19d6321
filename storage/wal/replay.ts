/** Applies the records of a log, in order, to its nodes. */
import type { Crc32 } from "../../raft/core/types.ts";
import { openBatch } from "../../raft/core/entry_batch.ts";
import { Doubts } from "./doubt.ts";
import type { SegmentHeader } from "./format.ts";
import {
  part,
  recordHeaderBytes,
  recordKind,
  sectionHeaderBytes,
} from "./format.ts";
import type { WalNodeLog } from "./node_log.ts";
import type { NodeTable } from "./node_table.ts";
import { decodeProfile, snapshotPlace } from "./profile.ts";
import type { Window } from "./record.ts";
import { ParsedSection, readBatchHead } from "./section.ts";

/** Replays records. What a record says although its checksum holds, and cannot be, is a defect, returned as a text. */
export class Replay {
  readonly #nodes: NodeTable;
  readonly #section = new ParsedSection();
  /** Whether a whole checkpoint was read, so that the nodes are all known. */
  #hasCheckpoint = false;
  /** Whether the checkpoint of the current segment must say what is known already. */
  #isCompared = false;
  #segment = 0;
  /** Damage stands before the current place: what follows may not fit what is known, until the next whole checkpoint. */
  #isBehindDamage = false;
  /** Damage stands in the current segment, so that its checkpoint may not be whole. */
  #isSegmentDamaged = false;
  /** What damage leaves in doubt. */
  readonly doubts: Doubts;

  /** Replays into `nodes`, which is empty. */
  constructor(nodes: NodeTable) {
    this.#nodes = nodes;
    this.doubts = new Doubts(nodes);
  }

  /** Whether a whole checkpoint was read. */
  get hasCheckpoint(): boolean {
    return this.#hasCheckpoint;
  }

  /** Goes on with the next segment. */
  beginSegment(header: SegmentHeader): void {
    this.#segment = header.number;
    this.#isSegmentDamaged = false;
    // A segment that recovery made also says what stood behind the end of the one before.
    this.#isCompared = this.#hasCheckpoint &&
      header.syncedTo === header.base && !this.#isBehindDamage;
  }

  /**
   * Passes over damage. The nodes that it names are in doubt, which are all unless a record with good structure is given.
   */
  passOver(
    reason: string,
    options: {
      record: { window: Window; at: number } | undefined;
      crc32: Crc32;
    },
  ): void {
    this.#isSegmentDamaged = true;
    if (this.#isRedundant(options.record)) return;
    this.#isBehindDamage = true;
    const named = options.record === undefined
      ? undefined
      : this.#nodesIn(options.record, options.crc32);
    if (named === undefined) this.doubts.allDamaged(reason);
    else this.doubts.damaged(named, reason);
  }

  /** A checkpoint that only says again what the segments before it say. */
  #isRedundant(record: { window: Window; at: number } | undefined): boolean {
    if (record === undefined || !this.#isCompared) return false;
    const kind = record.window.view.getUint32(record.at + 12, true);
    return kind === recordKind.checkpoint || kind === recordKind.checkpointEnd;
  }

  /**
   * The nodes that a record names whose contents do not check, if its own bytes are no reason to doubt the names: its
   * sections fill it exactly, they name nodes that are known, and a batch in it is damaged by its own checksum, which
   * is what the record's checksum shows.
   */
  #nodesIn(
    { window, at }: { window: Window; at: number },
    crc32: Crc32,
  ): Set<WalNodeLog> | undefined {
    if (window.view.getUint32(at + 12, true) !== recordKind.group) {
      return undefined;
    }
    const section = new ParsedSection();
    const named = new Set<WalNodeLog>();
    const to = at + recordHeaderBytes + window.view.getUint32(at + 8, true);
    let isExplained = false;
    let next = at + recordHeaderBytes;
    while (to - next >= sectionHeaderBytes) {
      if (section.read(window, next, to) !== undefined) return undefined;
      const node = this.#nodes.find(section.clusterId, section.nodeId);
      if (node === undefined) return undefined;
      named.add(node);
      for (let batchAt = section.batchesAt; batchAt < section.end;) {
        const head = readBatchHead(window, batchAt, section.end);
        if (typeof head === "string") return undefined;
        const bytes = window.bytes.subarray(batchAt, batchAt + head.length);
        if (typeof openBatch(bytes, crc32) === "string") isExplained = true;
        batchAt += head.length;
      }
      next = section.end;
    }
    for (; next < to; next++) if (window.bytes[next] !== 0) return undefined;
    return isExplained ? named : undefined;
  }

  /** Applies the record at `at` of the window, which stands at `offset` of its segment and was checked. */
  apply(window: Window, at: number, offset: number): string | undefined {
    const kind = window.view.getUint32(at + 12, true);
    const from = at + recordHeaderBytes;
    const to = from + window.view.getUint32(at + 8, true);
    switch (kind) {
      case recordKind.group:
        if (!this.#hasCheckpoint) {
          // Whoever it is about is named again by the next checkpoint, with where its log begins and ends.
          if (this.#isBehindDamage) return undefined;
          return "a group before any checkpoint";
        }
        return this.#applySections(window, { from, to, offset: offset - at });
      case recordKind.checkpoint:
        return this.#applySections(window, { from, to, offset: offset - at });
      case recordKind.checkpointEnd:
        return this.#applySections(window, { from, to, offset: offset - at }) ??
          this.#endCheckpoint();
      case recordKind.proof:
      case recordKind.end:
        return to === from ? undefined : "contents where there are none";
      default:
        return `the unknown kind ${kind}`;
    }
  }

  /** The first entry that a node's log should hold, and no batch does; undefined if all is there. */
  firstMissing(): { node: WalNodeLog; index: number } | undefined {
    for (const node of this.#nodes.all) {
      const index = node.firstMissing();
      if (index !== undefined) return { node, index };
    }
    return undefined;
  }

  #applySections(
    window: Window,
    payload: { from: number; to: number; offset: number },
  ): string | undefined {
    const section = this.#section;
    let at = payload.from;
    while (payload.to - at >= sectionHeaderBytes) {
      const defect = section.read(window, at, payload.to) ??
        this.#applySection(window, payload.offset);
      if (defect !== undefined) return defect;
      at = section.end;
    }
    for (; at < payload.to; at++) {
      if (window.bytes[at] !== 0) return "something behind its last section";
    }
    return undefined;
  }

  #applySection(window: Window, offset: number): string | undefined {
    const section = this.#section;
    const { clusterId, nodeId, parts } = section;
    const node = this.#nodes.obtain(clusterId, nodeId);
    if (!node.isWritten && this.doubts.any) this.doubts.met(node);
    if (parts === part.removed) {
      this.doubts.removed(node);
      this.#nodes.remove(node);
      return undefined;
    }
    const defect = section.bounds === undefined
      ? this.#applyChange(node, window, offset)
      : this.#applyCheckpoint(node);
    node.isWritten = true;
    return defect === undefined
      ? undefined
      : `${defect} (cluster ${clusterId}, node ${nodeId})`;
  }

  #applyChange(
    node: WalNodeLog,
    window: Window,
    offset: number,
  ): string | undefined {
    const section = this.#section;
    const { parts, profile } = section;
    const doubts = this.doubts.any ? this.doubts : undefined;
    if (section.hardState !== undefined) {
      node.setHardState(section.hardState);
      doubts?.ballotSeen(node);
    }
    if (profile !== undefined && !setProfile(node, profile)) {
      return "an unreadable profile";
    }
    if ((parts & part.reset) !== 0) {
      if (profile === undefined || snapshotPlace(profile).index === 0) {
        return "a log reset without a snapshot";
      }
      node.resetToSnapshot();
      doubts?.restatedFrom(node, node.firstIndex());
    }
    const defect = this.#applyBatches(node, window, offset);
    if (defect !== undefined) return defect;
    if ((parts & part.compaction) !== 0) {
      const { compactedIndex, compactedTerm } = section;
      if (compactedIndex <= node.lastIndex()) {
        node.compactTo(compactedIndex, compactedTerm);
      } else if (this.#isBehindDamage) {
        const lastIndex = compactedIndex;
        node.setBounds({ compactedIndex, compactedTerm, lastIndex });
      } else {
        return `compaction to ${compactedIndex} of ${node.lastIndex()} entries`;
      }
    }
    return undefined;
  }

  #applyBatches(
    node: WalNodeLog,
    window: Window,
    offset: number,
  ): string | undefined {
    const { parts, batchesAt, end } = this.#section;
    const isMoved = (parts & part.moved) !== 0;
    for (let at = batchesAt; at < end;) {
      const head = readBatchHead(window, at, end);
      if (typeof head === "string") return head;
      const place = {
        firstIndex: head.firstIndex,
        entryCount: head.entryCount,
        term: head.term,
        segment: this.#segment,
        offset: offset + at,
        length: head.length,
      };
      const lastIndex = head.firstIndex + head.entryCount - 1;
      const fits = isMoved
        ? head.firstIndex >= node.firstIndex() && lastIndex <= node.lastIndex()
        : node.canAppend(head.firstIndex, head.entryCount) &&
          !node.wouldSplit(head.firstIndex);
      if (!fits && this.#isBehindDamage) {
        if (!isMoved && head.firstIndex >= node.firstIndex()) {
          this.doubts.restatedFrom(node, head.firstIndex);
          node.appendInDoubt(place);
        }
        at += head.length;
        continue;
      }
      if (!fits) {
        return `entries ${head.firstIndex} to ${lastIndex} for a log from ` +
          `${node.firstIndex()} to ${node.lastIndex()}`;
      }
      if (isMoved) {
        this.doubts.copiedSeen(node, head.firstIndex, lastIndex);
        node.placeMoved(place);
      } else {
        if (this.doubts.any) this.doubts.restatedFrom(node, head.firstIndex);
        node.append(place);
      }
      at += head.length;
    }
    return undefined;
  }

  #applyCheckpoint(node: WalNodeLog): string | undefined {
    const { hardState, bounds, profile } = this.#section;
    node.checkpointedIn = this.#segment;
    if (this.#isCompared) {
      const known = node.bounds;
      const isSame = node.isWritten &&
        known.compactedIndex === bounds!.compactedIndex &&
        known.compactedTerm === bounds!.compactedTerm &&
        known.lastIndex === bounds!.lastIndex &&
        node.hardState()?.term === hardState?.term &&
        node.hardState()?.votedFor === hardState?.votedFor &&
        node.hardState()?.commit === hardState?.commit &&
        isEqual(node.profileBytes, profile);
      return isSame ? undefined : "a checkpoint that differs from the log";
    }
    if (this.doubts.any) this.doubts.checkpointed(node, bounds!);
    node.setHardState(hardState);
    node.setBounds(bounds!);
    if (profile === undefined) node.setProfileBytes(undefined);
    else if (!setProfile(node, profile)) return "an unreadable profile";
    return undefined;
  }

  /** The checkpoint was whole: who is not in it does not exist. */
  #endCheckpoint(): string | undefined {
    if (this.#isSegmentDamaged) return undefined; // Who is not in it may be in the damaged part.
    for (const node of [...this.#nodes.all]) {
      if (node.checkpointedIn === this.#segment) continue;
      if (this.#isCompared && node.isWritten) {
        return `a checkpoint without node ${node.nodeId} of cluster ${node.clusterId}`;
      }
      this.#nodes.remove(node);
    }
    this.#hasCheckpoint = true;
    if (!this.#isCompared) this.#isBehindDamage = false;
    this.doubts.allNamed();
    return undefined;
  }
}

/** Sets a profile unless it is the one known; false if it cannot be read. */
function setProfile(node: WalNodeLog, bytes: Uint8Array): boolean {
  if (isEqual(node.profileBytes, bytes)) return true;
  const own = bytes.slice(); // The window is read into again.
  const profile = decodeProfile(own);
  if (profile === undefined) return false;
  node.setProfileBytes(own);
  if (profile.damage !== undefined) node.dropDamaged();
  return true;
}

function isEqual(
  left: Uint8Array | undefined,
  right: Uint8Array | undefined,
): boolean {
  if (left === undefined || right === undefined) return left === right;
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) {
    if (left[i] !== right[i]) return false;
  }
  return true;
}
