/**
 * Proposals of one node, from the call until their entry is applied here. Those made while the node leads go into its
 * next batch; those made on a follower travel to the leader with a proposer key, by which the follower finds
 * them again when it applies the entry itself (rules B3, R1).
 */
import { assert } from "./core/assert.ts";
import type { EntryBatch } from "./core/types.ts";
import { EntryBuilder } from "./entries.ts";
import type { CommandKind, SessionFields } from "./entries.ts";
import { isGivenUp, isPassedOver, type Outlook } from "./outlook.ts";
import { ProposalGroup, requestError } from "./requests.ts";
import type { Settle } from "./requests.ts";
import type { Result } from "./state_machine.ts";

/** Counters are taken by so many; no record for the leader has more than a part of that. */
const counterBlock = 2 ** 20;

const expired = (): unknown =>
  requestError(
    "timeout",
    "Cannot tell whether the proposal was applied: its deadline passed",
    "unknown",
  );

const overwritten = (): unknown =>
  requestError(
    "dropped",
    "Cannot apply the proposal: another leader's entry took its place in the log",
  );

const passedOver = (): unknown =>
  requestError(
    "dropped",
    "Cannot apply the proposal: it was lost with the leader that took it, and another leads now",
  );

const unanswered = (): unknown =>
  requestError(
    "dropped",
    "Cannot tell whether the proposal was applied: the leader that it was sent to never answered",
    "unknown",
  );

/** Measures how long proposals take, a group at a time: two looks at the clock for a whole batch. */
export interface ProposalLatency {
  /** Time. */
  readonly clock: { now(): number };
  /** What is told for each group that was applied. */
  readonly histogram: { record(ms: number, count: number): void };
}

/** All proposals of one node that have not ended. */
export class ProposalTable {
  /** Entries for the next batch of this node as leader. */
  readonly builder = new EntryBuilder();
  /** Entries for the leader elsewhere. */
  readonly forwardBuilder = new EntryBuilder(0);
  #next = new ProposalGroup();
  #nextForward = new ProposalGroup();
  #inLog: ProposalGroup[] = [];
  #forwarded: ProposalGroup[] = [];
  #nextCounter = 0;
  #counterEnd = 0;
  #bytes = 0;
  readonly #proposer: number;
  readonly #takeCounters: (count: number) => number;
  readonly #latency: ProposalLatency | undefined;

  /**
   * `proposer` names this incarnation of the NodeHost in proposer keys; `takeCounters` returns the first of so many
   * counters that no other table got in it; `latency` is told how long proposals took.
   */
  constructor(
    proposer: number,
    takeCounters: (count: number) => number,
    latency?: ProposalLatency,
  ) {
    this.#proposer = proposer;
    this.#takeCounters = takeCounters;
    this.#latency = latency;
  }

  /** What all of them count against the limit of memory. */
  get bytes(): number {
    return this.#bytes + this.#next.bytes + this.#nextForward.bytes;
  }

  /** Whether the next turn has something to hand on. */
  get hasWork(): boolean {
    return this.builder.count > 0 || this.forwardBuilder.count > 0;
  }

  /** Whether any proposal has not ended. */
  get isWaiting(): boolean {
    return this.#inLog.length > 0 || this.#forwarded.length > 0 ||
      this.hasWork;
  }

  /** Adds a proposal to the next batch of this node; it has the last slot of the returned group. */
  add(
    command: Uint8Array,
    settle: Settle<Result>,
    deadline: number,
    session?: SessionFields,
    kind?: CommandKind,
  ): ProposalGroup {
    if (session === undefined) this.builder.add(command, kind);
    else this.builder.addInSession(command, session, 0, 0, kind);
    const group = this.#next;
    if (group.since < 0) this.#begin(group);
    group.add(settle, deadline, command.length);
    return group;
  }

