/**
 * Log replication: append and heartbeat, conflict hints (paper 5.3), the commit rule (paper 5.4.2), and what is sent
 * to whom when (progress.ts keeps the states).
 */
import { hasPayloads, withoutPayloads } from "./entry_batch.ts";
import { maybeTimeoutNow } from "./election.ts";
import { renewLease } from "./lease.ts";
import type { BatchRun } from "./log.ts";
import type { Progress } from "./progress.ts";
import { nthHighest, quorumSize, quorumValue } from "./quorum.ts";
import type { Raft } from "./raft.ts";
import { confirmReads } from "./read_index.ts";
import { maybeSendSnapshot } from "./snapshot.ts";
import type { EntryBatch, Message } from "./types.ts";

type MessageOf<Type extends Message["type"]> = Extract<Message, { type: Type }>;

const noBatches: readonly EntryBatch[] = [];
/** Scratch space for quorum calculations, which finish before anybody else may use it. */
const matchIndexes: number[] = [];

/** One look at all followers. */
interface SendPass {
  /** The run of batches read last, and the index it begins at. */
  index: number;
  run: BatchRun | undefined;
  /** Whether an append may leave only to tell the commit index. */
  readonly mayTellCommit: boolean;
}

/** Sends to every follower what it may be sent now. Proposals of one turn share their appends. */
export function sendAppends(raft: Raft): void {
  if (!raft.isSendDue) return;
  // What is applied now brings new proposals in a moment, which can tell the commit index too. If none come, the next
  // update tells it alone.
  const mayTellCommit = !raft.isCommitFresh;
  raft.isSendDue = raft.isCommitFresh;
  raft.isCommitFresh = false;
  // Followers that keep up need the same batches, so the last run is often the next one too.
  const pass: SendPass = { index: 0, run: undefined, mayTellCommit };
  const progresses = raft.progress;
  for (let position = 0; position < progresses.length; position++) {
    const progress = progresses[position] as Progress;
    if (progress !== raft.self) sendTo(raft, progress, pass);
  }
}

function sendTo(
  raft: Raft,
  progress: Progress,
  pass: SendPass,
): void {
  const { log, config } = raft;
  const isWitness = progress.kind === "witness";
  const limit = isWitness
    ? Math.min(log.lastIndex, raft.witnessLimit)
    : progress.nodeId === raft.leavingId
    ? Math.min(log.lastIndex, raft.leavingLimit)
    : log.lastIndex;
  while (progress.next <= limit) {
    if (progress.state === "snapshot") return;
    if (progress.state === "probe" && progress.isProbeSent) return;
    if (isInflightFull(raft, progress)) break;
    if (pass.run === undefined || pass.index !== progress.next) {
      pass.index = progress.next;
      pass.run = log.run({
        index: progress.next,
        limit: log.lastIndex,
        maxBytes: config.maxAppendBytes,
      });
    }
    if (pass.run === undefined) {
      maybeSendSnapshot(raft, progress); // What it needs is compacted.
      return;
    }
    const own = isWitness
      ? runForWitness(raft, pass.run)
      : pass.run.lastIndex > limit
      ? runUpTo(pass.run, limit)
      : pass.run;
    if (own.batches.length === 0) break; // Its first batch goes beyond the limit.
    const run = withPrevTerm(own, progress);
    if (run === undefined) {
      if (progress.state !== "probe") progress.becomeProbe();
      break; // An empty append finds out first how far it matches.
    }
    sendAppend(raft, progress, run);
    if (progress.state === "probe") return;
    if (run.isFromStorage && progress.next <= log.lastIndex) {
      // Reading blocks the event loop: one message at a time, the rest in the next turn.
      raft.isSendDue = !isInflightFull(raft, progress) || raft.isSendDue;
      return;
    }
  }
  sendEmptyIfDue(raft, progress, pass.mayTellCommit);
}

/** What a witness gets of a run: headers alone, and none beyond its limit (rule C9). */
function runForWitness(raft: Raft, run: BatchRun): BatchRun {
  const { witnessLimit, config } = raft;
  const batches = run.batches
    .filter((batch) => batch.lastIndex <= witnessLimit)
    .map((batch) => withoutPayloads(batch, config.crc32));
  return runOf(run, batches);
}

