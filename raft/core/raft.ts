/**
 * The state of one node (paper, figure 2), its role transitions, and the one place where messages are dispatched.
 * What the messages do stands in `election.ts`, `replication.ts`, `read_index.ts`, `snapshot.ts`, `membership.ts`.
 */
import { assert, unreachable } from "./assert.ts";
import type { PeerConfig } from "./config.ts";
import { type CoreCounters, newCoreCounters } from "./counters.ts";
import {
  countOwnVote,
  handlePreVote,
  handlePreVoteResponse,
  handleTimeoutNow,
  handleVote,
  handleVoteResponse,
  mayBeAsked,
  tickElection,
  tickLeader,
} from "./election.ts";
import { emptyBatch } from "./entry_batch.ts";
import { memberKindOf, votingMembers } from "./members.ts";
import { Lease } from "./lease.ts";
import { RaftLog } from "./log.ts";
import { findRemoval } from "./membership.ts";
import { Outbox } from "./outbox.ts";
import { Progress } from "./progress.ts";
import {
  drawEarlyTimeout,
  handleQuiesce,
  handleQuiesceResponse,
  stirBy,
} from "./quiesce.ts";
import {
  confirmReads,
  dropReads,
  expireForwardedReads,
  handleReadIndex,
  handleReadIndexResponse,
  ReadQueue,
} from "./read_index.ts";
import {
  handleAppend,
  handleAppendResponse,
  handleHeartbeat,
  handleHeartbeatResponse,
  maybeCommit,
} from "./replication.ts";
import { handleSnapshot } from "./snapshot.ts";
import { drawTurn } from "./turns.ts";
import type {
  EntryBatch,
  LogStorage,
  Membership,
  Message,
  Role,
} from "./types.ts";

/** Why the core did not take a proposal. Nothing of it entered a log. */
export type Refusal =
  | "notLeader"
  | "transferring"
  | "pendingChange"
  | "noCommitInTerm"
  | "unsafeChange"
  | "notHeard"
  | "notCaughtUp"
  | "invalidTarget";

/** Which member of a new cluster campaigns first: this one, another, or whoever draws the shortest time. */
export type FirstTurn = "now" | "later" | "any";

/** How many messages were ignored, by reason. */
export interface IgnoredCounts {
  /** Sent to somebody else, or by ourselves. */
  misrouted: number;
  /** Answers from a node that is not a member. */
  notMember: number;
  /** From an older term, or an answer to a question no longer asked. */
  stale: number;
  /** Votes and pre-votes while a leader is heard (rule C5), or before `admit()` (rule I2). */
  leased: number;
  /** Contradicts the protocol: a second leader of a term, a cut inside a batch, a committed entry replaced. */
  broken: number;
}

/** One node of one cluster. */
export class Raft {
  /** This node's id. */
  readonly nodeId: number;
  /** Its settings. */
  readonly config: PeerConfig;
  /** Its log. */
  readonly log: RaftLog;
  /** What it and the other nodes of its driver count. */
  readonly counters: CoreCounters;
  /** Reads that wait for something. */
  readonly reads = new ReadQueue();
  /** What it did not listen to. */
  readonly ignored: IgnoredCounts = {
    misrouted: 0,
    notMember: 0,
    stale: 0,
    leased: 0,
    broken: 0,
  };

  /** How often a follower turned out to have lost what it had acknowledged to this node as a leader. */
  lossCount = 0;

  /** The latest term seen. */
  term: number;
  /** Whom this node voted for in it, or 0. */
  votedFor: number;
  /** Follower, candidate or leader. */
  role: Role = "follower";
  /** The leader of `term`, or 0. */
  leaderId = 0;

