/**
 * Linearizable reads without the log (thesis 6.4; rule C7). The leader notes its commit index, and answers once a
 * quorum has confirmed, by a heartbeat round that began after the read arrived, that it still leads. All reads of a
 * turn share a round, and a round also confirms those before it. A follower asks its leader.
 */
import { hasReadLease } from "./lease.ts";
import type { Progress } from "./progress.ts";
import { quorumValue } from "./quorum.ts";
import type { Raft } from "./raft.ts";
import type { Message, ReadContext } from "./types.ts";

type MessageOf<Type extends Message["type"]> = Extract<Message, { type: Type }>;

/** A read and who asked for it: this node, or a follower. */
interface Read {
  readonly from: number;
  readonly context: ReadContext;
}

/** Reads that wait for the same heartbeat round. */
interface ReadRound {
  readonly round: number;
  readonly index: number;
  readonly reads: readonly Read[];
}

/** A read that was forwarded to the leader. */
interface ForwardedRead {
  readonly context: ReadContext;
  ticksLeft: number;
}

/** Reads that wait for something. */
export class ReadQueue {
  /** On a leader: for the next round. */
  waiting: Read[] = [];
  /** On a leader: for the answers to a round, oldest first. */
  rounds: ReadRound[] = [];
  /** On a follower: for the leader's answer, oldest first. */
  forwarded: ForwardedRead[] = [];
}

/** Scratch space for quorum calculations, which finish before anybody else may use it. */
const ackedRounds: number[] = [];

/** Begins a read on behalf of this node. */
export function requestRead(raft: Raft, context: ReadContext): void {
  if (raft.role === "leader") {
    raft.reads.waiting.push({ from: raft.nodeId, context });
  } else if (raft.leaderId === 0) {
    raft.outbox.dropRead(context);
  } else {
    raft.reads.forwarded.push({
      context,
      ticksLeft: raft.config.electionTimeoutTicks,
    });
    raft.outbox.sendEarly({
      type: "readIndex",
      from: raft.nodeId,
      to: raft.leaderId,
      term: raft.term,
      context,
    });
  }
}

/** Begins a read on behalf of a follower. */
export function handleReadIndex(
  raft: Raft,
  message: MessageOf<"readIndex">,
): void {
  const asker = raft.progressOf(message.from);
  // A witness has nothing to read (rule C9).
  const mayRead = asker !== undefined && asker.kind !== "witness";
  if (raft.role !== "leader" || !mayRead) {
    answer(raft, message, 0);
    return;
  }
  raft.reads.waiting.push({ from: message.from, context: message.context });
}

/** Whether reads wait that a new round could confirm. */
export function isRoundDue(raft: Raft): boolean {
  // Before that the leader may not know what earlier leaders have committed (thesis 6.4, step 1).
  return raft.reads.waiting.length > 0 && raft.hasCommittedInTerm();
}

/** Begins a round for all reads that wait. */
export function startReadRound(raft: Raft): void {
  if (!isRoundDue(raft)) return;
  const { reads } = raft;
  if (hasReadLease(raft)) {
    const index = raft.log.commit;
    for (const read of reads.waiting) confirm(raft, read, index);
    reads.waiting = [];
    return;
  }
  raft.broadcastHeartbeat(raft.voterCount); // Nobody counts what observers say.
  reads.rounds.push({
    round: raft.round,
    index: raft.log.commit,
    reads: reads.waiting,
  });
  reads.waiting = [];
  confirmReads(raft); // A cluster of one needs no answers.
}

/** Completes the reads whose round a quorum of the voters has answered. */
export function confirmReads(raft: Raft): void {
  const { rounds } = raft.reads;
  if (rounds.length === 0) return;
  const { voterCount } = raft;
  for (let position = 0; position < voterCount; position++) {
    const progress = raft.progress[position] as Progress;
    ackedRounds[position] = progress === raft.self
      ? raft.round
      : progress.ackedRound;
  }
  const confirmed = quorumValue(ackedRounds, voterCount);
  let count = 0;
  for (; count < rounds.length; count++) {
    const round = rounds[count] as ReadRound;
    if (round.round > confirmed) break;
    for (const read of round.reads) confirm(raft, read, round.index);
  }
  if (count > 0) rounds.splice(0, count);
}

function confirm(raft: Raft, read: Read, index: number): void {
  if (read.from === raft.nodeId) {
    raft.outbox.confirmRead({ context: read.context, index });
  } else {
    answer(raft, read, index);
  }
}

/** The leader has answered a forwarded read. */
export function handleReadIndexResponse(
  raft: Raft,
  message: MessageOf<"readIndexResponse">,
): void {
  const { forwarded } = raft.reads;
  const position = raft.leaderId !== message.from
    ? -1
    : forwarded.findIndex((read) => isSame(read.context, message.context));
  if (position < 0) {
    raft.ignored.stale++;
    return;
  }
  const context = (forwarded[position] as ForwardedRead).context;
  forwarded.splice(position, 1);
  if (message.rejected) raft.outbox.dropRead(context);
  else raft.outbox.confirmRead({ context, index: message.index });
}

/** Gives up forwarded reads whose question or answer was lost. */
export function expireForwardedReads(raft: Raft): void {
  const { forwarded } = raft.reads;
  if (forwarded.length === 0) return;
  let expired = 0;
  for (const read of forwarded) {
    read.ticksLeft--;
    if (read.ticksLeft <= 0) expired++; // They were forwarded in this order, so they expire in it.
  }
  for (const read of forwarded.splice(0, expired)) {
    raft.outbox.dropRead(read.context);
  }
}

/** The leader they waited for is no longer the one. They changed nothing and can be asked again. */
export function dropReads(raft: Raft): void {
  const { reads } = raft;
  for (const read of reads.forwarded) raft.outbox.dropRead(read.context);
  for (const round of reads.rounds) drop(raft, round.reads);
  drop(raft, reads.waiting);
  if (reads.forwarded.length > 0) reads.forwarded = [];
  if (reads.rounds.length > 0) reads.rounds = [];
  if (reads.waiting.length > 0) reads.waiting = [];
}

function drop(raft: Raft, reads: readonly Read[]): void {
  for (const read of reads) {
    if (read.from === raft.nodeId) raft.outbox.dropRead(read.context);
    else answer(raft, read, 0);
  }
}

/** Answers a follower's read; index 0 refuses it. */
function answer(raft: Raft, read: Read, index: number): void {
  raft.outbox.send({
    type: "readIndexResponse",
    from: raft.nodeId,
    to: read.from,
    term: raft.term,
    context: read.context,
    index,
    rejected: index === 0,
  });
}

function isSame(left: ReadContext, right: ReadContext): boolean {
  return left.counter === right.counter &&
    left.incarnation === right.incarnation && left.nodeId === right.nodeId;
}