/** What a member that is about to be removed gets of a run: no batch beyond its limit (rule C9). */
function runUpTo(run: BatchRun, limit: number): BatchRun {
  return runOf(run, run.batches.filter((batch) => batch.lastIndex <= limit));
}

/** The run with these batches, its first ones, in place of its own. */
function runOf(run: BatchRun, batches: readonly EntryBatch[]): BatchRun {
  let byteCount = 0;
  for (const batch of batches) byteCount += batch.bytes.length;
  const lastIndex = batches.at(-1)?.lastIndex ?? run.prevLogIndex;
  return { ...run, batches, byteCount, lastIndex };
}

/**
 * Moves the limit of what witnesses are told (rule C9). A witness votes for nobody whose log lacks what it knows of, and
 * cannot lead itself. So it hears of an entry only when so many voters hold it that the witnesses' word may commit it:
 * then those who are up can elect one who has it whenever a quorum is up, as without witnesses; and what nobody holds
 * in full on its disk, not even the leader, never stands in anybody's way.
 */
function raiseWitnessLimit(raft: Raft): void {
  const { progress, voterCount, holderCount } = raft;
  for (let position = 0; position < holderCount; position++) {
    matchIndexes[position] = (progress[position] as Progress).match;
  }
  const needed = quorumSize(voterCount) - (voterCount - holderCount);
  const limit = nthHighest(matchIndexes, holderCount, Math.max(needed, 1));
  if (limit <= raft.witnessLimit) return;
  raft.witnessLimit = limit;
  raft.isSendDue = true;
}

/**
 * Moves the limit of what a voter is told whose removal is in the log, and not applied (rule C9). Once it has applied
 * that itself it cannot lead any more, but those who do not know it need its vote, as a witness's: which it refuses to
 * whoever lacks what it was told. So it hears of an entry only when so many of those who stay hold it, on disk, that its
 * word may commit it. Nothing waits for it that would not wait for them anyhow: its acknowledgement alone is no quorum.
 */
function raiseLeavingLimit(raft: Raft): void {
  const { progress, voterCount, holderCount, leavingId } = raft;
  let count = 0;
  for (let position = 0; position < holderCount; position++) {
    const member = progress[position] as Progress;
    if (member.nodeId !== leavingId) matchIndexes[count++] = member.match;
  }
  if (count === holderCount) return; // It is gone.
  const needed = quorumSize(voterCount) - (voterCount - count);
  const limit = nthHighest(matchIndexes, count, Math.max(needed, 1));
  if (limit <= raft.leavingLimit) return;
  raft.leavingLimit = limit;
  raft.isSendDue = true;
}

function isInflightFull(raft: Raft, progress: Progress): boolean {
  return progress.inflightCount >= raft.config.maxInflightAppends ||
    progress.inflightBytes >= raft.config.maxInflightBytes;
}

/**
 * The run with the term before it. That is unknown where our own log begins inside a batch, after a snapshot; a
 * follower that is known to match beyond that point does not look at it (rule B2).
 */
function withPrevTerm(
  run: BatchRun,
  progress: Progress,
): SendableRun | undefined {
  if (isSendable(run)) return run;
  return progress.match > run.prevLogIndex
    ? { ...run, prevLogTerm: 0 }
    : undefined;
}

/** A run that a follower can check. */
type SendableRun = BatchRun & { readonly prevLogTerm: number };

function isSendable(run: BatchRun): run is SendableRun {
  return run.prevLogTerm !== undefined;
}

