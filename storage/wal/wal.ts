/**
 * The write-ahead log: one for all nodes of a NodeHost, so that all of them share one write and one sync (rules L1 to
 * L5). `format.ts` draws it; this file decides when what is written, synced, begun and let go.
 */
import { assert, AssertionError } from "../../raft/core/assert.ts";
import type { Crc32 } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import type { Logger, Random } from "../../raft/ports.ts";
import { makeDurableDirectory } from "../directories.ts";
import type { FileSystem, StoredFile } from "../file_system.ts";
import type {
  LogStore,
  NodeLog,
  NodeWrite,
  RecoveryReport,
} from "../log_store.ts";
import { CopyForward } from "./copy_forward.ts";
import {
  firstRecordOffset,
  recordKind,
  type Salt,
  type SegmentHeader,
  segmentSizeFor,
} from "./format.ts";
import { NodeTable } from "./node_table.ts";
import { recover, type Recovered } from "./recovery.ts";
import { SegmentList } from "./segment.ts";
import { type SpareFile, SpareSegment, temporaryName } from "./spare.ts";
import {
  type EmptyKind,
  groupBytesMax,
  LogWriter,
  segmentOverheadBytes,
} from "./writer.ts";

/** How a log is opened. */
export interface WalOptions {
  readonly fileSystem: FileSystem;
  /** The log's own folder; made if it is missing. */
  readonly dir: string;
  /** Bytes of a segment. It is larger if the nodes' checkpoint or a group needs it. */
  readonly segmentBytes: number;
  readonly crc32: Crc32;
  /** For salts. */
  readonly random: Random;
  /** Gives the event loop a turn; long work calls it every few MiB. */
  readonly yield?: () => Promise<void>;
  readonly logger?: Logger;
}

/** A checkpoint takes at most a quarter of a segment, so that checkpoints do not dominate the log. */
const checkpointParts = 4;
/** While the disk is full, a quarter of the last segment is kept for groups with less than this of batches (rule L5). */
const smallBatchBytes = 4 * 1024;
const reserveParts = 4;
/** Bytes copied forward when nothing else is to do. */
const idleCopyBytes = 1024 * 1024;
/** The first segment of a run has at least this part of one free, beside its checkpoint. */
const freeParts = 8;

/** A write-ahead log in a folder. */
export class Wal implements LogStore {
  /** What `open` found. */
  readonly recovery: RecoveryReport;
  readonly #options: WalOptions;
  readonly #segments: SegmentList;
  readonly #nodes: NodeTable;
  readonly #writer: LogWriter;
  readonly #spare: SpareSegment;
  readonly #copyForward: CopyForward;
  #failure: Error | undefined = undefined;
  #isClosed = false;
  #isCommitting = false;
  /** Ends when the operation under way, which is the only one, has ended. */
  #running: Promise<void> | undefined = undefined;
  /** Bytes of the nodes' checkpoint. */
  #stateBytes = 0;

  private constructor(parts: {
    options: WalOptions;
    segments: SegmentList;
    nodes: NodeTable;
    spare: SpareSegment;
    recovery: RecoveryReport;
  }) {
    const { options, segments, nodes, spare, recovery } = parts;
    this.#options = options;
    this.#segments = segments;
    this.#nodes = nodes;
    this.#spare = spare;
    this.recovery = recovery;
    const { crc32, logger } = options;
    const writer = new LogWriter({ segments, nodes, crc32 });
    this.#writer = writer;
    this.#copyForward = new CopyForward({ segments, nodes, writer, logger });
  }

