/**
 * Goes from one segment to the next: begins the first of a run, which holds what may not be durable (rule L2), and each
 * further one when the last is full; keeps a spare ready, and lets go of segments that nobody needs (rule L4).
 */
import { RaftError } from "../../raft/errors.ts";
import type { Random } from "../../raft/ports.ts";
import { isNoSpace } from "../aside_file.ts";
import type { FileSystem, StoredFile } from "../file_system.ts";
import {
  firstRecordOffset,
  type Salt,
  type SegmentHeader,
  segmentSizeFor,
} from "./format.ts";
import type { NodeTable } from "./node_table.ts";
import type { Recovered } from "./recovery.ts";
import type { SegmentList } from "./segment.ts";
import type { SpareFile, SpareSegment } from "./spare.ts";
import { type LogWriter, segmentOverheadBytes } from "./writer.ts";

/**
 * Segments that nobody needs and that are kept all the same, to be the next spares. How many are free changes from
 * second to second; with too few kept, files are removed and written in full again, and the disk's use jumps.
 */
const keptDeadMax = 2;

/** A checkpoint takes at most a quarter of a segment, so that checkpoints do not dominate the log. */
const checkpointParts = 4;
/** The first segment of a run has at least this part of one free, beside what it opens with. */
const freeParts = 8;

/** What a roll works on. */
export interface RollContext {
  readonly fileSystem: FileSystem;
  readonly dir: string;
  readonly segmentBytes: number;
  readonly random: Random;
  readonly segments: SegmentList;
  readonly nodes: NodeTable;
  readonly writer: LogWriter;
  readonly spare: SpareSegment;
}

/** The succession of segments. Errors of files are thrown as they come. */
export class SegmentRoll {
  readonly #context: RollContext;
  #stateBytes = 0;
  /** The first spare of a run is made at full speed, for there may be little else to do. */
  #hasRolled = false;

  /** Touches no file. */
  constructor(context: RollContext) {
    this.#context = context;
  }

  /** Bytes of the nodes' checkpoint, when the newest segment was begun. */
  get stateBytes(): number {
    return this.#stateBytes;
  }

