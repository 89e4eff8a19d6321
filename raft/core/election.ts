/**
 * Elections: votes (paper 5.2, 5.4.1), pre-vote and check-quorum (thesis 9.6, 6.2; rule C5, always on), leadership
 * transfer (thesis 3.10).
 */
import type { Progress } from "./progress.ts";
import { tickQuiesce } from "./quiesce.ts";
import { electionResult, quorumSize } from "./quorum.ts";
import type { Raft, Refusal } from "./raft.ts";
import type { Message } from "./types.ts";

type MessageOf<Type extends Message["type"]> = Extract<Message, { type: Type }>;

/** Whether a leader is heard, so that nobody else gets this node's vote (rule C5; paper, section 6). */
export function hasLease(raft: Raft): boolean {
  // A leader that has lost its quorum steps down by itself, so while it leads it has one.
  if (raft.role === "leader") return true;
  return raft.leaderId !== 0 &&
    raft.electionElapsed < raft.config.electionTimeoutTicks;
}

/**
 * Whether this node may be asked for a vote. With leases for reads it also keeps faith with a leader that it heard lately
 * in whatever term, and votes for nobody if it does not know any more (rule C8). `isTransfer`: the leader wants it so.
 */
export function mayBeAsked(raft: Raft, isTransfer: boolean): boolean {
  if (!raft.isAdmitted || raft.voteBlockTicks > 0) return false;
  return isTransfer || (!hasLease(raft) && raft.heardTicksLeft === 0);
}

/** A tick of anybody but a leader. */
export function tickElection(raft: Raft): void {
  raft.electionElapsed++;
  if (raft.electionElapsed < raft.electionTimeout) return;
  if (canCampaign(raft)) campaign(raft);
  else {
    if (raft.electionElapsed === raft.electionTimeout) {
      raft.counters.campaignsSkipped++;
    }
    if (raft.leaderId !== 0) raft.becomeFollower(raft.term, 0); // Whoever it was, it is silent.
  }
}

/**
 * Whether this node may campaign: it is a voter, and its membership is not one that the cluster may have left behind
 * by more than one change (rule C4).
 */
export function canCampaign(raft: Raft): boolean {
  if (!raft.isAdmitted || !raft.isVoter() || raft.isDiskStalled) return false;
  // Whatever the membership takes it for: it has nothing to lead with (rule C9).
  if (raft.config.isWitness) return false;
  if (raft.log.isRestoring) return false;
  const changes = raft.log.unappliedChanges();
  const first = changes[0];
  if (first === undefined) return true;
  if (changes.length >= 2) {
    // The second was proposed only after the first was committed and applied. Without this the commit index, lost in
    // a crash, might never be learnt again: nobody could campaign.
    raft.log.commitTo(first);
  }
  return first > raft.log.commit; // What is committed is applied soon; better to campaign with it.
}

/** Begins an election by asking whether it could be won. */
function campaign(raft: Raft): void {
  raft.becomePreCandidate();
  for (let position = 0; position < raft.voterCount; position++) {
    const progress = raft.progress[position] as Progress;
    if (progress === raft.self) continue;
    raft.outbox.send({
      type: "preVote",
      from: raft.nodeId,
      to: progress.nodeId,
      term: raft.term + 1,
      lastLogIndex: raft.log.lastIndex,
      lastLogTerm: raft.log.lastTerm,
    });
  }
  countOwnVote(raft);
}

/** Begins an election in a new term. Its own vote counts once it is durable (rule C2). */
function campaignInNewTerm(raft: Raft, isTransfer: boolean): void {
  raft.becomeCandidate();
  for (let position = 0; position < raft.voterCount; position++) {
    const progress = raft.progress[position] as Progress;
    if (progress === raft.self) continue;
    raft.outbox.send({
      type: "vote",
      from: raft.nodeId,
      to: progress.nodeId,
      term: raft.term,
      lastLogIndex: raft.log.lastIndex,
      lastLogTerm: raft.log.lastTerm,
      transfer: isTransfer,
    });
  }
}

