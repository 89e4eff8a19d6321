/**
 * What a node knows of one member of its cluster: as a leader, how far that member's log has come and how much may
 * be sent to it; as a candidate, how it voted. Progress owns its transitions:
 *
 * ```text
 *            accepted                        rejected, unreachable
 *   probe ------------> replicate      replicate ------------------> probe
 *     |  compacted                            ^
 *     +-----------> snapshot -----------------+  accepted at or beyond the snapshot
 *     ^                |  delivered or failed
 *     +----------------+
 * ```
 *
 * `probe` sends one append and waits; `replicate` pipelines; `snapshot` waits for a snapshot to arrive.
 */
import { assert } from "./assert.ts";
import type { MemberKind } from "./types.ts";

/** How a leader feeds a follower. */
export type ProgressState = "probe" | "replicate" | "snapshot";

/** A member's answer to a candidate. */
export type Vote = "none" | "granted" | "rejected";

/** What is known of one member. */
export class Progress {
  /** The member. */
  readonly nodeId: number;
  /** What kind of member it is. */
  kind: MemberKind = "voter";
  /** All entries up to here are durable on the member and equal ours. Invariant: `match < next`. */
  match = 0;
  /** The next index to send. */
  next: number;
  /** How it is fed. */
  state: ProgressState = "probe";
  /** In `probe`: an append is on its way, and nothing is sent until an answer or a heartbeat's answer. */
  isProbeSent = false;
  /** In `probe`: the `prevLogIndex` of the last append, which tells its rejection from older ones. */
  probePrevIndex = 0;
  /** In `snapshot`: the index of the snapshot under way. */
  snapshotIndex = 0;
  /** The highest commit index sent in an append that was not given up as lost. */
  sentCommit = 0;
  /**
   * The member refused what it had acknowledged in this term: its disk lost entries that may be committed. Two refusals
   * in a row tell it from one old refusal that came late.
   */
  hasLostEntries = false;
  #refusalsAtMatch = 0;
  /** In `replicate`: an empty append is due, to find out whether what was sent arrived. */
  isCheckDue = false;
  /** The leader's tick at which the member was last heard, or -1. */
  heardTick = -1;
  /** The leader's tick since when the member is a member of this leader's term. */
  sinceTick = 0;
  /** The latest heartbeat round the member has answered (thesis 6.4). */
  ackedRound = 0;
  /** It has agreed to be quiet (rule C10). */
  isQuiet = false;
  /** Its vote in the election under way. */
  vote: Vote = "none";

  /** Where the round of {@link hasCaughtUp} ends, or 0; and when it began. */
  #catchUpTo = 0;
  #catchUpSince = 0;
  /** `match` when the last heartbeat was answered. */
  #matchAtHeartbeat = 0;
  #inflightEnds: number[] = [];
  #inflightSizes: number[] = [];
  #inflightHead = 0;
  #inflightBytes = 0;

  /** A member of whose log nothing is known; `next` is where the leader's log ends. */
  constructor(nodeId: number, next: number) {
    this.nodeId = nodeId;
    this.next = next;
  }

  /** Append messages that were not answered yet. */
  get inflightCount(): number {
    return this.#inflightEnds.length - this.#inflightHead;
  }

  /** Bytes of batches in them. */
  get inflightBytes(): number {
    return this.#inflightBytes;
  }

  /** Forgets everything: a new leader's view, whose log ends before `next`. */
  reset(next: number): void {
    this.match = 0;
    this.heardTick = -1;
    this.sinceTick = 0;
    this.ackedRound = 0;
    this.hasLostEntries = false;
    this.#refusalsAtMatch = 0;
    this.#catchUpTo = 0;
    this.isQuiet = false;
    this.#matchAtHeartbeat = 0;
    this.#enter("probe", next);
  }

  /**
   * Whether the member's log has come close to the leader's: it holds what is committed, or a round, all that the log
   * held when it began, reached it within `roundTicks` (thesis 4.2.1). Asked again and again, it counts the rounds.
   */
  hasCaughtUp(
    leader: {
      commit: number;
      lastIndex: number;
      tick: number;
      roundTicks: number;
    },
  ): boolean {
    if (this.match >= leader.commit) return true;
    const isOver = this.#catchUpTo > 0 && this.match >= this.#catchUpTo;
    if (isOver && leader.tick - this.#catchUpSince < leader.roundTicks) {
      return true;
    }
    if (isOver || this.#catchUpTo === 0) {
      this.#catchUpTo = leader.lastIndex;
      this.#catchUpSince = leader.tick;
    }
    return false;
  }

  /** Sends one append at a time from behind `match`. */
  becomeProbe(): void {
    this.#enter("probe", this.match + 1);
  }

  /** Pipelines appends from behind `match`. */
  becomeReplicate(): void {
    this.#enter("replicate", this.match + 1);
  }

  /** Waits for the snapshot at `index`. */
  becomeSnapshot(index: number): void {
    this.#enter("snapshot", this.next);
    this.snapshotIndex = index;
  }

