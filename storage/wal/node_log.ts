/** One node's part of the log: its index and what else is known of it. The log's writer and recovery change it alike. */
import { assert } from "../../raft/core/assert.ts";
import { openBatch } from "../../raft/core/entry_batch.ts";
import type {
  Crc32,
  EntryBatch,
  HardState,
  SnapshotMeta,
} from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import type {
  Bootstrap,
  LogDamage,
  NodeLog,
  PeerIdentity,
} from "../log_store.ts";
import { BatchIndex, type BatchPlace } from "./index.ts";
import {
  decodeProfile,
  emptyProfile,
  encodeProfile,
  type NodeProfile,
  snapshotPlace,
  tellsDamage,
} from "./profile.ts";
import type { SegmentList } from "./segment.ts";

/** What all nodes of a log share. */
export interface LogContext {
  readonly segments: SegmentList;
  readonly crc32: Crc32;
}

/** The ends of a node's log. */
export interface LogBounds {
  /** The last index that is gone by compaction or snapshot; the log begins behind it. */
  readonly compactedIndex: number;
  /** The term of that entry. */
  readonly compactedTerm: number;
  /** The last entry's index. */
  readonly lastIndex: number;
}

/** A node's part of the write-ahead log. */
export class WalNodeLog implements NodeLog {
  readonly clusterId: number;
  readonly nodeId: number;
  /** The next node of the same cluster on this NodeHost. */
  sibling: WalNodeLog | undefined = undefined;
  /** Whether anything was ever written. */
  isWritten = false;
  /** Number of the segment whose checkpoint named this node last; for recovery. */
  checkpointedIn = 0;
  readonly #context: LogContext;
  readonly #index = new BatchIndex();
  #hardState: HardState | undefined = undefined;
  #compactedIndex = 0;
  #compactedTerm = 0;
  #lastIndex = 0;
  #profileBytes: Uint8Array | undefined = undefined;
  #profile: NodeProfile | undefined = undefined;

  /** Makes the log of a node that nothing was written for. */
  constructor(context: LogContext, clusterId: number, nodeId: number) {
    this.#context = context;
    this.clusterId = clusterId;
    this.nodeId = nodeId;
  }

  /** See `LogStorage`. */
  hardState(): HardState | undefined {
    return this.#hardState;
  }

  /** See `LogStorage`. */
  snapshot(): SnapshotMeta | undefined {
    return this.#readProfile().snapshot;
  }

  /** See `NodeLog`. */
  bootstrap(): Bootstrap | undefined {
    return this.#readProfile().bootstrap;
  }

  /** See `NodeLog`. */
  peers(): readonly PeerIdentity[] {
    return this.#readProfile().peers;
  }

  /** See `NodeLog`. */
  damage(): LogDamage | undefined {
    return this.isDamaged ? this.#readProfile().damage : undefined;
  }

  /** Whether there is any, without decoding the rest. */
  get isDamaged(): boolean {
    return this.#profileBytes !== undefined && tellsDamage(this.#profileBytes);
  }

  /** See `LogStorage`. */
  firstIndex(): number {
    return this.#compactedIndex + 1;
  }

  /** See `LogStorage`. */
  lastIndex(): number {
    return this.#lastIndex;
  }

  /** See `LogStorage`. */
  termOf(index: number): number | undefined {
    if (index === this.#compactedIndex) {
      // A batch in which a snapshot ends does not say what stands before it.
      return index > 0 && this.#compactedTerm === 0
        ? undefined
        : this.#compactedTerm;
    }
    const row = this.#index.find(index);
    return row < 0 ? undefined : this.#index.termOf(row);
  }