  /**
   * Makes the first segment of this run, and writes what may not be durable into it.
   *
   * @throws {RaftError} `diskFull`, or `diskFailed` if it is for another reason that there is no segment.
   */
  async begin(recovered: Recovered): Promise<void> {
    const { fileSystem, segments, segmentBytes, writer } = this.#context;
    const { provenTo, others } = recovered;
    const last = segments.count === 0 ? undefined : segments.active;
    const number = (last?.number ?? 0) + 1;
    if (last !== undefined && !recovered.isHeaderProven) {
      await rewriteHeader(last.file);
    }
    this.#adoptSpare(others, number);
    const doubtful = last === undefined
      ? 0
      : Math.max(0, last.base + last.end - provenTo);
    const bytes = this.#checkpointBytes() + 2 * doubtful +
      segmentBytes / freeParts;
    const file = await this.#obtain(number, bytes, true);
    const base = last === undefined ? 0 : last.base + last.size;
    // What damage took is said in this segment's checkpoint.
    if (recovered.report.damage.length > 0) segments.judgedTo = base;
    const header = this.#headerFor(file, {
      number,
      base,
      previousEnd: provenTo,
    });
    writer.beginRecoverySegment(file.path, file.file, header);
    if (last !== undefined) {
      this.#rewriteFrom(last.number, provenTo - last.base);
    }
    await writer.completeSegment(header);
    for (const other of others) {
      if (other.number !== number) fileSystem.remove(other.path);
    }
    this.tidy();
  }

  /**
   * Goes on in the next segment, which takes a whole group of `groupBytes`. Nothing is written to it before the last one
   * is synced (rule L1).
   *
   * @throws {RaftError} `diskFull`: nothing was written.
   */
  async next(groupBytes: number): Promise<void> {
    const { segments, writer } = this.#context;
    const { active } = segments;
    const number = active.number + 1;
    if (writer.needsSync) await writer.sync();
    const bytes = this.#checkpointBytes() + groupBytes;
    this.tidy();
    const file = await this.#obtain(number, bytes);
    const header = this.#headerFor(file, {
      number,
      base: active.base + active.size,
      previousEnd: writer.position,
    });
    writer.beginSegment(file.path, file.file, header);
    this.#hasRolled = true;
  }

  /** Lets go of segments that are not needed any more, and sees to it that there is a spare. */
  tidy(): void {
    const { segments, spare, writer } = this.#context;
    const { active } = segments;
    const number = active.number + 1;
    if (this.#hasRolled) spare.keepAhead(active.end / active.size);
    let dead = segments.deadCount(writer.syncedCommits);
    // The next spare costs nothing if it was a segment before, which the next commit will show to be safe.
    if (dead > 0 && !writer.isSegmentProven) return;
    for (; dead > 0; dead--) {
      if (spare.isWanted) spare.recycle(segments.shift(), number);
      else if (dead > keptDeadMax) spare.discard(segments.shift());
    }
    if (writer.isSegmentDurable) spare.prepare(number);
  }

  /** Tries again to make a spare that could not be made. */
  retry(): void {
    const { segments, spare, writer } = this.#context;
    if (writer.isSegmentDurable) {
      spare.prepare(segments.active.number + 1, true);
    }
  }

  /** Copies the batches that stand at or behind `offset` of a segment. */
  #rewriteFrom(segment: number, offset: number): void {
    const { nodes, writer } = this.#context;
    writer.beginGroup();
    for (const node of nodes.all) {
      const { index } = node;
      const isWanted = (row: number) =>
        index.segmentOf(row) === segment && index.offsetOf(row) >= offset;
      writer.putMoved(node, 0, isWanted, Number.MAX_SAFE_INTEGER);
    }
    writer.finishGroup();
  }

  /** If a spare was made before, it is still there, written in full. Its name must be durable before it is used. */
  #adoptSpare(others: Recovered["others"], number: number): void {
    const known = others.find((other) => other.number === number);
    if (known === undefined) return;
    const { fileSystem, dir, spare } = this.#context;
    fileSystem.syncDirectory(dir);
    const file = fileSystem.open(known.path);
    const size = file.size();
    if (size > 0 && size === segmentSizeFor(size)) {
      spare.adopt({ path: known.path, file, size });
    } else {
      spare.discard({ path: known.path, file });
    }
  }

  /**
   * A log that is open goes on without another segment, whyever there is none, until there is one (rule L5); one that is
   * not does not open.
   */
  async #obtain(
    number: number,
    bytes: number,
    isFirst = false,
  ): Promise<SpareFile> {
    const { dir, spare } = this.#context;
    const file = await spare.obtain(number, bytes + segmentOverheadBytes);
    if (file !== undefined) return file;
    const reason = spare.failure instanceof Error
      ? spare.failure.message
      : String(spare.failure);
    const isFull = isNoSpace(spare.failure);
    const what = isFull
      ? "there is no space for another segment"
      : "another segment cannot be made";
    throw new RaftError(
      isFirst && !isFull ? "diskFailed" : "diskFull",
      `Cannot write to the log in ${dir}: ${what}: ${reason}`,
      { cause: spare.failure },
    );
  }

  /** Bytes of the checkpoint that a new segment opens with; sets what depends on that. */
  #checkpointBytes(): number {
    const { segmentBytes, spare, writer } = this.#context;
    const bytes = writer.checkpointBytesMax;
    this.#stateBytes = bytes;
    spare.preferredBytes = Math.max(segmentBytes, checkpointParts * bytes);
    return bytes;
  }

  #headerFor(
    file: SpareFile,
    place: { number: number; base: number; previousEnd: number },
  ): SegmentHeader {
    const { segments } = this.#context;
    return {
      ...place,
      salt: this.#newSalt(),
      size: file.size,
      oldest: segments.count === 0 ? place.number : segments.front.number,
      syncedTo: place.base,
      judgedTo: segments.judgedTo,
    };
  }

  #newSalt(): Salt {
    const bytes = new Uint8Array(8);
    this.#context.random.fill(bytes);
    const view = new DataView(bytes.buffer);
    return {
      headerSeed: view.getUint32(0, true),
      payloadSeed: view.getUint32(4, true),
    };
  }
}

/**
 * Writes a segment's header again and syncs it. Segments are found one by one, from the newest down, so those before
 * the newest must be there after a power cut; a sync alone would not write what an earlier one failed to write.
 */
async function rewriteHeader(file: StoredFile): Promise<void> {
  const bytes = new Uint8Array(firstRecordOffset);
  file.readAt(bytes, 0);
  file.writeAt(bytes, 0);
  await file.sync();
}