  /** The snapshot arrived, or did not. Nothing is sent before a sign of life, so that a failure is not repeated at once. */
  snapshotDone(delivered: boolean): void {
    if (this.state !== "snapshot") return;
    const next = delivered ? this.snapshotIndex + 1 : 0;
    this.#enter("probe", Math.max(next, this.match + 1));
    this.isProbeSent = true;
  }

  /** The member has everything up to `index`. Tells whether that is news. */
  maybeAdvance(index: number): boolean {
    const isNews = index > this.match;
    if (isNews) {
      this.match = index;
      if (this.next <= index) this.next = index + 1;
      this.#freeInflight(index);
    }
    switch (this.state) {
      case "probe":
        // Whatever was accepted proves where the logs agree, unless it is old news.
        if (index >= this.match) {
          this.#refusalsAtMatch = 0;
          this.becomeReplicate();
        }
        break;
      case "snapshot":
        if (this.match >= this.snapshotIndex) this.becomeReplicate();
        break;
      case "replicate":
        break;
    }
    return isNews;
  }

  /**
   * The member refused an append behind `rejectedIndex`; its log may match up to `hintIndex`. Tells whether that
   * changes what is sent next, which it does not if the refusal is old.
   */
  maybeBackOff(rejectedIndex: number, hintIndex: number): boolean {
    switch (this.state) {
      case "replicate":
        if (rejectedIndex < this.match) return false;
        this.becomeProbe(); // Behind `match` itself: old news, or a loss. A probe finds out.
        return true;
      case "probe":
        if (!this.isProbeSent || rejectedIndex !== this.probePrevIndex) {
          return false;
        }
        if (rejectedIndex <= this.match && this.match > 0) {
          this.#refusalsAtMatch++;
          this.hasLostEntries = this.#refusalsAtMatch > 1;
          // It would go on like this: the next try waits for a sign of life.
          if (this.hasLostEntries) return false;
        }
        this.next = Math.max(
          Math.min(rejectedIndex, hintIndex + 1),
          this.match + 1,
        );
        this.isProbeSent = false;
        return true;
      case "snapshot":
        return false;
    }
  }

  /** The member answered a heartbeat. Tells whether something may be sent because of it. */
  heartbeatAnswered(): boolean {
    if (this.state === "probe") {
      // The probe or its answer may be lost, or a snapshot is due that only a live follower is sent.
      this.isProbeSent = false;
      return true;
    }
    // Without an answer since the last heartbeat, what was sent last may be lost, and nobody else would notice.
    const isStalled = this.state === "replicate" &&
      this.match < this.next - 1 && this.match === this.#matchAtHeartbeat;
    this.#matchAtHeartbeat = this.match;
    if (isStalled) this.isCheckDue = true;
    return isStalled;
  }

  /** An append with the entries up to `lastIndex` leaves; `prevLogIndex` is what it follows. */
  sent(
    append: { prevLogIndex: number; lastIndex: number; byteCount: number },
  ): void {
    if (this.state === "probe") {
      this.isProbeSent = true;
      this.probePrevIndex = append.prevLogIndex;
      return;
    }
    assert(this.state === "replicate", "nothing is sent beside a snapshot");
    assert(append.lastIndex >= this.next, "an append must have news");
    this.next = append.lastIndex + 1;
    this.#inflightEnds.push(append.lastIndex);
    this.#inflightSizes.push(append.byteCount);
    this.#inflightBytes += append.byteCount;
  }

  /** Everything that decides what happens next, as plain values: for tests that look whether two states are the same. */
  fingerprint(): unknown[] {
    return [
      Object.entries(this),
      this.#refusalsAtMatch,
      this.#catchUpTo,
      this.#catchUpSince,
      this.#matchAtHeartbeat,
      this.#inflightEnds.slice(this.#inflightHead),
      this.#inflightSizes.slice(this.#inflightHead),
    ];
  }

  #enter(state: ProgressState, next: number): void {
    this.state = state;
    this.next = next;
    this.isProbeSent = false;
    this.isCheckDue = false;
    this.snapshotIndex = 0;
    if (state === "probe") this.sentCommit = 0;
    this.#inflightEnds.length = 0;
    this.#inflightSizes.length = 0;
    this.#inflightHead = 0;
    this.#inflightBytes = 0;
  }

  #freeInflight(index: number): void {
    const ends = this.#inflightEnds;
    let head = this.#inflightHead;
    while (head < ends.length && (ends[head] as number) <= index) {
      this.#inflightBytes -= this.#inflightSizes[head] as number;
      head++;
    }
    if (head === ends.length) {
      ends.length = 0;
      this.#inflightSizes.length = 0;
      head = 0;
    } else if (head >= 64 && head * 2 > ends.length) {
      ends.splice(0, head);
      this.#inflightSizes.splice(0, head);
      head = 0;
    }
    this.#inflightHead = head;
  }
}