  /**
   * Opens the log in a folder: reads it, and writes what may not be durable into a fresh segment (rule L2).
   *
   * @throws {RaftError} `corruption` with path and offset, `diskFailed`, or `diskFull` if there is no room for a segment.
   */
  static async open(options: WalOptions): Promise<Wal> {
    const { fileSystem, dir, segmentBytes, crc32, logger } = options;
    const turn = options.yield ?? (() => Promise.resolve());
    const segments = new SegmentList();
    const nodes = new NodeTable({ segments, crc32 });
    const spare = new SpareSegment({
      fileSystem,
      dir,
      segmentBytes,
      yield: turn,
      logger,
    });
    try {
      makeDurableDirectory(fileSystem, dir);
      fileSystem.remove(`${dir}/${temporaryName}`);
      const context = { fileSystem, dir, crc32, segments, nodes, yield: turn };
      const recovered = await recover(context);
      const recovery = recovered.report;
      const wal = new Wal({ options, segments, nodes, spare, recovery });
      await wal.#begin(recovered);
      return wal;
    } catch (error) {
      segments.close();
      await spare.close();
      const isOurs = error instanceof RaftError ||
        error instanceof AssertionError;
      throw isOurs ? error : new RaftError(
        "diskFailed",
        `Cannot open the log in ${dir}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  /** See `LogStore`. */
  get isDiskFull(): boolean {
    return this.#spare.isMissing;
  }

  /** See `LogStore`. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** See `LogStore`. */
  nodes(): readonly { readonly clusterId: number; readonly nodeId: number }[] {
    return this.#nodes.all.filter((node) => node.isWritten).map(
      ({ clusterId, nodeId }) => ({ clusterId, nodeId }),
    );
  }

  /** See `LogStore`. */
  node(clusterId: number, nodeId: number): NodeLog {
    return this.#nodes.obtain(clusterId, nodeId);
  }

  /** See `LogStore`. */
  async commitGroup(
    writes: readonly NodeWrite[],
    options: { sync: boolean },
  ): Promise<void> {
    assert(!this.#isCommitting, "one group must be written at a time");
    this.#isCommitting = true;
    try {
      await this.#exclusively(() => this.#commit(writes, options.sync));
    } finally {
      this.#isCommitting = false;
    }
  }

  /** See `LogStore`. */
  async idle(): Promise<void> {
    // Whoever is writing is not idle.
    if (this.#running !== undefined || this.#isClosed) return;
    await this.#exclusively(() => this.#prove());
  }

  /** See `LogStore`. */
  usage(): {
    readonly diskBytes: number;
    readonly indexBytes: number;
    readonly segmentCount: number;
  } {
    let indexBytes = 0;
    for (const node of this.#nodes.all) indexBytes += node.index.memoryBytes;
    return {
      diskBytes: this.#diskBytes,
      indexBytes,
      segmentCount: this.#segments.count + (this.#spare.diskBytes > 0 ? 1 : 0),
    };
  }

  /** See `LogStore`. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#running;
    try {
      if (this.#failure === undefined) {
        await this.#exclusively(() => this.#end());
      }
    } finally {
      await this.#spare.close();
      this.#segments.close();
    }
  }

  get #diskBytes(): number {
    return this.#segments.diskBytes + this.#spare.diskBytes;
  }

  /** Runs one operation at a time. */
  async #exclusively(work: () => Promise<void>): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running = promise;
    try {
      if (this.#failure !== undefined) throw this.#failure;
      await work();
    } finally {
      this.#running = undefined;
      resolve();
    }
  }

  /** Makes the first segment of this run, and writes what may not be durable into it. */
  async #begin(recovered: Recovered): Promise<void> {
    const { provenTo, others } = recovered;
    const { dir, fileSystem } = this.#options;
    const segments = this.#segments;
    const last = segments.count === 0 ? undefined : segments.active;
    const number = (last?.number ?? 0) + 1;
    const doubtful = last === undefined
      ? 0
      : Math.max(0, last.base + last.end - provenTo);
    if (last !== undefined && !recovered.isHeaderProven) {
      await rewriteHeader(last.file);
    }
    this.#adoptSpare(others, number);
    const bytes = this.#checkpointBytes() + 2 * doubtful +
      this.#options.segmentBytes / freeParts;
    const file = await this.#obtainSegment(number, bytes);
    const header = this.#headerFor(file, {
      number,
      base: last === undefined ? 0 : last.base + last.size,
      previousEnd: provenTo,
    });
    const writer = this.#writer;
    writer.beginRecoverySegment(file.path, file.file, header);
    if (last !== undefined) {
      this.#rewriteFrom(last.number, provenTo - last.base);
    }
    await writer.completeSegment(header);
    fileSystem.syncDirectory(dir);
    for (const other of others) {
      if (other.number !== number) fileSystem.remove(other.path);
    }
    this.#tidy();
  }

  /** Copies the batches that stand at or behind `offset` of a segment. */
  #rewriteFrom(segment: number, offset: number): void {
    const writer = this.#writer;
    writer.beginGroup();
    for (const node of this.#nodes.all) {
      const { index } = node;
      const isWanted = (row: number) =>
        index.segmentOf(row) === segment && index.offsetOf(row) >= offset;
      writer.putMoved(node, 0, isWanted, Number.MAX_SAFE_INTEGER);
    }
    writer.finishGroup();
  }

  /** If a spare was made before, it is still there, written in full. */
  #adoptSpare(others: Recovered["others"], number: number): void {
    const known = others.find((other) => other.number === number);
    if (known === undefined) return;
    const file = this.#options.fileSystem.open(known.path);
    const size = file.size();
    if (size === segmentSizeFor(size)) {
      this.#spare.adopt({ path: known.path, file, size });
    } else {
      this.#spare.discard({ path: known.path, file });
    }
  }

  async #commit(writes: readonly NodeWrite[], sync: boolean): Promise<void> {
    if (this.#isClosed) {
      throw new RaftError("closed", "Cannot write to the log: it is closed");
    }
    const groupBytes = groupBytesMax(writes, this.#nodes);
    if (!this.#fits(writes, groupBytes)) await this.#nextSegment(groupBytes);
    try {
      this.#write(writes, groupBytes);
      if (sync) await this.#writer.sync();
    } catch (error) {
      throw this.#fail(error);
    }
    this.#tidy();
  }

  #write(writes: readonly NodeWrite[], groupBytes: number): void {
    const writer = this.#writer;
    this.#segments.commitCount++;
    writer.beginGroup();
    const copyBytes = this.#copyBudget(groupBytes);
    if (copyBytes > 0) this.#copyForward.step(copyBytes, groupBytes);
    for (const write of writes) writer.putWrite(write);
    writer.finishGroup();
  }

  #copyBudget(groupBytes: number): number {
    const log = { diskBytes: this.#diskBytes, stateBytes: this.#stateBytes };
    const budget = this.#copyForward.budgetFor(groupBytes, log);
    if (!this.isDiskFull) return budget;
    // Without a further segment to come, only what can be finished is worth its room.
    return this.#copyForward.canFinish() ? idleCopyBytes : 0;
  }

  /** Whether a group may go into the newest segment. */
  #fits(writes: readonly NodeWrite[], groupBytes: number): boolean {
    const room = this.#writer.roomBytes;
    if (!this.isDiskFull) return groupBytes <= room;
    // Votes and removal must go on until there is space again, so bulk leaves them a part of the last segment.
    const { size } = this.#segments.active;
    const isSmall = batchBytesOf(writes) <= smallBatchBytes;
    return groupBytes <= (isSmall ? room : room - size / reserveParts);
  }

  /** Goes on in the next segment, which takes the whole group. Nothing is written to it before the last is synced. */
  async #nextSegment(groupBytes: number): Promise<void> {
    const { active } = this.#segments;
    const writer = this.#writer;
    try {
      if (writer.needsSync) await writer.sync();
    } catch (error) {
      throw this.#fail(error);
    }
    const number = active.number + 1;
    const bytes = this.#checkpointBytes() + groupBytes;
    this.#tidy();
    const file = await this.#obtainSegment(number, bytes);
    const header = this.#headerFor(file, {
      number,
      base: active.base + active.size,
      previousEnd: writer.position,
    });
    try {
      writer.beginSegment(file.path, file.file, header);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** @throws {RaftError} `diskFull`: nothing was written. */
  async #obtainSegment(number: number, bytes: number): Promise<SpareFile> {
    const needed = bytes + segmentOverheadBytes;
    const file = await this.#spare.obtain(number, needed);
    if (file !== undefined) return file;
    throw new RaftError(
      "diskFull",
      `Cannot write to the log in ${this.#options.dir}: there is no space ` +
        `for another segment: ${messageOf(this.#spare.failure)}`,
      { cause: this.#spare.failure },
    );
  }

  /** Bytes of the checkpoint that a new segment opens with; sets what depends on that. */
  #checkpointBytes(): number {
    const bytes = this.#writer.checkpointBytesMax;
    this.#stateBytes = bytes;
    this.#spare.preferredBytes = Math.max(
      this.#options.segmentBytes,
      checkpointParts * bytes,
    );
    return bytes;
  }

  #headerFor(
    file: SpareFile,
    place: { number: number; base: number; previousEnd: number },
  ): SegmentHeader {
    const segments = this.#segments;
    return {
      ...place,
      salt: this.#newSalt(),
      size: file.size,
      oldest: segments.count === 0 ? place.number : segments.front.number,
      syncedTo: place.base,
    };
  }

