/**
 * Copies live batches of the oldest segment into the newest, so that one idle cluster does not keep old segments for
 * ever (rule L4). It rides on groups that are written anyway: about two bytes for each new one, so that a log in which
 * all that is live stands at the front is through before it has grown by half.
 */
import { RaftError } from "../../raft/errors.ts";
import type { Logger } from "../../raft/ports.ts";
import type { WalNodeLog } from "./node_log.ts";
import type { NodeTable } from "./node_table.ts";
import type { Segment, SegmentList } from "./segment.ts";
import type { LogWriter } from "./writer.ts";

const bytesPerGroupMin = 16 * 1024;
const bytesPerGroupMax = 1024 * 1024;
/** A section's header, and what a split of the record costs. */
const slackBytes = 256;

/** What it works on. */
export interface CopyForwardContext {
  readonly segments: SegmentList;
  readonly nodes: NodeTable;
  readonly writer: LogWriter;
  readonly logger: Logger | undefined;
}

/** Empties the oldest segment, some batches at a time. */
export class CopyForward {
  readonly #context: CopyForwardContext;
  /** Number of the segment that is being emptied. */
  #victim = 0;
  /** Where in it we are: batches of nodes before this one are copied, and of this one those below the index. */
  #next = { clusterId: 0, nodeId: 0, index: 0 };

  /** Begins with the oldest segment. */
  constructor(context: CopyForwardContext) {
    this.#context = context;
  }

  /**
   * How many bytes to copy along with a group of `groupBytes`: 0 unless the log has grown beyond its measure, which is
   * twice what is live and two segments, the spare included. (Rule L4 permits three times and four.)
   */
  budgetFor(
    groupBytes: number,
    log: { diskBytes: number; stateBytes: number },
  ): number {
    const { segments } = this.#context;
    const victim = this.#findVictim();
    if (victim === undefined) return 0;
    const liveBytes = segments.liveBytes + log.stateBytes;
    const { size } = segments.active;
    // What is empty already will be recycled.
    let usedBytes = log.diskBytes;
    for (let i = 0; segments.at(i) !== victim; i++) {
      usedBytes -= segments.at(i).size;
    }
    if (usedBytes <= 2 * liveBytes + 2 * size) return 0;
    const isUrgent = usedBytes > 3 * liveBytes + 3 * size;
    const wanted = Math.max(bytesPerGroupMin, 2 * groupBytes);
    return Math.min(isUrgent ? 8 * wanted : wanted, bytesPerGroupMax);
  }

  /** Whether what is left in the oldest segment fits into the newest, and leaves as much room again. */
  canFinish(): boolean {
    const victim = this.#findVictim();
    return victim !== undefined &&
      2 * victim.liveBytes < this.#context.writer.roomBytes - bytesPerGroupMin;
  }

  /**
   * Copies up to `budget` bytes of batches into the group that is being built, as far as they fit beside it. Returns how
   * many it copied.
   */
  step(budget: number, groupBytes: number): number {
    const { nodes, writer } = this.#context;
    let left = budget;
    let room = writer.roomBytes - groupBytes;
    while (left > 0) {
      const victim = this.#findVictim();
      if (victim === undefined) break;
      if (victim.number !== this.#victim) this.#start(victim.number);
      const { clusterId, nodeId } = this.#next;
      const node = nodes.all[nodes.placeOf(clusterId, nodeId)];
      if (node === undefined) {
        // Through; what was not found is found in the next round.
        this.#start(victim.number);
        break;
      }
      const row = this.#firstRow(node);
      if (row < 0) {
        this.#next = { ...idsAfter(node), index: 0 };
        continue;
      }
      room -= slackBytes;
      if (node.index.lengthOf(row) > room) break; // It will fit into the next segment.
      const copied = this.#copy(victim, node, row, Math.min(left, room));
      left -= copied;
      room -= copied;
    }
    return budget - left;
  }

  /** The oldest segment with live batches, unless that has to stay: segments go in order. */
  #findVictim(): Segment | undefined {
    const { segments } = this.#context;
    for (let i = 0; i < segments.count - 1; i++) {
      const segment = segments.at(i);
      if (segment.isPinned) return undefined;
      if (segment.liveBytes > 0) return segment;
    }
    return undefined;
  }

  #start(victim: number): void {
    this.#victim = victim;
    this.#next = { clusterId: 0, nodeId: 0, index: 0 };
  }

  /** The first row of a node that is still to be copied, or -1. */
  #firstRow({ index, clusterId, nodeId }: WalNodeLog): number {
    const next = this.#next;
    const isNext = clusterId === next.clusterId && nodeId === next.nodeId;
    const from = isNext ? index.firstEndingFrom(next.index) : 0;
    for (let row = from; row < index.count; row++) {
      if (index.segmentOf(row) === this.#victim) return row;
    }
    return -1;
  }

  /** Copies batches of one node, from a row on; a damaged one makes its segment stay. */
  #copy(
    victim: Segment,
    node: WalNodeLog,
    from: number,
    budget: number,
  ): number {
    const { writer, logger } = this.#context;
    const { index, clusterId, nodeId } = node;
    const isWanted = (row: number) => index.segmentOf(row) === this.#victim;
    try {
      const { nextRow, bytes } = writer.putMoved(node, from, isWanted, budget);
      const nextIndex = nextRow < index.count
        ? index.firstIndexOf(nextRow)
        : node.lastIndex() + 1;
      this.#next = { clusterId, nodeId, index: nextIndex };
      return bytes;
    } catch (error) {
      if (!(error instanceof RaftError)) throw error;
      victim.isPinned = true;
      logger?.error("a segment of the log is damaged and stays", {
        path: victim.path,
        error: error.message,
      });
      return 0;
    }
  }
}

/** Where the next node in order can be at the earliest. */
function idsAfter({ clusterId, nodeId }: WalNodeLog): {
  clusterId: number;
  nodeId: number;
} {
  return { clusterId, nodeId: nodeId + 1 };
}
