/**
 * The only door to the core. A driver feeds it ticks, messages, proposals and completions, and does what
 * {@link Peer.update} asks for (rule C1). It is synchronous and deterministic: the same inputs give the same
 * updates, byte for byte.
 */
import type { PeerConfig } from "./config.ts";
import { transferLeadership } from "./election.ts";
import { sealBatch } from "./entry_batch.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { checkState } from "./invariants.ts";
import { proposeChange, tooEarly } from "./membership.ts";
import {
  type FirstTurn,
  type IgnoredCounts,
  Raft,
  type Refusal,
} from "./raft.ts";
import { heedsSilence, leaderSilent, stir } from "./quiesce.ts";
import { isRoundDue, requestRead, startReadRound } from "./read_index.ts";
import { sendAppends } from "./replication.ts";
import { reportSnapshot } from "./snapshot.ts";
import type {
  ConfigChange,
  EntryBatch,
  LogStorage,
  MemberKind,
  Membership,
  Message,
  Persisted,
  ReadContext,
  Role,
  Status,
  Update,
} from "./types.ts";

export type { PeerConfig } from "./config.ts";
export type { FirstTurn, IgnoredCounts, Refusal } from "./raft.ts";

/** What a leader knows of one member. */
export interface MemberProgress {
  /** The member. */
  readonly nodeId: number;
  /** What kind of member it is: only a voter may lead. */
  readonly kind: MemberKind;
  /** Everything up to here is durable on it. */
  readonly match: number;
  /** The next index it is sent. */
  readonly next: number;
  /** How it is fed. */
  readonly state: "probe" | "replicate" | "snapshot";
  /** Whether it was heard within an election timeout. */
  readonly isActive: boolean;
  /** It refused what it had acknowledged in this term: its disk lost entries. */
  readonly hasLostEntries: boolean;
}

/** Why a node takes no entries now. */
function refusalOf(raft: Raft): Refusal | undefined {
  if (raft.role !== "leader") return "notLeader";
  if (raft.transferTarget !== 0) return "transferring";
  if (raft.ownRemovalIndex > raft.log.applied) return "transferring";
  return undefined;
}

/** What an idle cluster has to do in a tick; one object for all, since a thousand clusters would leave as many. */
const beat:
  & {
    -readonly [Key in "appends" | "promises" | "promisesAfter"]: Update[Key];
  }
  & Omit<Update, "appends" | "promises" | "promisesAfter"> = {
    appends: [],
    records: undefined,
    promises: [],
    promisesAfter: 0,
    committed: undefined,
    snapshot: undefined,
    readStates: [],
    droppedReads: [],
  };

function areHeartbeats(messages: readonly Message[]): boolean {
  for (const { type } of messages) if (type !== "heartbeat") return false;
  return true;
}

/** One member of one cluster. */
export class Peer {
  readonly #raft: Raft;

  /** `start.membership` is that at `start.applied`: the snapshot's, or the initial members with 0. The rest comes from `log`. */
  constructor(
    config: PeerConfig,
    log: LogStorage,
    start: { membership: Membership; applied: number },
  ) {
    this.#raft = new Raft(config, log, start);
  }

  /** This node's id. */
  get nodeId(): number {
    return this.#raft.nodeId;
  }

  /** The latest term seen. */
  get term(): number {
    return this.#raft.term;
  }

  /** Follower, candidate or leader. */
  get role(): Role {
    return this.#raft.role;
  }

  /** The leader of the term as far as known, or 0. */
  get leaderId(): number {
    return this.#raft.leaderId;
  }

  /** Highest index known to be committed. */
  get commit(): number {
    return this.#raft.log.commit;
  }

  /** Highest index reported by `applied()`. */
  get appliedIndex(): number {
    return this.#raft.log.applied;
  }

  /** Index of the last entry. */
  get lastIndex(): number {
    return this.#raft.log.lastIndex;
  }

  /**
   * How often a follower was found to have lost what it had acknowledged to this leader: once for each follower and
   * term. Which one, `progress()` tells.
   */
  get lossCount(): number {
    return this.#raft.lossCount;
  }

  /** Bytes of the entries in memory that are not durable or not applied yet. */
  get unappliedBytes(): number {
    return this.#raft.log.unappliedBytes;
  }

  /** Term of the entry at `index`, if the log has it. */
  termOf(index: number): number | undefined {
    return this.#raft.log.termOf(index);
  }

  /** Whether this node leads its term. */
  isLeader(): boolean {
    return this.#raft.role === "leader";
  }

  /** Whether the cluster has nothing to do: ticks are not needed until a call or a message wakes it (rule C10). */
  get isQuiet(): boolean {
    return this.#raft.isQuiet;
  }