  /** The members as of the last applied change. */
  membership: Membership;
  /** What is known of each of them: first those who vote, `voterCount` of them, then the observers. */
  progress: Progress[] = [];
  /** How many of `progress`, from the front, have a vote. */
  voterCount = 0;
  /** How many of these, from the front, have the payloads too: the rest are witnesses (rule C9). */
  holderCount = 0;
  /** As a leader: witnesses are told of no entry behind this (rule C9). */
  witnessLimit = 0;
  /** The leader takes this node for a witness, and it is none: it cannot follow what it gets. */
  isTakenForWitness = false;
  /** This node's own entry in `progress`; undefined if it is not a member. */
  self: Progress | undefined = undefined;
  /** Whether it may vote and campaign (rule I2). */
  isAdmitted: boolean;
  /** In which order it campaigns if it was admitted in this life, in term 0, when nobody has led yet that it knows of. */
  firstTurn: FirstTurn | undefined = undefined;

  /** Ticks since a leader was heard, a vote was granted or a campaign began. */
  electionElapsed = 0;
  /** At how many of them this node campaigns: drawn anew for each leader and each campaign. */
  electionTimeout = 0;
  /** Whether it has campaigned since it last heard of a leader. */
  hasCampaigned = false;
  /** Ticks since this leader's last heartbeat. */
  heartbeatElapsed = 0;
  /** Ticks of this leadership. */
  leaderTicks = 0;

  /** A member knows neither quiet clusters nor leases, as the driver says (rule I6). */
  isMixed = false;
  /** The cluster has nothing to do: no heartbeats, no elections, until something stirs (rule C10). */
  isQuiet = false;
  /** It was quiet until another member asked for its vote, and has not heard its leader since. */
  isLeaderDoubted = false;
  /** Ticks since something happened. */
  idleTicks = 0;
  /** On a leader: ticks left for answers to its offer of quiet, or 0. */
  quietOfferTicks = 0;

  /** Index of the empty entry that this leader's term began with (paper, section 8). */
  termStartIndex = 0;
  /** No membership change may be proposed before this index is applied (rule C4). */
  pendingChangeIndex = 0;
  /**
   * Where this leader's own removal stands in the log, or 0. It takes no proposals until that is decided: with entries
   * behind it that only it holds, its log would be longer than those of the members that still need its vote.
   */
  ownRemovalIndex = 0;
  /** As a leader: the other voter whose removal is in the log and not applied, or 0. */
  leavingId = 0;
  /** Where that removal stands. */
  leavingIndex = 0;
  /** That voter is told of no entry behind this (rule C9). */
  leavingLimit = 0;
  /** Who is to lead next, or 0 (thesis 3.10). */
  transferTarget = 0;
  /** Ticks since that was asked for. */
  transferElapsed = 0;
  /** The latest heartbeat round. */
  round = 0;
  /** On a follower: the latest round heard of its leader. */
  heardRound = 0;
  /** Whether appends may be due, so that the next update looks at every follower. */
  isSendDue = false;
  /** The commit index moved since the last update. Followers hear of it with the next entries, or in one update more. */
  isCommitFresh = false;

  /** A leader's right to answer reads by itself (rule C8). */
  readonly lease = new Lease();
  /** With leases: ticks left in which a leader that was heard may hold one, so that votes are refused. */
  heardTicksLeft = 0;
  /** With leases: ticks left in which this node votes for nobody, since it forgot whom it heard before. */
  voteBlockTicks = 0;
  /** The disk has not ended a write for an election timeout: this node is no leader to have. */
  isDiskStalled = false;
  /** This leader has tried to hand over because of that. */
  hasTriedHandOver = false;

  /** What the driver is to do. */
  readonly outbox: Outbox;

  /** Opens a node over what is durable; `start.membership` is that at `start.applied`. */
  constructor(
    config: PeerConfig,
    storage: LogStorage,
    start: { membership: Membership; applied: number },
  ) {
    const state = storage.hardState() ?? { term: 0, votedFor: 0, commit: 0 };
    this.nodeId = config.nodeId;
    this.config = config;
    this.counters = config.counters ?? newCoreCounters();
    this.log = new RaftLog(storage, {
      applied: start.applied,
      commit: state.commit,
      retainBytes: config.retainBytes,
    });
    assert(
      this.log.lastTerm <= state.term || state.term === 0,
      "the log must not be ahead of the hard state",
    );
    // A log without a hard state is that of an imported snapshot.
    this.term = Math.max(state.term, this.log.lastTerm);
    this.votedFor = state.votedFor;
    this.outbox = new Outbox(state);
    this.isAdmitted = config.mayVote;
    // It may have answered a leader's heartbeat a moment before it was restarted (rule C8).
    if (storage.hardState() !== undefined) this.forgetHeard();
    this.membership = start.membership;
    this.setMembership(start.membership);
    this.resetElectionTimer();
  }

