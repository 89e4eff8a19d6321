/**
 * The write-ahead log: one for all nodes of a NodeHost, so that all of them share one write and one sync (rules L1 to
 * L5). `format.ts` draws it; this file decides what is written when, and what an error means.
 */
import { assert, AssertionError } from "../../raft/core/assert.ts";
import type { Crc32 } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import type { Logger, Random } from "../../raft/ports.ts";
import { makeDurableDirectory } from "../directories.ts";
import type { FileSystem } from "../file_system.ts";
import type {
  LogStore,
  NodeLog,
  NodeWrite,
  RecoveryReport,
} from "../log_store.ts";
import { CopyForward } from "./copy_forward.ts";
import { hiddenNode } from "./doubt.ts";
import { recordKind } from "./format.ts";
import type { WalNodeLog } from "./node_log.ts";
import { NodeTable } from "./node_table.ts";
import { recover } from "./recovery.ts";
import { SegmentRoll } from "./roll.ts";
import { SegmentList } from "./segment.ts";
import { SpareSegment, temporaryName } from "./spare.ts";
import {
  batchBytesOf,
  type EmptyKind,
  groupBytesMax,
  LogWriter,
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
  /** What damage means: the log is refused, which is the default, or opened to be mended (rule L7). */
  readonly onDamage?: "refuse" | "mend";
}

/** While the disk is full, a quarter of the last segment is kept for groups with less than this of batches (rule L5). */
const smallBatchBytes = 4 * 1024;
const reserveParts = 4;
/** Bytes copied forward when nothing else is to do. */
const idleCopyBytes = 1024 * 1024;
/** A write-ahead log in a folder. */
export class Wal implements LogStore {
  /** What `open` found. */
  readonly recovery: RecoveryReport;
  readonly #options: WalOptions;
  readonly #yield: () => Promise<void>;
  readonly #segments: SegmentList;
  readonly #nodes: NodeTable;
  readonly #writer: LogWriter;
  readonly #spare: SpareSegment;
  readonly #roll: SegmentRoll;
  readonly #copyForward: CopyForward;
  #failure: Error | undefined = undefined;
  #isClosed = false;
  #isCommitting = false;
  /** Ends when the operation under way, which is the only one, has ended. */
  #running: Promise<void> | undefined = undefined;
  /** Operations that wait for it. */
  #waiting = 0;

  private constructor(parts: {
    options: WalOptions;
    segments: SegmentList;
    nodes: NodeTable;
    spare: SpareSegment;
    recovery: RecoveryReport;
  }) {
    const { options, segments, nodes, spare, recovery } = parts;
    this.#options = options;
    this.#yield = options.yield ?? noTurn;
    this.#segments = segments;
    this.#nodes = nodes;
    this.#spare = spare;
    this.recovery = recovery;
    const { crc32, logger } = options;
    const writer = new LogWriter({ segments, nodes, crc32 });
    this.#writer = writer;
    this.#roll = new SegmentRoll({
      ...options,
      segments,
      nodes,
      writer,
      spare,
    });
    this.#copyForward = new CopyForward({ segments, nodes, writer, logger });
  }

  /**
   * Opens the log in a folder: reads it, and writes what may not be durable into a fresh segment (rule L2).
   *
   * @throws {RaftError} `corruption` with path and offset, `diskFailed`, or `diskFull` if there is no room for a segment.
   */
  static async open(options: WalOptions): Promise<Wal> {
    const { fileSystem, dir, segmentBytes, crc32, logger } = options;
    const turn = options.yield ?? noTurn;
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
      const recovered = await recover({
        fileSystem,
        dir,
        crc32,
        segments,
        nodes,
        mends: options.onDamage === "mend",
        yield: turn,
      });
      const recovery = recovered.report;
      const wal = new Wal({ options, segments, nodes, spare, recovery });
      await wal.#roll.begin(recovered);
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
    return this.#nodes.all.filter(isNode).map(
      ({ clusterId, nodeId }) => ({ clusterId, nodeId }),
    );
  }

  /** Ids of the nodes of a cluster that have data here, ascending: hardly ever more than one. */
  nodesOf(clusterId: number): readonly number[] {
    return this.#nodes.ofCluster(clusterId).filter(isNode)
      .map(({ nodeId }) => nodeId).sort((a, b) => a - b);
  }

  /** The nodes that damage took something from (rule L7), by cluster and node id. */
  damagedNodes(): readonly {
    readonly clusterId: number;
    readonly nodeId: number;
  }[] {
    return this.#nodes.all.filter((node) => node.isDamaged && isNode(node)).map(
      ({ clusterId, nodeId }) => ({ clusterId, nodeId }),
    );
  }

  /** Where damage was that may have hidden nodes of which the log says nothing, for people; undefined if nowhere. */
  get hiddenDamage(): string | undefined {
    const { clusterId, nodeId } = hiddenNode;
    return this.#nodes.find(clusterId, nodeId)?.damage()?.reason;
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
    this.#waiting++;
    while (this.#running !== undefined) await this.#running;
    this.#waiting--;
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
    this.#roll.tidy();
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
    const { stateBytes } = this.#roll;
    const log = { diskBytes: this.#diskBytes, stateBytes };
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
    const batchBytes = writes.reduce((sum, one) => sum + batchBytesOf(one), 0);
    const isSmall = batchBytes <= smallBatchBytes;
    return groupBytes <= (isSmall ? room : room - size / reserveParts);
  }

  /** @throws {RaftError} `diskFull`: nothing was written; `diskFailed`. */
  async #nextSegment(groupBytes: number): Promise<void> {
    try {
      await this.#roll.next(groupBytes);
    } catch (error) {
      const isDiskFull = error instanceof RaftError &&
        error.code === "diskFull";
      throw isDiskFull ? error : this.#fail(error);
    }
  }

  /** Makes it provable that what was written is durable; copies forward meanwhile, for nothing else is to do. */
  async #prove(): Promise<void> {
    await this.#copyWhileIdle();
    try {
      await this.#proveWith(recordKind.proof);
    } catch (error) {
      throw this.#fail(error);
    }
    this.#roll.tidy();
    this.#writer.rest();
    this.#spare.hurry();
    if (this.isDiskFull) this.#roll.retry();
  }

  async #copyWhileIdle(): Promise<void> {
    while (this.#waiting === 0 && this.#copyBudget(0) > 0) {
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
        const copied = this.#copyForward.step(idleCopyBytes, 0);
        this.#writer.finishGroup();
        await this.#writer.sync();
        if (copied === 0) return;
      } catch (error) {
        throw this.#fail(error);
      }
      this.#roll.tidy();
      await this.#yield();
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

/** Whether it is a node, with data. */
function isNode(node: WalNodeLog): boolean {
  return node.isWritten && node.clusterId !== hiddenNode.clusterId;
}

/** For whoever has no event loop to care for. */
function noTurn(): Promise<void> {
  return Promise.resolve();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