/** An append without entries: probes a follower, tells it the commit index, or finds out what it has received. */
function sendEmptyIfDue(
  raft: Raft,
  progress: Progress,
  mayTellCommit: boolean,
): void {
  const isDue = progress.state === "probe"
    ? !progress.isProbeSent
    : progress.state === "replicate" &&
      (progress.isCheckDue ||
        (mayTellCommit && progress.sentCommit < raft.log.commit));
  if (!isDue) return;
  const prevLogIndex = progress.next - 1;
  const prevLogTerm = raft.log.termOf(prevLogIndex);
  if (prevLogTerm === undefined) {
    maybeSendSnapshot(raft, progress);
    return;
  }
  sendAppend(raft, progress, {
    prevLogIndex,
    prevLogTerm,
    lastIndex: prevLogIndex,
    byteCount: 0,
    batches: noBatches,
    isFromStorage: false,
  });
}

function sendAppend(
  raft: Raft,
  progress: Progress,
  run: SendableRun,
): void {
  raft.outbox.sendEarly({
    type: "append",
    from: raft.nodeId,
    to: progress.nodeId,
    term: raft.term,
    prevLogIndex: run.prevLogIndex,
    prevLogTerm: run.prevLogTerm,
    commit: raft.log.commit,
    batches: run.batches,
  });
  progress.sentCommit = raft.log.commit;
  progress.isCheckDue = false;
  if (progress.state === "probe" || run.batches.length > 0) progress.sent(run);
}

/** Takes entries from the leader (paper, figure 2, AppendEntries). */
export function handleAppend(raft: Raft, message: MessageOf<"append">): void {
  const { log } = raft;
  if (!isWellFormed(message)) {
    raft.ignored.broken++;
    return;
  }
  // A snapshot is written alone; what follows it comes again.
  if (raft.outbox.snapshot !== undefined) return;
  if (
    message.prevLogIndex > log.commit &&
    !log.holds(message.prevLogIndex, message.prevLogTerm)
  ) {
    rejectAppend(raft, message);
    return;
  }
  let lastIndex = message.prevLogIndex;
  for (const batch of message.batches) {
    lastIndex = batch.lastIndex;
    // What is committed, or held with the same term, is here already (rule B2).
    const isHere = lastIndex <= log.commit
      ? !log.contradicts(lastIndex, batch.term)
      : log.holds(lastIndex, batch.term);
    if (isHere) continue;
    if (!hasPayloads(batch) && !raft.config.isWitness) {
      // Storing it would be to acknowledge what this node does not hold.
      raft.isTakenForWitness = true;
      raft.ignored.broken++;
      return;
    }
    if (lastIndex <= log.commit || !log.canAppend(batch)) {
      raft.ignored.broken++;
      return;
    }
    log.append(batch);
  }
  log.commitTo(Math.min(message.commit, lastIndex));
  raft.outbox.send({
    type: "appendResponse",
    from: raft.nodeId,
    to: message.from,
    term: raft.term,
    // Committed entries equal the leader's, whatever this append was about (paper 5.4.3).
    index: Math.max(lastIndex, log.commit),
    rejected: false,
    hintIndex: 0,
    hintTerm: 0,
  });
}

/** Whether an append obeys the rules that its sender's own log obeys. */
function isWellFormed(message: MessageOf<"append">): boolean {
  let nextIndex = message.prevLogIndex + 1;
  let term = message.prevLogTerm;
  for (const batch of message.batches) {
    if (batch.firstIndex !== nextIndex || batch.term < term) return false;
    nextIndex = batch.lastIndex + 1;
    term = batch.term;
  }
  return term <= message.term;
}

/** Refuses an append, and says where the logs may agree, so that a term is skipped at a time (paper 5.3). */
function rejectAppend(raft: Raft, message: MessageOf<"append">): void {
  const { log } = raft;
  raft.counters.appendsRejected++;
  const hintIndex = log.lastIndexUpToTerm(
    message.prevLogIndex,
    message.prevLogTerm,
  );
  raft.outbox.send({
    type: "appendResponse",
    from: raft.nodeId,
    to: message.from,
    term: raft.term,
    index: message.prevLogIndex,
    rejected: true,
    hintIndex,
    hintTerm: log.termOf(hintIndex) ?? 0,
  });
}

