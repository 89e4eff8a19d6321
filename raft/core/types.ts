/**
 * The vocabulary of the consensus core: what goes in, what comes out, what it reads. No behaviour.
 *
 * Ids, terms and indexes are safe integers; 0 means "none". The words are those of the Raft paper.
 */

/**
 * Entries of one cluster and one term with contiguous indexes, in the one encoding that memory, wire and
 * disk share (`entry_batch.ts` draws it). It never changes once made, and is written, sent, accepted and
 * truncated whole (rule B1), so a conflict between two logs always falls on a batch boundary.
 */
export interface EntryBatch {
  /** Index of the first entry. */
  readonly firstIndex: number;
  /** Index of the last entry; `lastIndex >= firstIndex`. */
  readonly lastIndex: number;
  /** Term of every entry in the batch. */
  readonly term: number;
  /** Whether the batch is one membership change (it then holds exactly one entry). */
  readonly isConfigChange: boolean;
  /** Header and entries. */
  readonly bytes: Uint8Array;
}

/** What a node must not forget (paper, figure 2); `commit` is kept with it because rule C4 needs it. */
export interface HardState {
  /** The latest term this node has seen. */
  readonly term: number;
  /** The candidate that received this node's vote in `term`, or 0. */
  readonly votedFor: number;
  /** The highest index known to be committed. It may lag behind after a crash, and never leads. */
  readonly commit: number;
}

/**
 * What a member is. A `voter` has the log, the state machine and a vote, and may lead. An `observer` has the log and the
 * state machine and no vote (a learner, thesis 4.2.1). A `witness` has a vote and neither payloads nor a state machine
 * (rule C9), so it can never lead.
 */
export type MemberKind = "voter" | "observer" | "witness";

/** One member. */
export interface Member {
  /** Its node id. */
  readonly nodeId: number;
  /** Where its NodeHost listens: a hint, not an identity. */
  readonly address: string;
  /** The NodeHost that carries it, once the cluster has recorded that (rule I1); `""` before. */
  readonly nodeHostId: string;
}

/** The members of a cluster as of one applied membership change. */
export interface Membership {
  /** Index of the last applied change; 0 for the initial members. */
  readonly configChangeIndex: number;
  /** Members that vote and may lead, in ascending order of their ids. */
  readonly members: readonly Member[];
  /** Members that follow without a vote, ascending. */
  readonly observers: readonly Member[];
  /** Members that vote without payloads and a state machine, ascending. */
  readonly witnesses: readonly Member[];
  /** Ids that were removed and can never come back, ascending. */
  readonly removed: readonly number[];
}

/** Which NodeHost carries a member (rule I1). */
export interface Identification {
  /** The member. */
  readonly nodeId: number;
  /** The id of its NodeHost. */
  readonly nodeHostId: string;
}

/** One membership change (thesis 4.1: one member at a time). */
export interface ConfigChange {
  /**
   * `addNode` of an observer promotes it: same id, same address. `removeNode` is for members of every kind. `identify`
   * records which NodeHost carries an existing member and does not move `configChangeIndex`.
   */
  readonly type:
    | "addNode"
    | "removeNode"
    | "identify"
    | "addObserver"
    | "addWitness";
  /** The member concerned. */
  readonly nodeId: number;
  /** For what adds a member: where its NodeHost listens. `""` otherwise. */
  readonly address: string;
  /** For `identify`, and for what adds a member where known: the id of its NodeHost. `""` otherwise. */
  readonly nodeHostId: string;
  /** Apply only if the membership's `configChangeIndex` is still this; undefined for any. Ignored by `identify`. */
  readonly expectedConfigChangeIndex: number | undefined;
  /**
   * For `identify`: further members whose NodeHosts are recorded by the same entry, in ascending order behind `nodeId`.
   * All are recorded, or none. It takes the second version of the format (rule I6).
   */
  readonly also?: readonly Identification[];
  /** An operator insists: the leader skips its own guard (rule C4). It never stands in the log. */
  readonly force?: boolean;
  /** For a promotion: the leader proposes it only once the observer's log has caught up. It never stands in the log. */
  readonly whenCaughtUp?: boolean;
}

