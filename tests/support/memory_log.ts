/** A durable log in memory, for tests of the core: what `storage/log_store.ts` says of one node's part. */
import { assert } from "../../raft/core/assert.ts";
import type {
  EntryBatch,
  HardState,
  LogStorage,
  SnapshotMeta,
} from "../../raft/core/types.ts";

/** What one write makes durable, all or nothing. */
export interface LogWrite {
  readonly hardState: HardState | undefined;
  readonly batches: readonly EntryBatch[];
  readonly snapshot: SnapshotMeta | undefined;
}

/** One node's durable log. It outlives the node. */
export class MemoryLog implements LogStorage {
  #hardState: HardState | undefined;
  #snapshot: SnapshotMeta | undefined;
  #batches: EntryBatch[] = [];
  /** The entry before the first batch. */
  #before = { index: 0, term: 0 };

  hardState(): HardState | undefined {
    return this.#hardState;
  }

  snapshot(): SnapshotMeta | undefined {
    return this.#snapshot;
  }

  firstIndex(): number {
    return this.#batches[0]?.firstIndex ?? this.#before.index + 1;
  }

  lastIndex(): number {
    return this.#batches.at(-1)?.lastIndex ?? this.#before.index;
  }

  termOf(index: number): number | undefined {
    if (index === this.#before.index) return this.#before.term;
    return this.batchAt(index)?.term;
  }

  batchAt(index: number): EntryBatch | undefined {
    return this.#batches.find((batch) =>
      batch.firstIndex <= index && index <= batch.lastIndex
    );
  }

  /** All batches, for comparisons. */
  batches(): readonly EntryBatch[] {
    return this.#batches;
  }

  /** Performs a write. */
  write(write: LogWrite): void {
    if (write.snapshot !== undefined) this.#install(write.snapshot);
    for (const batch of write.batches) {
      while ((this.#batches.at(-1)?.lastIndex ?? 0) >= batch.firstIndex) {
        this.#batches.pop();
      }
      assert(
        batch.firstIndex <= this.lastIndex() + 1,
        "a log must not have a gap",
      );
      this.#batches.push(batch);
    }
    if (write.hardState !== undefined) this.#hardState = write.hardState;
  }

  /** A snapshot of this node's own, at an index that the log holds; keeps what `write` of another's would not. */
  takeSnapshot(snapshot: SnapshotMeta): void {
    assert(
      snapshot.index > (this.#snapshot?.index ?? 0),
      "snapshots must advance",
    );
    this.#snapshot = snapshot;
  }

  /** Removes whole batches up to `index`, which a snapshot must cover. */
  compactTo(index: number): void {
    assert(
      index <= (this.#snapshot?.index ?? 0),
      "only what a snapshot covers may be compacted",
    );
    for (;;) {
      const first = this.#batches[0];
      if (first === undefined || first.lastIndex > index) return;
      this.#before = { index: first.lastIndex, term: first.term };
      this.#batches.shift();
    }
  }

  #install(snapshot: SnapshotMeta): void {
    this.#snapshot = snapshot;
    if (this.termOf(snapshot.index) === snapshot.term) return;
    this.#batches = [];
    this.#before = { index: snapshot.index, term: snapshot.term };
  }
}