  /**
   * See `LogStorage`.
   *
   * @throws {RaftError} `corruption` if the batch on disk is not the one that was written.
   */
  batchAt(index: number): EntryBatch | undefined {
    const row = this.#index.find(index);
    if (row < 0) return undefined;
    const bytes = new Uint8Array(this.#index.lengthOf(row));
    return this.readRow(row, bytes);
  }

  /** Rows of the index. */
  get index(): BatchIndex {
    return this.#index;
  }

  /** The ends of the log. */
  get bounds(): LogBounds {
    return {
      compactedIndex: this.#compactedIndex,
      compactedTerm: this.#compactedTerm,
      lastIndex: this.#lastIndex,
    };
  }

  /** The encoded profile, or undefined if it is empty. */
  get profileBytes(): Uint8Array | undefined {
    return this.#profileBytes;
  }

  /** Reads the batch of a row into `bytes`, which has its length, and checks it. */
  readRow(row: number, bytes: Uint8Array): EntryBatch {
    const index = this.#index;
    const segment = this.#context.segments.get(index.segmentOf(row));
    const offset = index.offsetOf(row);
    const count = segment.file.readAt(bytes, offset);
    const batch = openBatch(bytes.subarray(0, count), this.#context.crc32);
    const defect = typeof batch === "string"
      ? `it is no batch (${batch})`
      : batch.firstIndex !== index.firstIndexOf(row) ||
          batch.lastIndex !== index.lastIndexOf(row) ||
          batch.term !== index.termOf(row)
      ? `entries ${batch.firstIndex} to ${batch.lastIndex} of term ${batch.term} are there`
      : undefined;
    if (typeof batch === "string" || defect !== undefined) {
      throw new RaftError(
        "corruption",
        `Cannot read entry ${index.firstIndexOf(row)} of cluster ` +
          `${this.clusterId}, node ${this.nodeId}: ${segment.path} is damaged ` +
          `at offset ${offset}: ${defect}`,
      );
    }
    return batch;
  }

  /** Sets the hard state. */
  setHardState(hardState: HardState | undefined): void {
    this.#hardState = hardState;
  }

  /** Sets snapshot, bootstrap and peers from their encoding, which now belongs to this object. */
  setProfileBytes(bytes: Uint8Array | undefined): void {
    this.#profileBytes = bytes;
    this.#profile = undefined;
  }

  /** Sets those of snapshot, bootstrap and peers that are given; a snapshot older than the one known is ignored. */
  changeProfile(change: {
    snapshot: SnapshotMeta | undefined;
    bootstrap: Bootstrap | undefined;
    peers: readonly PeerIdentity[] | undefined;
  }): void {
    const known = this.#readProfile();
    const isNewer = change.snapshot !== undefined &&
      change.snapshot.index >= (known.snapshot?.index ?? 0);
    this.#setProfile({
      ...known,
      snapshot: isNewer ? change.snapshot : known.snapshot,
      bootstrap: change.bootstrap ?? known.bootstrap,
      peers: change.peers ?? known.peers,
    });
  }

  /** Says what damage took, or with undefined that nothing is missing any more. */
  setDamage(damage: LogDamage | undefined): void {
    this.#setProfile({ ...this.#readProfile(), damage });
    this.dropDamaged();
  }

  /** Removes the rows of entries that are said to be missing: they are from before the damage, and in doubt. */
  dropDamaged(): void {
    const damage = this.damage();
    if (damage?.kind !== "entries") return;
    const { firstIndex, lastIndex } = damage;
    const { release } = this.#context.segments;
    this.#index.removeBetween(firstIndex, lastIndex, release);
  }

