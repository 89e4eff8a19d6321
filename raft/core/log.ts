/**
 * The log as the protocol sees it: durable batches in storage, and a tail in memory (`unstable.ts`) with all that is
 * not yet durable or not yet applied. Four marks move through it:
 *
 * ```text
 *   firstIndex ... applied ... commit ........ lastIndex
 *                  applied <= persisted ...... lastIndex
 * ```
 *
 * `persisted` counts only what is durable *and still in this log*: a write that was issued before a truncation
 * proves nothing about what was cut (the ABA case of rule C1). Each outstanding write therefore carries how far it
 * proves the log, and a truncation lowers that.
 */
import { assert } from "./assert.ts";
import type { EntryBatch, LogStorage, SnapshotMeta } from "./types.ts";
import { Unstable } from "./unstable.ts";

/** Contiguous batches to send or apply. */
export interface BatchRun {
  /** Index before the first batch. */
  readonly prevLogIndex: number;
  /** Term of that index, or undefined if it is no longer known. */
  readonly prevLogTerm: number | undefined;
  /** Last index of the last batch. */
  readonly lastIndex: number;
  /** Bytes of the batches. */
  readonly byteCount: number;
  /** The batches, at least one. */
  readonly batches: readonly EntryBatch[];
  /** Whether they had to be read from storage. */
  readonly isFromStorage: boolean;
}

/** A write that was handed out and is not yet reported durable. */
export interface OutstandingWrite {
  /** From the update. */
  readonly writeId: number;
  /** The term that is durable with it. */
  readonly term: number;
  /** The vote that is durable with it. */
  readonly votedFor: number;
  /** How far it proves the log durable; a truncation lowers it. */
  lastIndex: number;
}

const noBatches: readonly EntryBatch[] = [];

/** One node's log. */
export class RaftLog {
  readonly #storage: LogStorage;
  readonly #unstable = new Unstable();
  readonly #retainBytes: number;
  #commit: number;
  #applied: number;
  #persisted: number;
  #lastIndex: number;
  #lastTerm: number;
  /** Batches up to here were handed out to be written. */
  #handedOut: number;
  /** Entries up to here were handed out to be applied. */
  #applying: number;
  /** The last restored snapshot: nothing below it is read from storage any more. */
  #base = { index: 0, term: 0 };
  #writes: OutstandingWrite[] = [];
  /** Indexes of the membership changes above `applied`, ascending, as far as they were seen. */
  #changes: number[] = [];
  /** Storage between `applied` and here was not searched for membership changes yet. */
  #unsearchedTo: number;
  /** A batch that was read from storage and did not fit; likely the next one asked for. */
  #readAhead: EntryBatch | undefined = undefined;

  /** Opens the log over what is durable; `applied` is what the state machine holds, `commit` what is known. */
  constructor(
    storage: LogStorage,
    start: { applied: number; commit: number; retainBytes: number },
  ) {
    const lastIndex = storage.lastIndex();
    assert(
      start.commit <= lastIndex,
      "the commit index must be in the log: was the log truncated or lost?",
    );
    assert(
      start.applied <= lastIndex,
      "the applied index must be in the log: was the log truncated or lost?",
    );
    const lastTerm = storage.termOf(lastIndex);
    assert(lastTerm !== undefined, "the last entry must have a term");
    this.#storage = storage;
    this.#retainBytes = start.retainBytes;
    this.#commit = Math.max(start.commit, start.applied);
    this.#applied = start.applied;
    this.#applying = start.applied;
    this.#persisted = lastIndex;
    this.#lastIndex = lastIndex;
    this.#lastTerm = lastTerm;
    this.#handedOut = lastIndex;
    this.#unsearchedTo = lastIndex;
  }

  /** Highest index known to be committed. */
  get commit(): number {
    return this.#commit;
  }

  /** Highest index applied to the state machine. */
  get applied(): number {
    return this.#applied;
  }

  /** Highest index up to which this log is durable here. */
  get persisted(): number {
    return this.#persisted;
  }

  /** Index of the last entry, or of the snapshot if there is none after it. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** Term of the entry at `lastIndex`. */
  get lastTerm(): number {
    return this.#lastTerm;
  }

  /** Bytes of the entries in memory that are not durable or not applied yet. */
  get unappliedBytes(): number {
    return this.#unstable.neededBytes;
  }

