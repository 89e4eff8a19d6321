/** What the NodeHost asks of its log; `wal/wal.ts` is the log. One log serves all clusters of a NodeHost. */
import type {
  EntryBatch,
  HardState,
  LogStorage,
  SnapshotMeta,
} from "../raft/core/types.ts";

/** How a node came to be: written once, before it takes part. */
export interface Bootstrap {
  /** Whether the node joins a running cluster, so that its members come from a snapshot or the log. */
  readonly join: boolean;
  /** Initial members, `[nodeId, address]` in ascending order; empty with `join`. */
  readonly initialMembers:
    readonly (readonly [nodeId: number, address: string])[];
  /** The node is a witness: it stores no payloads and has no state machine (rule C9). */
  readonly witness?: boolean;
  /** Which named factory of the NodeHost makes its state machine, or `""` for one given to `startCluster`. */
  readonly stateMachineName: string;
  /** First eight bytes, as hex, of a digest of the initial members; `""` while a joining node does not know it (rule I3). */
  readonly fingerprint: string;
  /** Raised when the cluster is rebuilt from an exported snapshot; 1 for a new one (rule I3). */
  readonly generation: number;
  /** Whether a majority of members has answered without a refusal, so that the node may vote (rule I2). */
  readonly admitted: boolean;
  /** The node's numeric settings, so that a restarted NodeHost starts it again by itself (rule I5). */
  readonly settings: readonly number[];
  /** Kind of its state machine; absent for a regular one. */
  readonly machineKind?: "concurrent" | "onDisk";
  /** Its data was removed for good: nothing else of it is kept, and its id never starts here again. */
  readonly isRemoved?: true;
}

/** What damage took from a node's log (rule L7). */
export interface LogDamage {
  /**
   * `entries`: those from `firstIndex` to `lastIndex` are missing. They are provably committed, so other members have
   * them, and the node is whole again when they are written with {@link NodeWrite.mended}. `lost`: a vote or an
   * acknowledgement may be gone, so the node must never take part again under its id.
   */
  readonly kind: "entries" | "lost";
  /** With `entries`; else 0. */
  readonly firstIndex: number;
  /** With `entries`; else 0. */
  readonly lastIndex: number;
  /** What was found and where, for people. */
  readonly reason: string;
}

/** Which NodeHost carries a member, as this node has seen it (rule I1). */
export interface PeerIdentity {
  readonly nodeId: number;
  readonly nodeHostId: string;
  readonly incarnation: number;
}

/**
 * One node's part of a group of writes. It becomes durable as a whole, together with the group. What it says is done in
 * this order: removal, or else snapshot, batches, compaction.
 */
export interface NodeWrite {
  readonly clusterId: number;
  readonly nodeId: number;
  /** The new hard state. */
  readonly hardState?: HardState;
  /** Batches in order; one that starts at or below the last index truncates what follows it. */
  readonly batches?: readonly EntryBatch[];
  /** A snapshot whose file is durable. If `index` is beyond the log, or the log differs there, the log is emptied. */
  readonly snapshot?: SnapshotMeta;
  /** Set or replace the bootstrap record. */
  readonly bootstrap?: Bootstrap;
  /** Set or replace the identities seen. */
  readonly peers?: readonly PeerIdentity[];
  /** Entries up to here (at most the snapshot's index) may go. Whole batches only. */
  readonly compactTo?: number;
  /**
   * The first of the entries that damage took, fetched from another member: they follow each other from the damage's first
   * index on. They cut off nothing.
   */
  readonly mended?: readonly EntryBatch[];
  /** The node's data is removed: a tombstone; the other fields are ignored. */
  readonly remove?: boolean;
}

/** One node's part of the log, as read back. */
export interface NodeLog extends LogStorage {
  readonly clusterId: number;
  readonly nodeId: number;
  /** The bootstrap record, or undefined for a node never started. */
  bootstrap(): Bootstrap | undefined;
  /** Identities seen. */
  peers(): readonly PeerIdentity[];
  /** What damage took from it, as long as that was not mended; undefined for a whole log. */
  damage(): LogDamage | undefined;
}

/** What recovery found. */
export interface RecoveryReport {
  /** Records read. */
  readonly recordCount: number;
  /** Bytes cut off as a torn tail, 0 if none. */
  readonly tornBytes: number;
  /** Where the torn tail began, or undefined. */
  readonly tornAt:
    | { readonly path: string; readonly offset: number }
    | undefined;
  /** Damage that was found and not refused, because the log was opened to be mended (rule L7). */
  readonly damage: readonly {
    readonly path: string;
    readonly offset: number;
    readonly what: string;
  }[];
}

/** A write-ahead log shared by all nodes of a NodeHost. */
export interface LogStore {
  /** What `open` found. */
  readonly recovery: RecoveryReport;
  /**
   * True while no further segment can be made because the disk is full (rule L5): proposals and snapshots must be
   * refused; small writes still fit. Becomes false by itself when space returns.
   */
  readonly isDiskFull: boolean;
  /** The error that closed the log for good, or undefined. */
  readonly failure: Error | undefined;
  /** All nodes with data, by cluster and node id. */
  nodes(): readonly { readonly clusterId: number; readonly nodeId: number }[];
  /** The node's part, which is empty if it was never written. The same object each time, until it is removed. */
  node(clusterId: number, nodeId: number): NodeLog;
  /**
   * Writes one group and, if `sync`, makes it and everything before it durable. Writes are in place, and readable
   * through `node()`, when the promise settles. At most one call may be outstanding.
   *
   * @throws {RaftError} `diskFailed` (outcome `unknown`): the log is closed for good; `diskFull` (outcome `notApplied`):
   * there is no room for the group, and nothing of it was written; or `closed`.
   */
  commitGroup(
    writes: readonly NodeWrite[],
    options: { sync: boolean },
  ): Promise<void>;
  /** Called when nothing was written for a second: proves the last sync by an empty record (rule L1). */
  idle(): Promise<void>;
  /** Bytes on disk and in memory, for figures. */
  usage(): {
    readonly diskBytes: number;
    readonly indexBytes: number;
    readonly segmentCount: number;
  };
  /** Writes an empty record, syncs and closes. After a failure it only closes. */
  close(): Promise<void>;
}