  /** Whether this node is a member of any kind. */
  isMember(): boolean {
    return this.self !== undefined;
  }

  /** Whether this node may lead: it is a voter. Observers have no vote, witnesses no payloads (rule C9). */
  isVoter(): boolean {
    return this.self?.kind === "voter";
  }

  /** What is known of a member; undefined if `nodeId` is none. */
  progressOf(nodeId: number): Progress | undefined {
    const progress = this.progress;
    for (let position = 0; position < progress.length; position++) {
      const member = progress[position] as Progress;
      if (member.nodeId === nodeId) return member;
    }
    return undefined;
  }

  /** Whether the leader heard the member within an election timeout. It always hears itself. */
  isActive(progress: Progress): boolean {
    return progress === this.self ||
      (progress.heardTick >= 0 &&
        this.leaderTicks - progress.heardTick <
          this.config.electionTimeoutTicks);
  }

  /** Whether this leader committed an entry of its own term (paper 5.4.2, section 8). */
  hasCommittedInTerm(): boolean {
    return this.log.commit >= this.termStartIndex;
  }

  /** Time passes. */
  tick(): void {
    if (this.isQuiet) return;
    if (this.heardTicksLeft > 0) this.heardTicksLeft--;
    if (this.voteBlockTicks > 0) this.voteBlockTicks--;
    this.idleTicks++;
    expireForwardedReads(this);
    if (this.role === "leader") tickLeader(this);
    else tickElection(this);
  }

  /** A message arrives. Whatever it says, this does not throw. */
  step(message: Message): void {
    if (message.to !== this.nodeId || message.from === this.nodeId) {
      this.ignored.misrouted++;
      return;
    }
    if (isMemberAnswer(message) && !this.progressOf(message.from)) {
      this.ignored.notMember++;
      return;
    }
    stirBy(this, message);
    if (message.term > this.term) {
      if (!this.#meetHigherTerm(message)) return;
    } else if (message.term < this.term) {
      this.#answerLowerTerm(message);
      return;
    }
    this.#dispatch(message);
  }

  /** Follows a higher term (paper 5.1). Returns false if the message must be ignored. */
  #meetHigherTerm(message: Message): boolean {
    switch (message.type) {
      case "vote":
        // Whoever hears a leader keeps it (paper, section 6); a transfer is the leader's own wish.
        if (!mayBeAsked(this, message.transfer)) {
          this.ignored.leased++;
          return false;
        }
        this.becomeFollower(message.term, 0);
        return true;
      case "preVote":
        return true; // Asks about a term that nobody is in yet (thesis 9.6).
      case "preVoteResponse":
        // A grant names the term asked about, a refusal the term of who refuses.
        if (!message.granted) this.becomeFollower(message.term, 0);
        return true;
      case "append":
      case "heartbeat":
      case "quiesce":
      case "snapshot":
        this.becomeFollower(message.term, message.from);
        return true;
      default:
        this.becomeFollower(message.term, 0);
        return true;
    }
  }