  /** First index in storage. */
  get firstIndex(): number {
    return Math.max(this.#storage.firstIndex(), this.#base.index + 1);
  }

  /** The latest durable snapshot. */
  get snapshot(): SnapshotMeta | undefined {
    return this.#storage.snapshot();
  }

  /** Whether a restored snapshot was not applied yet, so that nothing else can be. */
  get isRestoring(): boolean {
    return this.#applied < this.#base.index;
  }

  /** Term of the entry at `index`; undefined if it was compacted or is beyond the end. */
  termOf(index: number): number | undefined {
    if (index === this.#lastIndex) return this.#lastTerm;
    if (index > this.#lastIndex || index < 0) return undefined;
    const position = this.#unstable.positionOf(index);
    if (position >= 0) return this.#unstable.at(position).term;
    if (index === this.#base.index) return this.#base.term;
    if (index < this.#base.index) return undefined;
    return this.#storage.termOf(index);
  }

  /** Whether the log holds an entry with this index and term, and so all before it (paper 5.3). */
  holds(index: number, term: number): boolean {
    return this.termOf(index) === term;
  }

  /** Whether a log that ends with this index and term is at least as up to date as this one (paper 5.4.1). */
  isUpToDate(lastLogIndex: number, lastLogTerm: number): boolean {
    return lastLogTerm > this.#lastTerm ||
      (lastLogTerm === this.#lastTerm && lastLogIndex >= this.#lastIndex);
  }

  /**
   * Highest index up to `index` whose term is at most `term`. What lies above it cannot match a log in which `index`
   * has that term, since terms never decrease along a log (paper 5.3). Compacted entries count as matching.
   */
  lastIndexUpToTerm(index: number, term: number): number {
    let low = 0;
    let high = Math.min(index, this.#lastIndex);
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      const found = this.termOf(middle);
      if (found === undefined || found <= term) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /**
   * Whether a batch may take the place of what the log holds from its first index on: nothing committed is lost, the
   * cut falls between two batches (rule B1), and terms do not decrease. False means that somebody broke a rule.
   */
  canAppend(batch: EntryBatch): boolean {
    if (batch.firstIndex === this.#lastIndex + 1) {
      return batch.term >= this.#lastTerm;
    }
    const kept = this.#keptBefore(batch.firstIndex);
    if (kept < this.#commit || kept < batch.firstIndex - 1) return false;
    if ((this.termOf(kept) ?? 0) > batch.term) return false;
    return kept === this.#lastIndex ||
      this.#batchAt(kept + 1)?.firstIndex === kept + 1;
  }

  /** Whether the log is known to hold another entry at `index`. */
  contradicts(index: number, term: number): boolean {
    const held = this.termOf(index);
    return held !== undefined && held !== term;
  }

  /** Adds a batch, in place of whatever the log holds from its first index on. */
  append(batch: EntryBatch): void {
    assert(
      batch.firstIndex <= this.#lastIndex + 1,
      "a batch must not leave a gap",
    );
    assert(
      batch.lastIndex > this.#commit,
      "committed entries must not be replaced",
    );
    if (batch.firstIndex <= this.#lastIndex) this.#truncateFor(batch);
    assert(
      batch.term >= this.#lastTerm,
      "terms must not decrease along the log",
    );
    this.#unstable.push(batch);
    this.#lastIndex = batch.lastIndex;
    this.#lastTerm = batch.term;
    if (batch.isConfigChange) this.#changes.push(batch.firstIndex);
  }

  /** Advances the commit index; it never moves back (paper, figure 2). Tells whether it moved. */
  commitTo(index: number): boolean {
    assert(
      index <= this.#lastIndex,
      "the commit index must be in the log: was the log truncated or lost?",
    );
    if (index <= this.#commit) return false; // Old news from a reordered message.
    this.#commit = index;
    return true;
  }

  /** Whether there are batches to hand out for writing. */
  hasUnwritten(): boolean {
    return this.#handedOut < this.#lastIndex;
  }

  /** Batches that were never handed out for writing, in order. */
  takeUnwritten(): readonly EntryBatch[] {
    if (!this.hasUnwritten()) return noBatches;
    const batches: EntryBatch[] = [];
    let position = this.#unstable.count;
    while (
      position > 0 &&
      this.#unstable.at(position - 1).lastIndex > this.#handedOut
    ) position--;
    for (; position < this.#unstable.count; position++) {
      batches.push(this.#unstable.at(position));
    }
    this.#handedOut = this.#lastIndex;
    return batches;
  }

  /** A write was handed out; once durable it proves the log up to where it stands now. */
  recordWrite(
    state: { term: number; votedFor: number },
    writeId: number,
  ): void {
    this.#writes.push({
      writeId,
      term: state.term,
      votedFor: state.votedFor,
      lastIndex: this.#handedOut,
    });
  }

  /** `writeId` and all before it are durable. Returns the last write that this completes, if any. */
  persistedTo(writeId: number): OutstandingWrite | undefined {
    let count = 0;
    let last: OutstandingWrite | undefined = undefined;
    for (; count < this.#writes.length; count++) {
      const write = this.#writes[count] as OutstandingWrite;
      if (write.writeId > writeId) break;
      last = write;
    }
    if (last === undefined) return undefined;
    // Few writes are outstanding at a time, so moving the rest is cheap.
    this.#writes.splice(0, count);
    if (last.lastIndex > this.#persisted) this.#persisted = last.lastIndex;
    this.#evict();
    return last;
  }

  /** Whether a range could be handed out for applying (rule C3). */
  hasCommitted(): boolean {
    return this.#applying === this.#applied &&
      this.#applied < Math.min(this.#commit, this.#persisted) &&
      !this.isRestoring;
  }

  /** The next entries to apply; the caller has asked `hasCommitted()`. At most one range is outstanding. */
  takeCommitted(
    maxBytes: number,
  ): { firstIndex: number; lastIndex: number; batches: readonly EntryBatch[] } {
    const firstIndex = this.#applied + 1;
    const limit = Math.min(this.#commit, this.#persisted);
    const run = this.run({ index: firstIndex, limit, maxBytes });
    assert(run !== undefined, "committed entries must be readable");
    // Commit may fall inside a batch (rule B2).
    const lastIndex = Math.min(limit, run.lastIndex);
    this.#applying = lastIndex;
    return { firstIndex, lastIndex, batches: run.batches };
  }

  /** The state machine has applied the entries up to `index`. */
  appliedTo(index: number): void {
    assert(index <= this.#commit, "only committed entries may be applied");
    if (index <= this.#applied) return;
    this.#applied = index;
    if (this.#applying < index) this.#applying = index;
    while (this.#changes.length > 0 && (this.#changes[0] as number) <= index) {
      this.#changes.shift();
    }
    this.#evict();
  }

  /**
   * Whole batches from the one that holds `index` to the one that holds `limit`, as many as fit `maxBytes` and at
   * least one. Undefined if `index` is compacted.
   */
  run(
    from: { index: number; limit: number; maxBytes: number },
  ): BatchRun | undefined {
    const position = this.#unstable.positionOf(from.index);
    if (position < 0) return this.#runFromStorage(from);
    const unstable = this.#unstable;
    const first = unstable.at(position);
    const batches = [first];
    let byteCount = first.bytes.length;
    let lastIndex = first.lastIndex;
    for (let next = position + 1; next < unstable.count; next++) {
      const batch = unstable.at(next);
      if (batch.firstIndex > from.limit) break;
      if (byteCount + batch.bytes.length > from.maxBytes) break;
      batches.push(batch);
      byteCount += batch.bytes.length;
      lastIndex = batch.lastIndex;
    }
    return {
      prevLogIndex: first.firstIndex - 1,
      prevLogTerm: position > 0
        ? unstable.at(position - 1).term
        : this.termOf(first.firstIndex - 1),
      lastIndex,
      byteCount,
      batches,
      isFromStorage: false,
    };
  }

  /** Replaces the whole log by a snapshot that lies beyond it or contradicts it (paper, figure 13, steps 6 and 7). */
  restore(snapshot: SnapshotMeta): void {
    assert(
      snapshot.index > this.#commit,
      "a snapshot must not replace committed entries",
    );
    this.#unstable.clear();
    this.#persisted = Math.min(this.#persisted, this.#commit);
    this.#base = { index: snapshot.index, term: snapshot.term };
    this.#lastIndex = snapshot.index;
    this.#lastTerm = snapshot.term;
    this.#commit = snapshot.index;
    this.#handedOut = snapshot.index;
    this.#changes = [];
    this.#unsearchedTo = 0;
    this.#readAhead = undefined;
    // What older writes prove is gone; the write of the snapshot itself proves it anew.
    for (const write of this.#writes) write.lastIndex = 0;
  }

  /** Membership changes above the applied index, ascending. Searches storage once after a restart. */
  unappliedChanges(): readonly number[] {
    if (this.#unsearchedTo > this.#applied) {
      const found: number[] = [];
      let index = this.#applied + 1;
      while (index <= this.#unsearchedTo) {
        const batch = this.#batchAt(index);
        assert(batch !== undefined, "unapplied entries must be readable");
        if (batch.isConfigChange) found.push(batch.firstIndex);
        index = batch.lastIndex + 1;
      }
      this.#changes = found.concat(this.#changes);
    }
    this.#unsearchedTo = 0;
    return this.#changes;
  }

  /** Everything that decides what happens next, as plain values: for tests that look whether two states are the same. */
  fingerprint(): unknown[] {
    return [
      this.#commit,
      this.#applied,
      this.#applying,
      this.#persisted,
      this.#handedOut,
      this.#lastIndex,
      this.#lastTerm,
      this.#base,
      this.#writes,
      this.#changes,
      this.#unsearchedTo,
      this.#readAhead?.firstIndex,
      this.#unstable.fingerprint(),
    ];
  }

  /** Asserts what holds between any two calls. Costs in proportion to the tail in memory. */
  checkState(): void {
    assert(this.#applied <= this.#commit, "applied must not pass commit");
    assert(this.#commit <= this.#lastIndex, "commit must be in the log");
    assert(this.#persisted <= this.#lastIndex, "persisted must be in the log");
    assert(this.#handedOut <= this.#lastIndex, "written must be in the log");
    assert(
      this.isRestoring || this.#applied <= this.#persisted,
      "only durable entries may be applied",
    );
    assert(
      this.#applying === this.#applied || this.#applying <= this.#commit,
      "only committed entries may be handed out",
    );
    this.#checkUnstable();
    let previous = this.#applied;
    for (const index of this.#changes) {
      assert(index > previous, "unapplied changes must ascend");
      assert(index <= this.#lastIndex, "unapplied changes must be in the log");
      previous = index;
    }
  }

  #checkUnstable(): void {
    const unstable = this.#unstable;
    if (unstable.count === 0) {
      assert(
        this.#handedOut === this.#lastIndex,
        "what is not written must be in memory",
      );
      return;
    }
    assert(
      unstable.lastIndex === this.#lastIndex,
      "the tail must reach the end",
    );
    assert(
      unstable.at(unstable.count - 1).term === this.#lastTerm,
      "the last term must be that of the last batch",
    );
    for (let position = 1; position < unstable.count; position++) {
      const before = unstable.at(position - 1);
      const batch = unstable.at(position);
      assert(
        batch.firstIndex === before.lastIndex + 1,
        "batches must be contiguous",
      );
      assert(batch.term >= before.term, "terms must not decrease");
    }
  }

  #batchAt(index: number): EntryBatch | undefined {
    const position = this.#unstable.positionOf(index);
    if (position >= 0) return this.#unstable.at(position);
    if (index > this.#lastIndex || index <= this.#base.index) return undefined;
    const ahead = this.#readAhead;
    if (
      ahead !== undefined && ahead.firstIndex <= index &&
      index <= ahead.lastIndex
    ) {
      this.#readAhead = undefined;
      return ahead;
    }
    return this.#storage.batchAt(index);
  }

  #runFromStorage(
    from: { index: number; limit: number; maxBytes: number },
  ): BatchRun | undefined {
    const first = this.#batchAt(from.index);
    if (first === undefined) return undefined;
    const batches = [first];
    let byteCount = first.bytes.length;
    let lastIndex = first.lastIndex;
    while (lastIndex < from.limit && byteCount < from.maxBytes) {
      const batch = this.#batchAt(lastIndex + 1);
      if (batch === undefined) break;
      if (byteCount + batch.bytes.length > from.maxBytes) {
        this.#readAhead = batch;
        break;
      }
      batches.push(batch);
      byteCount += batch.bytes.length;
      lastIndex = batch.lastIndex;
    }
    return {
      prevLogIndex: first.firstIndex - 1,
      prevLogTerm: this.termOf(first.firstIndex - 1),
      lastIndex,
      byteCount,
      batches,
      isFromStorage: true,
    };
  }

  /** Cuts the log where `batch` begins, so that it can be appended. */
  #truncateFor(batch: EntryBatch): void {
    const index = batch.firstIndex;
    assert(
      this.canAppend(batch),
      "a conflict must fall between uncommitted batches",
    );
    const kept = this.#keptBefore(index);
    this.#unstable.truncateFrom(index);
    const keptTerm = this.termOf(kept);
    assert(keptTerm !== undefined, "the entry before a cut must be known");
    this.#lastIndex = kept;
    this.#lastTerm = keptTerm;
    this.#handedOut = Math.min(this.#handedOut, kept);
    this.#persisted = Math.min(this.#persisted, kept);
    for (const write of this.#writes) {
      write.lastIndex = Math.min(write.lastIndex, kept);
    }
    this.#unsearchedTo = Math.min(this.#unsearchedTo, kept);
    while ((this.#changes.at(-1) ?? 0) > kept) this.#changes.pop();
    this.#readAhead = undefined;
  }

  /** What stays when a batch that begins at `index` comes in: what a snapshot covers is not cut (rule B2). */
  #keptBefore(index: number): number {
    const covered = Math.max(
      this.#base.index,
      this.#storage.snapshot()?.index ?? 0,
    );
    return Math.min(Math.max(index - 1, covered), this.#lastIndex);
  }

  #evict(): void {
    this.#unstable.evict(
      Math.min(this.#applied, this.#persisted),
      this.#retainBytes,
    );
  }
}