/** Learns what a follower holds. */
export function handleAppendResponse(
  raft: Raft,
  message: MessageOf<"appendResponse">,
): void {
  const progress = raft.progressOf(message.from);
  if (raft.role !== "leader" || progress === undefined) {
    raft.ignored.stale++;
    return;
  }
  if (message.index > raft.log.lastIndex) {
    raft.ignored.broken++;
    return;
  }
  progress.heardTick = raft.leaderTicks;
  if (message.rejected) {
    // The follower skipped the terms above ours; we skip those above its.
    const hintIndex = message.hintTerm === 0
      ? message.hintIndex
      : raft.log.lastIndexUpToTerm(message.hintIndex, message.hintTerm);
    const hadLost = progress.hasLostEntries;
    if (progress.maybeBackOff(message.index, hintIndex)) raft.isSendDue = true;
    if (progress.hasLostEntries && !hadLost) raft.lossCount++;
    return;
  }
  const wasFed = progress.state === "replicate";
  if (progress.maybeAdvance(message.index)) {
    maybeCommit(raft);
    maybeTimeoutNow(raft, progress);
  }
  if (!wasFed || progress.next <= raft.log.lastIndex) raft.isSendDue = true;
}

/** Hears that the leader lives. */
export function handleHeartbeat(
  raft: Raft,
  message: MessageOf<"heartbeat">,
): void {
  if (message.commit > raft.log.lastIndex) {
    // The leader knows that we held more: our disk lost what it promised. Nothing here can be trusted to repair it.
    raft.ignored.broken++;
    return;
  }
  raft.log.commitTo(message.commit);
  raft.heardRound = message.round;
  raft.outbox.send({
    type: "heartbeatResponse",
    from: raft.nodeId,
    to: message.from,
    term: raft.term,
    round: message.round,
  });
}

/** Hears that a follower lives, and still follows. */
export function handleHeartbeatResponse(
  raft: Raft,
  message: MessageOf<"heartbeatResponse">,
): void {
  const progress = raft.progressOf(message.from);
  if (raft.role !== "leader" || progress === undefined) {
    raft.ignored.stale++;
    return;
  }
  if (message.round > raft.round) {
    raft.ignored.broken++;
    return;
  }
  progress.heardTick = raft.leaderTicks;
  if (progress.heartbeatAnswered()) raft.isSendDue = true;
  if (message.round <= progress.ackedRound) return;
  progress.ackedRound = message.round;
  renewLease(raft);
  confirmReads(raft);
}

/**
 * Up to where a leader may commit that is about to be removed. Beside witnesses it could hold the only copy, and its
 * removal with the help of their votes would leave nobody who could lead; one who stays must hold all of it (rule C9).
 */
function heldByOthers(raft: Raft): number {
  // The removal of the only voter is refused when it is applied, for which it must be committed.
  if (raft.holderCount === 1) return (raft.progress[0] as Progress).match;
  let held = raft.ownRemovalIndex - 1;
  for (let position = 0; position < raft.holderCount; position++) {
    const member = raft.progress[position] as Progress;
    if (member !== raft.self && member.match > held) held = member.match;
  }
  return held;
}

/**
 * Commits what a majority holds, and at least one that has the payloads and so could lead with it (rule C9), if it is of
 * this term: entries of earlier terms are committed only with one of this term after them (paper 5.4.2, figure 8). Tells
 * whether the commit index moved.
 */
export function maybeCommit(raft: Raft): boolean {
  const { progress, voterCount, holderCount } = raft;
  if (holderCount < voterCount) raiseWitnessLimit(raft);
  if (raft.leavingId !== 0) raiseLeavingLimit(raft);
  let held = 0;
  for (let position = 0; position < voterCount; position++) {
    const { match } = progress[position] as Progress;
    matchIndexes[position] = match;
    if (match > held && position < holderCount) held = match;
  }
  if (holderCount < voterCount && raft.ownRemovalIndex > raft.log.applied) {
    held = heldByOthers(raft);
  }
  const index = Math.min(quorumValue(matchIndexes, voterCount), held);
  // The log from here on is all of this term.
  if (index < raft.termStartIndex) return false;
  if (!raft.log.commitTo(index)) return false;
  raft.isSendDue = true;
  raft.isCommitFresh = true;
  return true;
}
