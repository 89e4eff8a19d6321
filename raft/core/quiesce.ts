/**
 * Quiet clusters (rule C10): a cluster with nothing to do stops its heartbeats and its election timers, by agreement, and
 * costs nothing until somebody has something to say.
 *
 * The leader offers it in place of a heartbeat, once nothing has happened for `quiesceTicks` and every member that it
 * hears holds the whole log. A follower that agrees is quiet from then on; the leader is when all have agreed whom it
 * hears, a quorum at least. Whoever does not agree, or does not answer, gets heartbeats again, which wake the others.
 *
 * Any message, proposal, read or change wakes a node. A leader that wakes sends heartbeats at once, and so wakes its
 * followers. What a heartbeat was for besides, to tell that the leader lives, is the driver's: NodeHosts that share
 * clusters exchange one beat for all of them, and the driver says `leaderSilent` to the nodes whose leader's NodeHost it
 * hears no more. A quiet leader holds no lease: it gave that up with its offer, so followers may forget it.
 */
import { quorumSize } from "./quorum.ts";
import type { Raft } from "./raft.ts";
import type { Message } from "./types.ts";

type MessageOf<Type extends Message["type"]> = Extract<Message, { type: Type }>;

/** Something happens: the node is not idle, and no longer quiet. */
export function stir(raft: Raft): void {
  raft.idleTicks = 0;
  raft.quietOfferTicks = 0;
  if (raft.isQuiet) wake(raft);
}

function wake(raft: Raft): void {
  raft.isQuiet = false;
  if (raft.role !== "leader") {
    raft.electionElapsed = 0;
    return;
  }
  for (const progress of raft.progress) {
    progress.isQuiet = false;
    // Nobody was asked since; whoever does not answer now is missed an election timeout later (rule C5).
    progress.sinceTick = raft.leaderTicks;
  }
  raft.heartbeatElapsed = 0;
  raft.broadcastHeartbeat(raft.progress.length);
}

/**
 * A message came: it wakes a quiet node, unless it says only that its sender lives. A follower that is asked for its vote
 * lets its leader know that it is awake, and hears of it if it lives: else the one who asks, which may only have lost touch
 * with the leader, would have its vote when it asks again.
 */
export function stirBy(raft: Raft, message: Message): void {
  if (!isStirring(raft, message)) return;
  const wasQuiet = raft.isQuiet;
  stir(raft);
  if (!wasQuiet || message.type !== "preVote" || raft.role === "leader") return;
  raft.isLeaderDoubted = true;
  raft.outbox.send({
    type: "heartbeatResponse",
    from: raft.nodeId,
    to: raft.leaderId,
    term: raft.term,
    round: raft.heardRound,
  });
}

/** Whether a message says more than that its sender lives. */
function isStirring(raft: Raft, message: Message): boolean {
  switch (message.type) {
    case "heartbeat":
    case "heartbeatResponse":
      return raft.isQuiet; // Its sender is awake, and wants to be answered, or to hear more.
    case "quiesce":
    case "quiesceResponse":
      return false;
    default:
      return true;
  }
}

/** A tick of a leader: offers quiet, or waits for answers to that. True if heartbeats must not leave now. */
export function tickQuiesce(raft: Raft): boolean {
  const { quiesceTicks = 0, electionTimeoutTicks, heartbeatTicks } =
    raft.config;
  if (quiesceTicks === 0) return false;
  if (raft.quietOfferTicks > 0) {
    raft.quietOfferTicks--;
    if (raft.quietOfferTicks > 0) return true;
    // Somebody did not answer in time; those who did hear a heartbeat, and are awake again.
    raft.idleTicks = Math.max(0, quiesceTicks - electionTimeoutTicks);
    raft.heartbeatElapsed = heartbeatTicks;
    return false;
  }
  if (raft.idleTicks < quiesceTicks || !canBeQuiet(raft)) return false;
  // Followers miss heartbeats meanwhile, and must not miss so many that they campaign.
  const patience = Math.floor(electionTimeoutTicks / 2) - heartbeatTicks;
  raft.quietOfferTicks = Math.max(1, patience) + 1;
  raft.lease.end();
  for (const progress of raft.progress) {
    progress.isQuiet = false;
    if (progress === raft.self || !raft.isActive(progress)) continue;
    raft.outbox.sendEarly({
      type: "quiesce",
      from: raft.nodeId,
      to: progress.nodeId,
      term: raft.term,
      index: raft.log.lastIndex,
      round: raft.round,
    });
  }
  maybeBeQuiet(raft); // A cluster of one needs no answers.
  return true;
}