/** Answers a candidate (paper, figure 2, RequestVote). */
export function handleVote(raft: Raft, message: MessageOf<"vote">): void {
  const isBound = raft.voteBlockTicks > 0 ||
    (raft.heardTicksLeft > 0 && !message.transfer); // Of a leader that may hold a lease (rule C8).
  if (!raft.isAdmitted || isBound) {
    raft.ignored.leased++;
    return;
  }
  const granted = canVoteFor(raft, message.from) &&
    raft.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  if (granted) {
    raft.votedFor = message.from;
    raft.electionElapsed = 0;
  }
  raft.outbox.send({
    type: "voteResponse",
    from: raft.nodeId,
    to: message.from,
    term: raft.term,
    granted,
  });
}

/** Answers who asks whether it could win. Changes no state (rule C5). */
export function handlePreVote(raft: Raft, message: MessageOf<"preVote">): void {
  if (!mayBeAsked(raft, false)) {
    raft.ignored.leased++;
    return;
  }
  const granted =
    (message.term > raft.term || canVoteFor(raft, message.from)) &&
    raft.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  raft.outbox.send({
    type: "preVoteResponse",
    from: raft.nodeId,
    to: message.from,
    // A grant is for the term asked about; a refusal tells the term that stands in the way.
    term: granted ? message.term : raft.term,
    granted,
  });
}

/** Whether this node's vote in its term is free, or that candidate's already. */
function canVoteFor(raft: Raft, candidateId: number): boolean {
  return raft.votedFor === candidateId ||
    (raft.votedFor === 0 && raft.leaderId === 0);
}

/** Counts a vote. */
export function handleVoteResponse(
  raft: Raft,
  message: MessageOf<"voteResponse">,
): void {
  if (raft.role !== "candidate") {
    raft.ignored.stale++;
    return;
  }
  countVote(raft, { nodeId: message.from, granted: message.granted });
}

/** Counts a candidate's vote for itself, which is on disk now. */
export function countOwnVote(raft: Raft): void {
  countVote(raft, { nodeId: raft.nodeId, granted: true });
}

/** Counts a pre-vote. */
export function handlePreVoteResponse(
  raft: Raft,
  message: MessageOf<"preVoteResponse">,
): void {
  const expectedTerm = message.granted ? raft.term + 1 : raft.term;
  if (raft.role !== "preCandidate" || message.term !== expectedTerm) {
    raft.ignored.stale++;
    return;
  }
  countVote(raft, { nodeId: message.from, granted: message.granted });
}

function countVote(
  raft: Raft,
  vote: { nodeId: number; granted: boolean },
): void {
  const voter = raft.progressOf(vote.nodeId);
  if (voter === undefined || voter.vote !== "none") return;
  voter.vote = vote.granted ? "granted" : "rejected";
  const { voterCount } = raft;
  let granted = 0;
  let rejected = 0;
  for (let position = 0; position < voterCount; position++) {
    const progress = raft.progress[position] as Progress;
    if (progress.vote === "granted") granted++;
    else if (progress.vote === "rejected") rejected++;
  }
  switch (electionResult({ granted, rejected, voterCount })) {
    case "won":
      if (raft.role === "preCandidate") campaignInNewTerm(raft, false);
      // The others may be faster than this node's own disk; it wins when its own vote is durable too.
      else if (raft.hasDurableVote()) raft.becomeLeader();
      return;
    case "lost":
      raft.becomeFollower(raft.term, 0);
      return;
    case "pending":
      return;
  }
}