  /**
   * Answers what was sent in an older term, so that its sender learns of ours (paper 5.1). Without that a node that
   * is alone in a higher term could never rejoin, since its leader is not heard and its pre-votes are not (rule C5).
   */
  #answerLowerTerm(message: Message): void {
    const reply = { from: this.nodeId, to: message.from, term: this.term };
    switch (message.type) {
      case "append":
      case "snapshot":
        this.outbox.send({
          type: "appendResponse",
          ...reply,
          index: message.type === "append"
            ? message.prevLogIndex
            : message.snapshot.index,
          rejected: true,
          hintIndex: 0,
          hintTerm: 0,
        });
        return;
      case "heartbeat":
        this.outbox.send({ type: "heartbeatResponse", ...reply, round: 0 });
        return;
      case "vote":
        this.outbox.send({ type: "voteResponse", ...reply, granted: false });
        return;
      case "preVote":
        this.outbox.send({ type: "preVoteResponse", ...reply, granted: false });
        return;
      case "readIndex":
        this.outbox.send({
          type: "readIndexResponse",
          ...reply,
          context: message.context,
          index: 0,
          rejected: true,
        });
        return;
      default:
        this.ignored.stale++;
    }
  }

  #dispatch(message: Message): void {
    switch (message.type) {
      case "append":
        if (this.#hearLeader(message.from)) handleAppend(this, message);
        return;
      case "heartbeat":
        if (this.#hearLeader(message.from)) handleHeartbeat(this, message);
        return;
      case "snapshot":
        if (this.#hearLeader(message.from)) handleSnapshot(this, message);
        return;
      case "appendResponse":
        return handleAppendResponse(this, message);
      case "heartbeatResponse":
        return handleHeartbeatResponse(this, message);
      case "vote":
        return handleVote(this, message);
      case "voteResponse":
        return handleVoteResponse(this, message);
      case "preVote":
        return handlePreVote(this, message);
      case "preVoteResponse":
        return handlePreVoteResponse(this, message);
      case "timeoutNow":
        return handleTimeoutNow(this, message);
      case "quiesce":
        if (this.#hearLeader(message.from)) handleQuiesce(this, message);
        return;
      case "quiesceResponse":
        return handleQuiesceResponse(this, message);
      case "stopped":
        return this.#leaderStopped(message.from);
      case "readIndex":
        return handleReadIndex(this, message);
      case "readIndexResponse":
        return handleReadIndexResponse(this, message);
      default:
        return unreachable(message); // A new message type will not compile until it is handled.
    }
  }

  /** Whoever led stops, and asks to be replaced. */
  #leaderStopped(from: number): void {
    if (this.role !== "follower" || this.leaderId !== from) {
      this.ignored.stale++;
      return;
    }
    drawEarlyTimeout(this, 0);
    this.becomeFollower(this.term, 0);
  }

  /** A message of this term's leader arrived. Returns false if there is another leader already. */
  #hearLeader(leaderId: number): boolean {
    if (this.role === "leader") {
      this.ignored.broken++;
      return false;
    }
    if (this.role !== "follower" || this.leaderId === 0) {
      this.becomeFollower(this.term, leaderId); // A candidate returns to follower (paper 5.2).
    } else if (this.leaderId !== leaderId) {
      this.ignored.broken++;
      return false;
    }
    this.electionElapsed = 0;
    this.isLeaderDoubted = false;
    if (this.config.lease !== undefined) {
      this.heardTicksLeft = this.config.electionTimeoutTicks;
    }
    return true;
  }

  /**
   * Becomes a follower in `term`. The election timer of a node that was one already goes on, so that a candidate who
   * cannot win does not keep those who can from trying (paper 5.2: only a leader and a granted vote reset it).
   */
  becomeFollower(term: number, leaderId: number): void {
    assert(term >= this.term, "the term must not move back");
    const wasFollower = this.role === "follower";
    if (term > this.term) {
      this.term = term;
      this.votedFor = 0;
      this.#setLeader(0); // What waits for a leader waits for one term of it.
    }
    this.role = "follower";
    const isNewLeader = leaderId !== 0 && leaderId !== this.leaderId;
    this.#setLeader(leaderId);
    // Whose turn it is to follow a leader depends on which one it is.
    if (!wasFollower || isNewLeader) this.resetElectionTimer();
  }

  /** Asks whether it could win, and changes nothing that lasts (thesis 9.6). */
  becomePreCandidate(): void {
    assert(this.role !== "leader", "a leader must not campaign");
    this.counters.preCampaigns++;
    this.hasCampaigned = true;
    this.role = "preCandidate";
    this.#setLeader(0);
    this.#forgetVotes();
    this.resetElectionTimer();
  }

  /** Begins a new term with a vote for itself: both change in one durable write (paper 5.2). */
  becomeCandidate(): void {
    assert(this.role !== "leader", "a leader must not campaign");
    this.counters.campaigns++;
    this.hasCampaigned = true;
    this.term++;
    this.votedFor = this.nodeId;
    this.role = "candidate";
    this.#setLeader(0);
    this.#forgetVotes();
    this.resetElectionTimer();
  }

  /** Has won: leads the term, and begins it with an empty entry (paper, section 8). */
  becomeLeader(): void {
    assert(this.role === "candidate", "only a candidate can win");
    assert(this.hasDurableVote(), "a leader's own vote must be durable");
    const self = this.self;
    assert(self?.kind === "voter", "only a voter can win");
    this.counters.electionsWon++;
    this.role = "leader";
    this.#setLeader(this.nodeId);
    this.leaderTicks = 0;
    this.heartbeatElapsed = 0;
    const lastIndex = this.log.lastIndex;
    for (const progress of this.progress) progress.reset(lastIndex + 1);
    self.becomeReplicate();
    self.maybeAdvance(this.log.persisted);
    // Changes of earlier terms may be in the log; whether they are need not be known if all of it is applied first.
    this.pendingChangeIndex = lastIndex;
    findRemoval(this);
    this.witnessLimit = 0;
    this.idleTicks = 0;
    this.quietOfferTicks = 0;
    this.lease.reset();
    this.hasTriedHandOver = false;
    this.termStartIndex = lastIndex + 1;
    this.appendOwn(emptyBatch(this.term, lastIndex + 1, this.config.crc32));
  }

  /** Appends a batch that this leader made. */
  appendOwn(batch: EntryBatch): void {
    assert(this.role === "leader", "only a leader makes batches");
    assert(batch.term === this.term, "a leader makes batches of its term");
    this.log.append(batch);
    this.isSendDue = true;
  }

  /**
   * Tells the first `count` of `progress` that this leader lives, in a new round that confirms reads when answered
   * (thesis 6.4).
   */
  broadcastHeartbeat(count: number): void {
    this.round++;
    if (this.config.lease !== undefined) this.lease.sent(this.round);
    for (let position = 0; position < count; position++) {
      const progress = this.progress[position] as Progress;
      if (progress === this.self) continue;
      this.outbox.sendEarly({
        type: "heartbeat",
        from: this.nodeId,
        to: progress.nodeId,
        term: this.term,
        // The follower may hold a conflicting entry beyond what it acknowledged.
        commit: Math.min(progress.match, this.log.commit),
        round: this.round,
      });
    }
  }

  /**
   * Draws how long this node waits before it campaigns: once to twice the election timeout (paper 5.2). Right after the
   * admission to a new cluster nobody leads whom it could disturb: once at most. And of ten thousand new clusters nearly
   * all have a leader after one election each, if only one member of each begins; it tries again soon, since the others
   * may not have been admitted yet.
   */
  resetElectionTimer(): void {
    const ticks = this.config.electionTimeoutTicks;
    this.electionElapsed = 0;
    if (this.term !== 0 || this.firstTurn === undefined) {
      this.#drawElectionTimeout();
      return;
    }
    const drawn = this.config.prng.below(ticks);
    const half = Math.floor(ticks / 2);
    switch (this.firstTurn) {
      case "now":
        this.electionTimeout = 1 + drawn % 2;
        return;
      case "later":
        this.electionTimeout = 1 + half + drawn % (ticks - half);
        return;
      case "any":
        this.electionTimeout = 1 + drawn;
    }
  }

  #drawElectionTimeout(): void {
    const ticks = this.config.electionTimeoutTicks;
    this.electionTimeout = ticks + this.drawTurn(ticks, this.leaderId);
  }

  /** Draws when, in `[0, limit)`, to campaign in place of `leaderId`; see `turns.ts`. */
  drawTurn(limit: number, leaderId: number): number {
    const { prng, turnOffset = 0 } = this.config;
    let place = -1;
    let count = 0;
    for (let position = 0; position < this.holderCount; position++) {
      const progress = this.progress[position] as Progress;
      if (progress === this.self) place = count;
      if (progress.nodeId !== leaderId) count++;
    }
    // An observer, or one that has just led and lost touch: nobody takes turns with it.
    if (this.hasCampaigned || place < 0) return prng.below(limit);
    return drawTurn(prng, limit, { place, count, offset: turnOffset });
  }

  /** With leases: whom this node heard is not known any more, so it votes for nobody for an election timeout (C8). */
  forgetHeard(): void {
    if (this.config.lease === undefined) return;
    this.voteBlockTicks = this.config.electionTimeoutTicks;
  }

  #setLeader(leaderId: number): void {
    if (this.leaderId === leaderId) return;
    // Reads wait for one leader of one term (rule C7), and a transfer is that leader's.
    dropReads(this);
    this.transferTarget = 0;
    this.isSendDue = false;
    this.heardRound = 0;
    this.leaderId = leaderId;
    this.isLeaderDoubted = false;
    if (leaderId !== 0) this.hasCampaigned = false;
  }

  #forgetVotes(): void {
    for (const progress of this.progress) progress.vote = "none";
  }

  /** Takes over a membership and keeps what is known of those who stay. */
  setMembership(membership: Membership): void {
    this.membership = membership;
    const voting = votingMembers(membership);
    this.progress = [...voting, ...membership.observers].map(({ nodeId }) => {
      const known = this.progressOf(nodeId);
      const progress = known ?? new Progress(nodeId, this.log.lastIndex + 1);
      if (known === undefined) progress.sinceTick = this.leaderTicks;
      // A promoted observer's log is what it was.
      progress.kind = memberKindOf(membership, nodeId) ?? "voter";
      return progress;
    });
    assert(
      this.progress.every(({ nodeId }, position) =>
        this.progress.findIndex((other) => other.nodeId === nodeId) === position
      ),
      "no member counts twice (rule I3)",
    );
    this.voterCount = voting.length;
    this.holderCount = membership.members.length;
    this.self = this.progressOf(this.nodeId);
  }

  /** The write `writeId` and all before it are durable. */
  persisted(writeId: number): void {
    if (!this.outbox.persisted(writeId, this.log)) return;
    if (this.role === "candidate") {
      // A candidate's own vote counts once it is on disk (rule C2).
      if (this.hasDurableVote()) countOwnVote(this);
    } else if (this.role === "leader") {
      // A leader counts itself only up to what its disk has synced (rule C2).
      if (this.self?.maybeAdvance(this.log.persisted)) maybeCommit(this);
    }
  }

  /** Whether this node's vote for itself in this term is on disk. */
  hasDurableVote(): boolean {
    return this.votedFor === this.nodeId && this.outbox.isDurable(this);
  }

  /** Everything up to `index` is applied. */
  applied(index: number): void {
    this.log.appliedTo(index);
    if (this.leavingId === 0 || this.leavingIndex > index) return;
    // It is gone. Or it stays, if the change was refused, and is owed what was kept from it.
    this.leavingId = 0;
    if (this.role === "leader") this.isSendDue = true;
  }

  /** A membership change was applied. */
  applyMembership(membership: Membership): void {
    this.setMembership(membership);
    this.lease.end();
    if (this.role === "follower") {
      if (this.leaderId !== 0) this.#drawElectionTimeout(); // It may have another turn now.
      return;
    }
    if (!this.isMember()) {
      // A leader manages the cluster without being in it until its removal is committed (paper, section 6).
      this.becomeFollower(this.term, 0);
      return;
    }
    if (this.role !== "leader") return;
    if (this.progressOf(this.transferTarget) === undefined) {
      this.transferTarget = 0;
    }
    this.isSendDue = true;
    // Fewer voters may mean that more is committed or confirmed.
    maybeCommit(this);
    confirmReads(this);
  }
}

/** Whether only members may send this: answers that are counted. */
function isMemberAnswer(message: Message): boolean {
  switch (message.type) {
    case "appendResponse":
    case "heartbeatResponse":
    case "voteResponse":
    case "preVoteResponse":
    case "quiesceResponse":
      return true;
    default:
      return false;
  }
}