/** Whether nothing is under way, and all that this leader hears hold everything. */
function canBeQuiet(raft: Raft): boolean {
  if (raft.isMixed) return false;
  const { log, reads } = raft;
  const { lastIndex } = log;
  if (log.commit !== lastIndex || log.applied !== lastIndex) return false;
  if (log.persisted !== lastIndex || raft.isSendDue) return false;
  if (raft.transferTarget !== 0) return false;
  if (reads.waiting.length > 0 || reads.rounds.length > 0) return false;
  let activeVoters = 0;
  for (const [position, progress] of raft.progress.entries()) {
    // Whoever is not heard campaigns, or says hello, when it comes back, and wakes this leader by that.
    if (!raft.isActive(progress)) continue;
    if (position < raft.voterCount) activeVoters++;
    if (progress === raft.self) continue;
    if (progress.state !== "replicate" || progress.match !== lastIndex) {
      return false;
    }
  }
  return activeVoters >= quorumSize(raft.voterCount);
}

/** Is quiet if everybody agreed whom this leader hears. */
function maybeBeQuiet(raft: Raft): void {
  let quietVoters = 0;
  for (const [position, progress] of raft.progress.entries()) {
    if (progress === raft.self || progress.isQuiet) {
      if (position < raft.voterCount) quietVoters++;
    } else if (raft.isActive(progress)) return;
  }
  if (quietVoters < quorumSize(raft.voterCount)) return;
  raft.quietOfferTicks = 0;
  raft.isQuiet = true;
}

/** The leader offers quiet. */
export function handleQuiesce(
  raft: Raft,
  message: MessageOf<"quiesce">,
): void {
  const { log } = raft;
  const { quiesceTicks = 0 } = raft.config;
  // A driver that has something to do says so before each tick, so a whole tick without that must have passed.
  const accepted = quiesceTicks > 0 && raft.idleTicks > 1 && !raft.isMixed &&
    message.round >= raft.heardRound &&
    log.lastIndex === message.index && log.persisted === message.index &&
    raft.reads.forwarded.length === 0;
  if (accepted) {
    // The leader knows that our log equals its own up to here, and that this is committed.
    log.commitTo(message.index);
    raft.isQuiet = true;
  }
  raft.outbox.send({
    type: "quiesceResponse",
    from: raft.nodeId,
    to: message.from,
    term: raft.term,
    index: message.index,
    accepted,
  });
}

/** A follower answers the offer of quiet. */
export function handleQuiesceResponse(
  raft: Raft,
  message: MessageOf<"quiesceResponse">,
): void {
  const progress = raft.progressOf(message.from);
  if (raft.role !== "leader" || progress === undefined) {
    raft.ignored.stale++;
    return;
  }
  progress.heardTick = raft.leaderTicks;
  if (raft.quietOfferTicks === 0 || message.index !== raft.log.lastIndex) {
    return; // The offer was withdrawn; the heartbeats that follow tell it.
  }
  if (!message.accepted) {
    raft.quietOfferTicks = 0;
    raft.idleTicks = 0;
    return;
  }
  progress.isQuiet = true;
  maybeBeQuiet(raft);
}

/**
 * Whether it matters to this node that its leader's NodeHost is silent: it is quiet, or was so until another member that
 * noticed it before woke it.
 */
export function heedsSilence(raft: Raft): boolean {
  return raft.isQuiet || raft.isLeaderDoubted;
}

/**
 * The NodeHost of this quiet node's leader is silent, or the leader's node has stopped: a follower wakes, and campaigns
 * within so many ticks unless it hears of a leader. They are drawn at random, so that of many clusters that lost their
 * leader with one NodeHost only some campaign in one turn (rule C10).
 */
export function leaderSilent(raft: Raft, withinTicks: number): void {
  if (!heedsSilence(raft) || raft.role !== "follower") return;
  stir(raft);
  drawEarlyTimeout(raft, withinTicks);
  raft.becomeFollower(raft.term, 0);
}

/**
 * A follower draws when to campaign, with its leader gone for sure: within an election timeout, or `withinTicks` if more.
 */
export function drawEarlyTimeout(raft: Raft, withinTicks: number): void {
  const { electionTimeoutTicks } = raft.config;
  raft.electionElapsed = 0;
  raft.heardTicksLeft = 0; // A leader gives its lease up before it is quiet, so nobody holds one.
  const limit = Math.max(electionTimeoutTicks, withinTicks);
  raft.electionTimeout = 1 + raft.drawTurn(limit, raft.leaderId);
}