/** Where a snapshot stands in the log, and who the members were there. */
export interface SnapshotMeta {
  /** Index of the last entry that the snapshot contains. */
  readonly index: number;
  /** Term of that entry. */
  readonly term: number;
  /** The membership at `index`. */
  readonly membership: Membership;
}

/**
 * Names one attempt of a linearizable read (rule C7). `incarnation` is the NodeHost's, so that a counter
 * which starts again after a restart cannot be taken for an older one.
 */
export interface ReadContext {
  /** The node that asked. */
  readonly nodeId: number;
  /** The incarnation of its NodeHost. */
  readonly incarnation: number;
  /** New for every attempt. */
  readonly counter: number;
}

/** What every message between two nodes of a cluster carries. */
export interface MessageBase {
  /** Sender's node id. */
  readonly from: number;
  /** Receiver's node id. */
  readonly to: number;
  /** The sender's term (for pre-votes: the term it would campaign in). */
  readonly term: number;
}

/** A message between two nodes of one cluster. Which fields exist follows from `type`. */
export type Message =
  & MessageBase
  & (
    | {
      /** AppendEntries with entries, or an empty probe (paper 5.3). */
      readonly type: "append";
      readonly prevLogIndex: number;
      readonly prevLogTerm: number;
      readonly commit: number;
      /** Whole batches, contiguous; the first starts at `prevLogIndex + 1`. */
      readonly batches: readonly EntryBatch[];
    }
    | {
      readonly type: "appendResponse";
      /** Accepted: everything up to here is durable and equals the leader's log. Rejected: the `prevLogIndex` refused. */
      readonly index: number;
      readonly rejected: boolean;
      /** Rejected: where the leader may look next (the last index in the follower's log that can match), and its term. */
      readonly hintIndex: number;
      readonly hintTerm: number;
    }
    | {
      readonly type: "heartbeat";
      /** Never above what the receiver is known to hold. */
      readonly commit: number;
      /** The leader's round, echoed in the response: confirms leadership for reads (thesis 6.4). */
      readonly round: number;
    }
    | { readonly type: "heartbeatResponse"; readonly round: number }
    | {
      /** `transfer` marks a campaign that the leader asked for, which may ignore a leader's lease (thesis 3.10). */
      readonly type: "vote";
      readonly lastLogIndex: number;
      readonly lastLogTerm: number;
      readonly transfer: boolean;
    }
    | { readonly type: "voteResponse"; readonly granted: boolean }
    | {
      readonly type: "preVote";
      readonly lastLogIndex: number;
      readonly lastLogTerm: number;
    }
    | { readonly type: "preVoteResponse"; readonly granted: boolean }
    | {
      /**
       * InstallSnapshot (paper 7). The core emits it to say that the driver must stream the snapshot; the
       * receiving driver steps it only when the whole file lies durable on its own disk.
       */
      readonly type: "snapshot";
      readonly snapshot: SnapshotMeta;
    }
    | { readonly type: "timeoutNow" }
    | {
      /** The leader offers to be quiet (rule C10): its log ends at `index`, all of it committed. */
      readonly type: "quiesce";
      readonly index: number;
      /** The leader's latest round: an offer from before a heartbeat that was heard is void. */
      readonly round: number;
    }
    | {
      /** The answer: whether the follower is quiet from now on. `index` is that of the offer. */
      readonly type: "quiesceResponse";
      readonly index: number;
      readonly accepted: boolean;
    }
    | {
      /** A node that leads a quiet cluster stops: nobody would miss it otherwise (rule C10). */
      readonly type: "stopped";
    }
    | { readonly type: "readIndex"; readonly context: ReadContext }
    | {
      readonly type: "readIndexResponse";
      readonly context: ReadContext;
      /** The read may be served once this index is applied; 0 with `rejected`. */
      readonly index: number;
      readonly rejected: boolean;
    }
  );

/** The tags of {@link Message}. */
export type MessageType = Message["type"];

/** The role of a node. */
export type Role = "follower" | "preCandidate" | "candidate" | "leader";