  /** Whether it matters to this node that the NodeHost of its leader is silent: see {@link Peer.leaderSilent}. */
  get heedsSilence(): boolean {
    return heedsSilence(this.#raft);
  }

  /** The driver has something to do with the cluster that the core does not know of: it is not idle. */
  stir(): void {
    stir(this.#raft);
  }

  /**
   * The NodeHost of the leader is silent. A node that heeds that wakes, and campaigns within so many ticks, or an election timeout
   * if that is more, unless it hears of a leader.
   */
  leaderSilent(withinTicks: number): void {
    leaderSilent(this.#raft, withinTicks);
  }

  /** What a quiet leader that stops tells the others, so that they elect another (rule C10); nothing if it is not one. */
  farewell(): readonly Message[] {
    const raft = this.#raft;
    if (!raft.isQuiet || raft.role !== "leader") return [];
    return raft.progress.filter((progress) => progress !== raft.self).map((
      { nodeId },
    ) => ({
      type: "stopped",
      from: raft.nodeId,
      to: nodeId,
      term: raft.term,
    }));
  }

  /**
   * Reads the driver's clocks: monotonic and wall, in whole microseconds. With leases it comes before each tick and each
   * update, and leases are as good as these readings (rule C8).
   */
  readClocks(monotonicUs: number, wallUs: number): void {
    const { lease } = this.#raft;
    lease.nowUs = monotonicUs;
    lease.wallUs = wallUs;
  }

  /** The process may have been stopped for a while: with leases, it is not known any more whom this node heard (C8). */
  paused(): void {
    this.#raft.forgetHeard();
  }

  /**
   * Whether a write has not ended for an election timeout. While it is so, this node does not campaign, and hands over
   * what it leads, unless it is the only voter.
   */
  setDiskStalled(isStalled: boolean): void {
    this.#raft.isDiskStalled = isStalled;
  }

  /**
   * Whether a member is of a release that knows neither quiet clusters nor leases: then this node agrees to neither
   * (rules C8, C10, I6).
   */
  setMixed(isMixed: boolean): void {
    const raft = this.#raft;
    if (isMixed === raft.isMixed) return;
    raft.isMixed = isMixed;
    raft.lease.end();
    stir(raft);
  }

  /** One tick of the driver's clock passed. */
  tick(): void {
    this.#raft.tick();
  }

  /** A message arrived. Never throws for what a peer sent: it is ignored or refused, and counted. */
  step(message: Message): void {
    this.#raft.step(message);
  }

  /**
   * Appends a batch to the leader's log. The entries stand encoded behind the first `batchHeaderBytes` of `bytes`,
   * which belong to the core from here on; `hasSessions` tells whether some of them have session fields.
   */
  propose(
    bytes: Uint8Array,
    entryCount: number,
    hasSessions = false,
  ): EntryBatch | Refusal {
    const raft = this.#raft;
    const refusal = refusalOf(raft);
    if (refusal !== undefined) {
      raft.counters.proposalsDropped += entryCount;
      return refusal;
    }
    stir(raft);
    const batch = sealBatch(bytes, {
      term: raft.term,
      firstIndex: raft.log.lastIndex + 1,
      entryCount,
      isConfigChange: false,
      hasSessions,
    }, raft.config.crc32);
    raft.appendOwn(batch);
    return batch;
  }

  /** Whether this node leads, and a membership change can be proposed now (rule C4). */
  canChange(): boolean {
    return tooEarly(this.#raft) === undefined;
  }

  /**
   * Proposes a membership change (rule C4). Whether it takes effect is decided when it is applied.
   *
   * @throws {RangeError} if the proposer key has the wrong length.
   */
  proposeChange(
    change: ConfigChange,
    proposerKey: Uint8Array,
  ): EntryBatch | Refusal {
    stir(this.#raft);
    return proposeChange(this.#raft, change, proposerKey);
  }

  /** Begins a linearizable read (rule C7). It ends as a read state or a dropped read of some later update. */
  readIndex(context: ReadContext): void {
    stir(this.#raft);
    requestRead(this.#raft, context);
  }

  /** Hands leadership to `target` once its log is complete; gives up after an election timeout (thesis 3.10). */
  transferLeadership(target: number): "started" | Refusal {
    stir(this.#raft);
    return transferLeadership(this.#raft, target);
  }

  /** Whether `update()` has something to say. */
  hasUpdate(): boolean {
    const raft = this.#raft;
    return raft.isSendDue || raft.outbox.hasOutput(raft, raft.log) ||
      raft.log.hasCommitted() || (raft.role === "leader" && isRoundDue(raft));
  }

  /**
   * What to do now. Several updates may be outstanding; their writes complete in order. One that holds nothing but
   * messages, of which no early one is an append, is overwritten by the next such of any peer.
   */
  update(): Update {
    const raft = this.#raft;
    if (raft.role === "leader") {
      startReadRound(raft);
      sendAppends(raft);
    }
    const { outbox, log } = raft;
    const appends = outbox.takeAppends();
    const records = outbox.takeRecords(raft, log);
    if (
      records === undefined && !outbox.hasMore && !log.hasCommitted() &&
      areHeartbeats(appends)
    ) {
      beat.appends = appends;
      beat.promises = outbox.takePromises();
      beat.promisesAfter = outbox.lastSyncedWriteId;
      return beat;
    }
    return {
      appends,
      records,
      promises: outbox.takePromises(),
      promisesAfter: outbox.lastSyncedWriteId,
      committed: log.hasCommitted()
        ? log.takeCommitted(raft.config.maxApplyBytes)
        : undefined,
      snapshot: outbox.takeSnapshot(),
      readStates: outbox.takeReadStates(),
      droppedReads: outbox.takeDroppedReads(),
    };
  }

  /** A write and all before it are durable. */
  persisted(done: Persisted): void {
    this.#raft.persisted(done.writeId);
  }

  /** The state machine holds everything up to `index`: entries, or the snapshot it was restored from. */
  applied(index: number): void {
    this.#raft.applied(index);
  }

  /** A membership change was decided while its entry was applied. Comes before `applied()` of that index. */
  applyMembership(membership: Membership): void {
    this.#raft.applyMembership(membership);
  }

  /**
   * This node may vote and campaign from now on (rule I2); `turn` says when, if the cluster is new: all members should
   * agree which one is first, and then `"later"` is the others' turn. Who leads is decided by votes all the same.
   */
  admit(turn: FirstTurn = "any"): void {
    const raft = this.#raft;
    raft.isAdmitted = true;
    if (raft.term !== 0 || raft.leaderId !== 0) return;
    raft.firstTurn = turn;
    raft.resetElectionTimer(); // The others are being admitted too: who campaigned at once would not be heard.
  }

  /** Messages to `nodeId` were lost. */
  reportUnreachable(nodeId: number): void {
    const progress = this.#raft.progressOf(nodeId);
    // Nobody else would notice while the cluster is quiet; a leader must not count it as heard when it wakes (rule C4).
    if (progress !== undefined && this.isQuiet) progress.heardTick = -1;
    if (!this.isLeader() || progress?.state !== "replicate") return;
    progress.becomeProbe();
    this.#raft.isSendDue = true;
  }

  /** Streaming a snapshot to `nodeId` ended; `delivered` if the whole of it lies durable there. */
  reportSnapshot(nodeId: number, delivered: boolean): void {
    reportSnapshot(this.#raft, { nodeId, delivered });
  }

  /** What can be seen from outside. */
  status(): Status {
    const raft = this.#raft;
    return {
      nodeId: raft.nodeId,
      role: raft.role,
      term: raft.term,
      votedFor: raft.votedFor,
      leaderId: raft.leaderId,
      commit: raft.log.commit,
      applied: raft.log.applied,
      firstIndex: raft.log.firstIndex,
      lastIndex: raft.log.lastIndex,
      transferTarget: raft.transferTarget,
    };
  }

  /** The members as of the last applied change. */
  membership(): Membership {
    return this.#raft.membership;
  }

  /** What kind of member this node is, as of the last applied change; undefined if it is none. */
  memberKind(): MemberKind | undefined {
    return this.#raft.self?.kind;
  }

  /** Whether a leader sends this node what only a witness can follow. */
  isTakenForWitness(): boolean {
    return this.#raft.isTakenForWitness;
  }

  /** On a leader: what it knows of each member, itself included; else nothing. */
  progress(): readonly MemberProgress[] {
    const raft = this.#raft;
    if (raft.role !== "leader") return [];
    return raft.progress.map((progress) => ({
      nodeId: progress.nodeId,
      kind: progress.kind,
      match: progress.match,
      next: progress === raft.self ? raft.log.lastIndex + 1 : progress.next,
      state: progress.state,
      isActive: raft.isActive(progress),
      hasLostEntries: progress.hasLostEntries,
    }));
  }

  /** How many messages were ignored so far, by reason. */
  ignoredMessages(): Readonly<IgnoredCounts> {
    return this.#raft.ignored;
  }

  /**
   * Everything that decides what this node does next, as plain values, for tests that look whether two states are the
   * same. What only counts is not in it.
   */
  fingerprint(): unknown[] {
    return fingerprintOf(this.#raft);
  }

  /** Asserts what holds between any two calls: for tests and simulations, which ask after every step. */
  checkState(): void {
    checkState(this.#raft);
  }
}
