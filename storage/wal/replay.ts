/** Applies the records of a log, in order, to its nodes. */
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

  /** Replays into `nodes`, which is empty. */
  constructor(nodes: NodeTable) {
    this.#nodes = nodes;
  }

  /** Whether a whole checkpoint was read. */
  get hasCheckpoint(): boolean {
    return this.#hasCheckpoint;
  }

  /** Goes on with the next segment. */
  beginSegment(header: SegmentHeader): void {
    this.#segment = header.number;
    // A segment that recovery made also says what stood behind the end of the one before.
    this.#isCompared = this.#hasCheckpoint && header.syncedTo === header.base;
  }

  /** Applies the record at `at` of the window, which stands at `offset` of its segment and was checked. */
  apply(window: Window, at: number, offset: number): string | undefined {
    const kind = window.view.getUint32(at + 12, true);
    const from = at + recordHeaderBytes;
    const to = from + window.view.getUint32(at + 8, true);
    switch (kind) {
      case recordKind.group:
        if (!this.#hasCheckpoint) return "a group before any checkpoint";
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
    if (parts === part.removed) {
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
    if (section.hardState !== undefined) node.setHardState(section.hardState);
    if (profile !== undefined && !setProfile(node, profile)) {
      return "an unreadable profile";
    }
    if ((parts & part.reset) !== 0) {
      if (profile === undefined || snapshotPlace(profile).index === 0) {
        return "a log reset without a snapshot";
      }
      node.resetToSnapshot();
    }
    const defect = this.#applyBatches(node, window, offset);
    if (defect !== undefined) return defect;
    if ((parts & part.compaction) !== 0) {
      if (section.compactedIndex > node.lastIndex()) {
        return `compaction to ${section.compactedIndex} of ${node.lastIndex()} entries`;
      }
      node.compactTo(section.compactedIndex, section.compactedTerm);
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
        : node.canAppend(head.firstIndex) && !node.wouldSplit(head.firstIndex);
      if (!fits) {
        return `entries ${head.firstIndex} to ${lastIndex} for a log from ` +
          `${node.firstIndex()} to ${node.lastIndex()}`;
      }
      if (isMoved) node.placeMoved(place);
      else node.append(place);
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
    node.setHardState(hardState);
    node.setBounds(bounds!);
    if (profile === undefined) node.setProfileBytes(undefined);
    else if (!setProfile(node, profile)) return "an unreadable profile";
    return undefined;
  }

  /** The checkpoint was whole: who is not in it does not exist. */
  #endCheckpoint(): string | undefined {
    for (const node of [...this.#nodes.all]) {
      if (node.checkpointedIn === this.#segment) continue;
      if (this.#isCompared && node.isWritten) {
        return `a checkpoint without node ${node.nodeId} of cluster ${node.clusterId}`;
      }
      this.#nodes.remove(node);
    }
    this.#hasCheckpoint = true;
    return undefined;
  }
}

/** Sets a profile unless it is the one known; false if it cannot be read. */
function setProfile(node: WalNodeLog, bytes: Uint8Array): boolean {
  if (isEqual(node.profileBytes, bytes)) return true;
  const own = bytes.slice(); // The window is read into again.
  if (decodeProfile(own) === undefined) return false;
  node.setProfileBytes(own);
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