  /** Adds a proposal to the next record for the leader; it has the last slot of the returned group. */
  addForward(
    command: Uint8Array,
    settle: Settle<Result>,
    deadline: number,
    session?: SessionFields,
    kind?: CommandKind,
  ): ProposalGroup {
    const group = this.#nextForward;
    if (group.settles.length === 0) {
      this.#beginForward(group);
      this.#begin(group);
    }
    const counter = this.#nextCounter++;
    assert(counter < this.#counterEnd, "a record must not use up its counters");
    const { forwardBuilder } = this;
    if (session === undefined) {
      forwardBuilder.addWithKey(command, this.#proposer, counter, kind);
    } else {
      const proposer = this.#proposer;
      forwardBuilder.addInSession(command, session, proposer, counter, kind);
    }
    group.add(settle, deadline, command.length);
    return group;
  }

  /** Adds entries that another NodeHost forwarded; returns the place of the first in the next batch. */
  addForeign(
    entries: Uint8Array,
    entryCount: number,
    hasSessions = false,
  ): number {
    const place = this.builder.count;
    this.builder.addEncoded(entries, entryCount, hasSessions);
    this.#next.skip(entryCount, entries.length);
    return place;
  }

  /** The next batch was appended to the log. */
  sealed(batch: EntryBatch): void {
    const group = this.#next;
    assert(
      group.settles.length === batch.lastIndex - batch.firstIndex + 1,
      "every entry of a batch must have a slot",
    );
    group.firstIndex = batch.firstIndex;
    group.term = batch.term;
    this.#bytes += group.bytes;
    this.#inLog.push(group);
    this.#next = new ProposalGroup();
  }

  /** The next batch was refused: none of its entries entered a log. */
  refused(makeError: () => unknown): void {
    this.#next.fail(makeError);
    this.#next = new ProposalGroup();
  }

  /** Hands over the record for the leader. */
  takeForward(): {
    entries: Uint8Array;
    group: ProposalGroup;
    hasSessions: boolean;
  } {
    const group = this.#nextForward;
    const { hasSessions } = this.forwardBuilder;
    const entries = this.forwardBuilder.take();
    this.#bytes += group.bytes;
    this.#forwarded.push(group);
    this.#nextForward = new ProposalGroup();
    return { entries, group, hasSessions };
  }

  /** The record for the leader cannot be sent: nothing of it left this NodeHost. */
  refusedForward(makeError: () => unknown): void {
    this.forwardBuilder.clear();
    this.#nextForward.fail(makeError);
    this.#nextForward = new ProposalGroup();
  }

  /** The leader answered: it took the record at `firstIndex` in `term`, or, with `term` 0, did not take it. */
  answered(
    firstCounter: number,
    answer: { firstIndex: number; term: number },
    makeError: () => unknown,
  ): void {
    const at = this.#forwarded.findIndex((group) =>
      group.firstCounter === firstCounter
    );
    if (at < 0) return; // Already applied, or given up.
    const group = this.#forwarded[at]!;
    if (answer.term > 0) {
      group.firstIndex = answer.firstIndex;
      group.term = answer.term;
      return;
    }
    this.#forwarded.splice(at, 1);
    this.#bytes -= group.bytes;
    group.fail(makeError);
  }

  /**
   * The group that waits for `batch`, which is about to be applied, if it is this node's own. Groups whose place in the
   * log `batch` takes end as never applied.
   */
  groupOf(batch: EntryBatch): ProposalGroup | undefined {
    const head = this.#inLog[0];
    if (head === undefined) return undefined;
    if (head.firstIndex === batch.firstIndex && head.term === batch.term) {
      return head;
    }
    return this.#searchGroup(batch);
  }

  /** `group` was applied to its end. */
  finished(group: ProposalGroup): void {
    const at = this.#inLog.indexOf(group);
    assert(at >= 0, "a finished group must have been in the log");
    if (at === 0) this.#inLog.shift();
    else this.#inLog.splice(at, 1);
    this.#bytes -= group.bytes;
    if (group.since >= 0) this.#measure(group);
  }

  /** Whether any forwarded proposal waits. */
  get hasForwarded(): boolean {
    return this.#forwarded.length > 0;
  }

  /** The entry that this NodeHost forwarded as `counter` was applied: who waits for it, if anybody still does. */
  takeForwarded(counter: number): Settle<Result> | undefined {
    for (let at = 0; at < this.#forwarded.length; at++) {
      const group = this.#forwarded[at]!;
      const slot = counter - group.firstCounter;
      if (slot < 0 || slot >= group.settles.length) continue;
      const settle = group.settles[slot];
      group.settles[slot] = undefined;
      if (slot === group.settles.length - 1) {
        this.#forwarded.splice(at, 1);
        this.#bytes -= group.bytes;
        this.#measure(group);
      }
      return settle;
    }
    return undefined;
  }

  /** `batch` was applied: forwarded proposals that the leader had put in its place were not (rule R1). */
  settleOverwrittenForwards(batch: EntryBatch): void {
    this.#forwarded = this.#forwarded.filter((group) => {
      const isOverwritten = group.term > 0 && group.term !== batch.term &&
        group.firstIndex <= batch.lastIndex &&
        batch.firstIndex < group.firstIndex + group.settles.length;
      if (!isOverwritten) return true;
      this.#bytes -= group.bytes;
      group.fail(overwritten);
      return false;
    });
  }

  /** The link to a node was lost, and with it, maybe, what was sent there or its answer. */
  linkLost(nodeId: number): void {
    for (const group of this.#forwarded) {
      if (group.sentTo === nodeId) group.isCut = true;
    }
  }

  /**
   * A tick has passed. Ends forwarded proposals that a leader took and lost, and those that it was sent and never answered
   * for, without waiting for their deadline (rule R1).
   */
  endForwarded(outlook: Outlook): void {
    this.#forwarded = this.#forwarded.filter((group) => {
      const { term, firstIndex } = group;
      const isLost = isPassedOver(firstIndex, term, outlook);
      if (!isLost && (term > 0 || !isGivenUp(group, outlook))) return true;
      this.#bytes -= group.bytes;
      group.fail(isLost ? passedOver : unanswered);
      return false;
    });
  }

  /** A snapshot up to `index` replaced the log: what became of proposals below cannot be told. */
  overtaken(index: number): void {
    const makeError = () =>
      requestError(
        "dropped",
        "Cannot tell whether the proposal was applied: a snapshot overtook it",
        "unknown",
      );
    const survives = (group: ProposalGroup) => {
      if (group.firstIndex === 0 || group.firstIndex > index) return true;
      this.#bytes -= group.bytes;
      group.fail(makeError);
      return false;
    };
    this.#inLog = this.#inLog.filter(survives);
    this.#forwarded = this.#forwarded.filter(survives);
  }

  /**
   * Ends proposals whose deadline has passed, and forgets forwarded records nobody waits for any more. Returns how many
   * were ended.
   */
  tick(now: number): number {
    let count = 0;
    for (const group of this.#inLog) count += group.expire(now, expired);
    if (this.#forwarded.length === 0) return count;
    this.#forwarded = this.#forwarded.filter((group) => {
      count += group.expire(now, expired);
      if (group.soonest < Number.MAX_SAFE_INTEGER) return true;
      this.#bytes -= group.bytes;
      return false;
    });
    return count;
  }

  /** Ends all: those in a log with `inLogError`, the others with `otherError`. */
  failAll(inLogError: () => unknown, otherError: () => unknown): void {
    for (const group of this.#inLog) group.fail(inLogError);
    for (const group of this.#forwarded) group.fail(inLogError);
    this.#inLog = [];
    this.#forwarded = [];
    this.#bytes = 0;
    this.builder.clear();
    this.refused(otherError);
    this.refusedForward(otherError);
  }

  #begin(group: ProposalGroup): void {
    if (this.#latency !== undefined) group.since = this.#latency.clock.now();
  }

  /** The oldest proposal of a group stands for all of it. */
  #measure(group: ProposalGroup): void {
    if (this.#latency === undefined || group.since < 0) return;
    const { clock, histogram } = this.#latency;
    const count = group.settles.length - group.foreignCount;
    histogram.record(clock.now() - group.since, count);
  }

  /** Counters within a record follow one another. */
  #beginForward(group: ProposalGroup): void {
    if (this.#counterEnd - this.#nextCounter < counterBlock / 2) {
      this.#nextCounter = this.#takeCounters(counterBlock);
      this.#counterEnd = this.#nextCounter + counterBlock;
    }
    group.firstCounter = this.#nextCounter;
  }

  #searchGroup(batch: EntryBatch): ProposalGroup | undefined {
    let found: ProposalGroup | undefined;
    this.#inLog = this.#inLog.filter((group) => {
      if (group.firstIndex > batch.lastIndex) {
        if (group.term >= batch.term) return true;
        this.#bytes -= group.bytes;
        group.fail(passedOver); // See outlook.ts: terms never fall along a log.
        return false;
      }
      if (group.term === batch.term && group.firstIndex >= batch.firstIndex) {
        if (group.firstIndex === batch.firstIndex) found = group;
        return true;
      }
      this.#bytes -= group.bytes;
      group.fail(overwritten);
      return false;
    });
    return found;
  }
}