/** A tick of a leader: check-quorum, the end of a transfer, heartbeats. */
export function tickLeader(raft: Raft): void {
  raft.leaderTicks++;
  if (!hasActiveQuorum(raft)) {
    raft.counters.quorumsLost++;
    // Whoever cannot reach a quorum cannot serve, and may be the reason why the others cannot elect (rule C5).
    raft.becomeFollower(raft.term, 0);
    return;
  }
  if (raft.transferTarget !== 0) {
    raft.transferElapsed++;
    if (raft.transferElapsed >= raft.config.electionTimeoutTicks) {
      raft.transferTarget = 0; // Did not happen; proposals are taken again (thesis 3.10).
    }
  }
  if (raft.isDiskStalled && raft.voterCount > 1 && !isHandedOver(raft)) return;
  raft.heartbeatElapsed++;
  if (tickQuiesce(raft)) return;
  if (raft.heartbeatElapsed >= raft.config.heartbeatTicks) {
    raft.heartbeatElapsed = 0;
    raft.broadcastHeartbeat(raft.progress.length);
  }
}

/**
 * A leader whose disk stalls holds up everybody, though the others could do without it: it hands leadership to the member
 * that holds most, or steps down if that does not take it in time. False if it has stepped down.
 */
function isHandedOver(raft: Raft): boolean {
  if (raft.transferTarget !== 0) {
    raft.hasTriedHandOver = true; // Whoever asked for it: there is time for one.
    return true;
  }
  let best: Progress | undefined;
  for (const progress of raft.progress) {
    if (progress === raft.self || progress.kind !== "voter") continue;
    if (!raft.isActive(progress)) continue;
    if (best === undefined || progress.match > best.match) best = progress;
  }
  if (
    best !== undefined && !raft.hasTriedHandOver &&
    transferLeadership(raft, best.nodeId) === "started"
  ) {
    raft.hasTriedHandOver = true;
    return true;
  }
  raft.becomeFollower(raft.term, 0);
  return false;
}

/** Whether a quorum was heard within an election timeout, or had no time to be heard yet. */
function hasActiveQuorum(raft: Raft): boolean {
  let activeCount = 0;
  for (let position = 0; position < raft.voterCount; position++) {
    const progress = raft.progress[position] as Progress;
    const lastTick = Math.max(progress.heardTick, progress.sinceTick);
    if (
      progress === raft.self ||
      raft.leaderTicks - lastTick < raft.config.electionTimeoutTicks
    ) activeCount++;
  }
  return activeCount >= quorumSize(raft.voterCount);
}

/** Begins to hand leadership to `target` (thesis 3.10). */
export function transferLeadership(
  raft: Raft,
  target: number,
): "started" | Refusal {
  if (raft.role !== "leader") return "notLeader";
  const progress = raft.progressOf(target);
  if (progress?.kind !== "voter" || progress === raft.self) {
    return "invalidTarget";
  }
  if (raft.transferTarget === target) return "started";
  if (raft.transferTarget !== 0) return "transferring";
  raft.counters.transfersStarted++;
  raft.lease.forbid(); // Whoever is told to campaign need not wait for it to end.
  raft.transferTarget = target;
  raft.transferElapsed = 0;
  raft.isSendDue = true;
  maybeTimeoutNow(raft, progress);
  return "started";
}

/** Tells the target of a transfer to campaign, once its log is complete. Tells whether it did. */
export function maybeTimeoutNow(raft: Raft, progress: Progress): boolean {
  if (progress.nodeId !== raft.transferTarget) return false;
  if (progress.match !== raft.log.lastIndex) return false;
  raft.outbox.sendEarly({
    type: "timeoutNow",
    from: raft.nodeId,
    to: progress.nodeId,
    term: raft.term,
  });
  return true;
}

/** Campaigns at once, without asking first: the leader wants it so (thesis 3.10). */
export function handleTimeoutNow(
  raft: Raft,
  message: MessageOf<"timeoutNow">,
): void {
  if (raft.role !== "follower" || raft.leaderId !== message.from) {
    raft.ignored.stale++;
    return;
  }
  if (canCampaign(raft)) campaignInNewTerm(raft, true);
}