  #newSalt(): Salt {
    const bytes = new Uint8Array(8);
    this.#options.random.fill(bytes);
    const view = new DataView(bytes.buffer);
    return {
      headerSeed: view.getUint32(0, true),
      payloadSeed: view.getUint32(4, true),
    };
  }

  /** Lets go of segments that are not needed any more, and sees to it that there is a spare. */
  #tidy(): void {
    const segments = this.#segments;
    const spare = this.#spare;
    const writer = this.#writer;
    const number = segments.active.number + 1;
    let dead = segments.deadCount(writer.syncedCommits);
    // The next spare costs nothing if it was a segment before, which the next commit will show to be safe.
    if (dead > 0 && !writer.isSegmentProven) return;
    for (; dead > 0; dead--) {
      if (spare.isWanted) spare.recycle(segments.shift(), number);
      else if (dead > 1) spare.discard(segments.shift());
    }
    if (writer.isSegmentDurable) spare.prepare(number);
  }

  /** Makes it provable that what was written is durable; copies forward meanwhile, for nothing else is to do. */
  async #prove(): Promise<void> {
    const writer = this.#writer;
    if (this.#copyBudget(0) > 0) await this.#copyWhenIdle();
    try {
      await this.#proveWith(recordKind.proof);
    } catch (error) {
      throw this.#fail(error);
    }
    this.#tidy();
    if (this.isDiskFull && writer.isSegmentDurable) {
      this.#spare.prepare(this.#segments.active.number + 1, true);
    }
  }

  async #copyWhenIdle(): Promise<void> {
    const { active } = this.#segments;
    if (this.#writer.roomBytes < active.size / 2 && !this.isDiskFull) {
      try {
        await this.#nextSegment(0);
      } catch (error) {
        if (this.#failure !== undefined) throw error;
        return; // No space for it: that is for whoever writes to hear.
      }
    }
    try {
      this.#segments.commitCount++;
      this.#writer.beginGroup();
      this.#copyForward.step(idleCopyBytes, 0);
      this.#writer.finishGroup();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async #proveWith(kind: EmptyKind): Promise<void> {
    const writer = this.#writer;
    if (!writer.needsProof && kind === recordKind.proof) return;
    if (writer.needsSync) await writer.sync();
    if (writer.maybeWriteEmpty(kind)) await writer.sync();
  }

  async #end(): Promise<void> {
    try {
      await this.#proveWith(recordKind.end);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Closes the log for good: what an error leaves on the disk is unknown, and trying again would hide it (rule L2). */
  #fail(error: unknown): Error {
    this.#failure ??= new RaftError(
      "diskFailed",
      `Cannot write to the log in ${this.#options.dir}: ${messageOf(error)}`,
      { outcome: "unknown", cause: error },
    );
    return this.#failure;
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

function batchBytesOf(writes: readonly NodeWrite[]): number {
  let bytes = 0;
  for (const write of writes) {
    for (const batch of write.batches ?? []) bytes += batch.bytes.length;
  }
  return bytes;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