  #setProfile(profile: NodeProfile): void {
    this.#profileBytes = encodeProfile(profile);
    this.#profile = profile;
  }

  /** Whether the log does not hold what the snapshot ends with, so that it has to be emptied. */
  isOvertakenBy(snapshot: { index: number; term: number }): boolean {
    if (snapshot.index < this.#compactedIndex) return false;
    return this.termOf(snapshot.index) !== snapshot.term;
  }

  /** Empties the log; it continues behind its snapshot. */
  resetToSnapshot(): void {
    assert(this.#profileBytes !== undefined, "a reset needs a snapshot");
    const { index, term } = snapshotPlace(this.#profileBytes);
    this.#index.clear(this.#context.segments.release);
    this.#compactedIndex = index;
    this.#compactedTerm = term;
    this.#lastIndex = index;
  }

  /**
   * Whether a batch could be appended. One may begin before the snapshot that the log was emptied for, if that ends inside
   * it (rule B2).
   */
  canAppend(firstIndex: number, entryCount: number): boolean {
    if (firstIndex > this.#lastIndex + 1) return false;
    return firstIndex > this.#compactedIndex ||
      this.#index.count === 0 &&
        firstIndex + entryCount - 1 > this.#compactedIndex;
  }

  /** Whether a batch that begins at `firstIndex` would cut another one in two (rule B1). */
  wouldSplit(firstIndex: number): boolean {
    const row = this.#index.find(firstIndex);
    return row >= 0 && this.#index.firstIndexOf(row) !== firstIndex;
  }

  /** Appends a batch, cutting off what stands at and behind its first index (rule B1: whole batches). */
  append(place: BatchPlace): void {
    assert(
      this.canAppend(place.firstIndex, place.entryCount),
      "a batch must follow the log without a gap",
    );
    if (place.firstIndex <= this.#compactedIndex) {
      this.#compactedIndex = place.firstIndex - 1;
      this.#compactedTerm = 0;
    }
    const { segments } = this.#context;
    if (place.firstIndex <= this.#lastIndex) {
      this.#index.truncateFrom(place.firstIndex, segments.release);
      const { count } = this.#index;
      assert(
        count === 0 ||
          this.#index.lastIndexOf(count - 1) < place.firstIndex,
        "a conflict must fall between two batches (rule B1)",
      );
    }
    this.#index.push(place);
    segments.retain(place.segment, place.length);
    this.#lastIndex = place.firstIndex + place.entryCount - 1;
  }

  /** Appends a batch before which damage may have left a gap, or entries that were cut off: what overlaps it goes. */
  appendInDoubt(place: BatchPlace): void {
    const { segments } = this.#context;
    const row = this.#index.find(place.firstIndex);
    const from = row < 0 ? place.firstIndex : this.#index.firstIndexOf(row);
    this.#index.truncateFrom(from, segments.release);
    this.#index.push(place);
    segments.retain(place.segment, place.length);
    this.#lastIndex = place.firstIndex + place.entryCount - 1;
  }

  /** The first and the last entry that no batch holds, whether or not that is known; undefined if all are there. */
  missing(): { firstIndex: number; lastIndex: number } | undefined {
    return this.#index.missingBetween(
      this.#compactedIndex,
      this.#lastIndex + 1,
    );
  }

  /** Lets the log begin behind missing entries that its snapshot covers; false if it cannot. */
  compactOver({ kind, lastIndex }: LogDamage): boolean {
    const snapshot = this.snapshot();
    if (kind === "lost" || snapshot === undefined) return false;
    const row = this.#index.firstEndingFrom(lastIndex + 1);
    if (
      row < this.#index.count && this.#index.lastIndexOf(row) <= snapshot.index
    ) {
      this.compactTo(this.#index.lastIndexOf(row), this.#index.termOf(row));
      return true;
    }
    if (lastIndex !== snapshot.index) return false;
    this.setBounds({
      compactedIndex: snapshot.index,
      compactedTerm: snapshot.term,
      lastIndex: this.#lastIndex,
    });
    return true;
  }

  /** The last index of the batch that holds `index`; `index` itself if none does. */
  endOfBatchWith(index: number): number {
    const row = this.#index.find(index);
    return row < 0 ? index : this.#index.lastIndexOf(row);
  }

  /** Puts a batch that was copied forward in its place. */
  placeMoved(place: BatchPlace): void {
    const { segments } = this.#context;
    this.#index.place(place, segments.release);
    segments.retain(place.segment, place.length);
  }

  /** Says that a row's batch was copied forward. */
  relocate(row: number, segment: number, offset: number): void {
    const { segments } = this.#context;
    const length = this.#index.lengthOf(row);
    segments.release(this.#index.segmentOf(row), length);
    segments.retain(segment, length);
    this.#index.relocate(row, segment, offset);
  }

  /** Where the log will begin if whole batches up to `index` go. */
  compactionFor(index: number): { index: number; term: number } {
    const row = this.#index.firstEndingFrom(index + 1) - 1;
    return row < 0
      ? { index: this.#compactedIndex, term: this.#compactedTerm }
      : { index: this.#index.lastIndexOf(row), term: this.#index.termOf(row) };
  }

  /** Removes the batches that end at or before `index`, an index that a batch ended with. */
  compactTo(index: number, term: number): void {
    if (index <= this.#compactedIndex) return;
    assert(index <= this.#lastIndex, "compaction must stay within the log");
    this.#index.dropTo(index, this.#context.segments.release);
    this.#compactedIndex = index;
    this.#compactedTerm = term;
  }

  /** Sets the ends of the log as a checkpoint has them; batches beyond them are void. */
  setBounds(bounds: LogBounds): void {
    const { release } = this.#context.segments;
    this.#compactedIndex = bounds.compactedIndex;
    this.#compactedTerm = bounds.compactedTerm;
    this.#lastIndex = bounds.lastIndex;
    this.#index.dropTo(bounds.compactedIndex, release);
    this.#index.truncateFrom(bounds.lastIndex + 1, release);
    const { count } = this.#index;
    if (count > 0 && this.#index.lastIndexOf(count - 1) > bounds.lastIndex) {
      this.#index.truncateFrom(this.#index.firstIndexOf(count - 1), release);
    }
    if (
      this.#index.count > 0 &&
      this.#index.firstIndexOf(0) <= bounds.compactedIndex
    ) {
      this.#index.dropTo(this.#index.lastIndexOf(0), release);
    }
  }

  /** The first index of the log that no batch holds, or undefined. */
  firstMissing(): number | undefined {
    const damage = this.damage();
    if (damage?.kind === "lost") return undefined; // It is never asked again.
    return this.#index.firstMissing(
      this.#compactedIndex,
      this.#lastIndex,
      damage,
    );
  }

  /** Forgets everything. */
  clear(): void {
    this.#index.clear(this.#context.segments.release);
    this.isWritten = false;
    this.#hardState = undefined;
    this.#compactedIndex = 0;
    this.#compactedTerm = 0;
    this.#lastIndex = 0;
    this.setProfileBytes(undefined);
  }

  #readProfile(): NodeProfile {
    if (this.#profile === undefined) {
      const bytes = this.#profileBytes;
      const profile = bytes === undefined ? emptyProfile : decodeProfile(bytes);
      assert(profile !== undefined, "a profile was checked when it was read");
      this.#profile = profile;
    }
    return this.#profile;
  }
}