/** What must be written, in order, in one record of the log. */
export interface Records {
  /** Grows by one per update that has records; named again in {@link Persisted}. */
  readonly writeId: number;
  /** The new hard state, if it changed. */
  readonly hardState: HardState | undefined;
  /** New batches. A batch that starts at or below the log's last index truncates what follows it. */
  readonly batches: readonly EntryBatch[];
  /** False if only the commit index moved: written in order, but no sync of its own (rule L3). */
  readonly mustSync: boolean;
}

/** Says that the write `writeId` and all before it are durable. */
export interface Persisted {
  /** From {@link Records}. */
  readonly writeId: number;
}

/** Entries to apply: committed and durable on this node's own disk (rule C3). */
export interface CommittedRange {
  /** First index to apply. */
  readonly firstIndex: number;
  /** Last index to apply. */
  readonly lastIndex: number;
  /** The batches that hold them. The first may begin before `firstIndex`, the last may end after `lastIndex` (rule B2). */
  readonly batches: readonly EntryBatch[];
}

/** A read that may be served once `index` is applied. */
export interface ReadState {
  /** The attempt. */
  readonly context: ReadContext;
  /** What must be applied before it is served. */
  readonly index: number;
}

/**
 * What the core wants done since the last call (rule C1). The order that makes Raft safe: `appends` may
 * leave at once; `promises` leave only when the write `promisesAfter` and all before it are durable;
 * `committed` is applied after that, and reported by `applied()`.
 */
export interface Update {
  /** Messages that promise nothing; they may leave before the sync (rule C2). */
  readonly appends: readonly Message[];
  /** What to write, or undefined. */
  readonly records: Records | undefined;
  /** Votes, vote requests, every reply. */
  readonly promises: readonly Message[];
  /** The `writeId` that must be durable before `promises` leave: the last that had to be synced; 0 if none had to. */
  readonly promisesAfter: number;
  /** What to apply next, or undefined. Handed out once; at most one range is outstanding. */
  readonly committed: CommittedRange | undefined;
  /** A received snapshot that the state machine must be restored from before anything else is applied. */
  readonly snapshot: SnapshotMeta | undefined;
  /** Reads that are confirmed. */
  readonly readStates: readonly ReadState[];
  /** Reads that will not be confirmed: no leader, or leadership was lost. They changed nothing. */
  readonly droppedReads: readonly ReadContext[];
}

/** What can be seen from outside. */
export interface Status {
  /** This node's id. */
  readonly nodeId: number;
  /** Follower, candidate or leader. */
  readonly role: Role;
  /** The latest term seen. */
  readonly term: number;
  /** The candidate that has this node's vote in `term`, or 0. */
  readonly votedFor: number;
  /** The leader of `term` as far as known, or 0. */
  readonly leaderId: number;
  /** Highest index known to be committed. */
  readonly commit: number;
  /** Highest index applied. */
  readonly applied: number;
  /** First index whose entry is in the durable log. */
  readonly firstIndex: number;
  /** Index of the last entry. */
  readonly lastIndex: number;
  /** The target of a transfer under way, or 0. */
  readonly transferTarget: number;
}

/**
 * What the core reads of its durable log. All calls are synchronous, since the core never waits; storage may
 * read from disk behind them. Only entries whose write was reported by `persisted` are asked for.
 */
export interface LogStorage {
  /** The hard state on disk, or undefined for a new node. */
  hardState(): HardState | undefined;
  /** The latest durable snapshot, or undefined. */
  snapshot(): SnapshotMeta | undefined;
  /** First index whose batch can be read; `lastIndex() + 1` if none. */
  firstIndex(): number;
  /** Last durable index: that of the last batch, else of the snapshot, else 0. */
  lastIndex(): number;
  /**
   * Term of the entry at `index`, for `firstIndex() - 1 <= index <= lastIndex()` (the entry before the first
   * one is known from compaction or snapshot, unless the snapshot ended inside the first batch; index 0 has term 0);
   * undefined elsewhere.
   */
  termOf(index: number): number | undefined;
  /** The whole batch that holds `index`, or undefined if it is compacted or beyond the end. */
  batchAt(index: number): EntryBatch | undefined;
}

/** Checksum over bytes, continuing from `seed`: the CRC-32 of IEEE 802.3, as `node:zlib` has it. */
export type Crc32 = (bytes: Uint8Array, seed?: number) => number;
