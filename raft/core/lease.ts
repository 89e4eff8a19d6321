/**
 * Leases: reads that a leader answers without asking anybody (thesis 6.4.1; rule C8). Opt-in, for they rest on clocks.
 *
 * Whoever answered a heartbeat ignores votes for an election timeout from when it *heard* that, so a leader whose round
 * a quorum has answered is the only one until an election timeout after it *sent* the round, less what the clocks may
 * differ. That is counted from the sending, which is before the hearing; from the receipt of the answers it would be a
 * round trip too long. Time comes in as readings of the driver's clocks, and is looked at when a read is answered, not
 * when a tick comes: a process that was paused finds its lease over.
 *
 * A lease ends, and only later rounds begin another, when
 * - leadership ends, or is being handed over: who was told to campaign may ignore the lease, and may do so late, so there
 *   is no lease any more in this term;
 * - a member is found to be of a release without leases, which promises nothing after a restart (rule I6);
 * - the membership changes: a quorum is another one then;
 * - the cluster offers to be quiet: its followers may forget this leader (rule C10);
 * - wall clock and monotonic clock advance differently: one of them stood still, perhaps the one that counts.
 *
 * And who has forgotten whom it heard, because it was restarted, or may have, because its process was paused, votes for
 * nobody for an election timeout (`election.ts`).
 */
import type { Progress } from "./progress.ts";
import { quorumValue } from "./quorum.ts";
import type { Raft } from "./raft.ts";

/** How leases are counted. */
export interface LeaseConfig {
  /** Microseconds from the sending of a round for which it gives a lease, the clocks' difference taken off. */
  readonly durationUs: number;
  /** By how many parts in a million two clocks may advance differently. */
  readonly driftPpm: number;
}

/**
 * How leases are counted with these settings. A follower that heard a leader ignores votes for an election timeout of
 * its own ticks; the first of them may come at once, and the tick before that late, so two are taken off.
 */
export function leaseFor(
  settings: {
    readonly electionTimeoutTicks: number;
    readonly maxClockDriftPpm: number;
  },
  tickMs: number,
): LeaseConfig {
  const driftPpm = settings.maxClockDriftPpm;
  const ticksUs = (settings.electionTimeoutTicks - 2) * tickMs * 1_000;
  return {
    durationUs: Math.floor(ticksUs * (1_000_000 - driftPpm) / 1_000_000),
    driftPpm,
  };
}

/** A round that was sent, and when. */
interface SentRound {
  readonly round: number;
  readonly sentUs: number;
  readonly sentWallUs: number;
}

/** Wall clocks are read in whole milliseconds. */
const clockGrainUs = 2_000;

const ackedRounds: number[] = [];

/** The lease of one leader. */
export class Lease {
  /** The driver's clocks as of the last reading. */
  nowUs = 0;
  /** See `nowUs`. */
  wallUs = 0;
  /** Rounds that may still give a lease, oldest first. */
  #sent: SentRound[] = [];
  /** The latest of them that a quorum has answered. */
  #confirmed: SentRound | undefined;
  #isForbidden = false;

  /** A new leader has none. */
  reset(): void {
    this.end();
    this.#isForbidden = false;
  }

  /** Whatever was sent up to now gives no lease. */
  end(): void {
    this.#sent = [];
    this.#confirmed = undefined;
  }

  /** There is no lease any more in this leadership. */
  forbid(): void {
    this.end();
    this.#isForbidden = true;
  }

  /** A round is sent now, or later. */
  sent(round: number): void {
    if (this.#isForbidden) return;
    this.#sent.push({ round, sentUs: this.nowUs, sentWallUs: this.wallUs });
  }

  /** A quorum has answered `round`. */
  confirmed(round: number): void {
    let count = 0;
    while (count < this.#sent.length && this.#sent[count]!.round <= round) {
      count++;
    }
    if (count === 0) return;
    this.#confirmed = this.#sent[count - 1]!;
    this.#sent.splice(0, count);
  }

  /** Whether there is a lease at the last reading of the clocks. */
  isValid(config: LeaseConfig): boolean {
    const start = this.#confirmed;
    if (start === undefined) return false;
    const elapsedUs = this.nowUs - start.sentUs;
    const differenceUs = Math.abs(this.wallUs - start.sentWallUs - elapsedUs);
    const allowedUs = clockGrainUs +
      Math.floor(elapsedUs * config.driftPpm / 1_000_000);
    if (differenceUs > allowedUs) {
      this.end();
      return false;
    }
    return elapsedUs < config.durationUs;
  }
}

/** A follower has answered a round: is the lease a newer one? */
export function renewLease(raft: Raft): void {
  if (raft.config.lease === undefined) return;
  for (let position = 0; position < raft.voterCount; position++) {
    const progress = raft.progress[position] as Progress;
    ackedRounds[position] = progress === raft.self
      ? raft.round
      : progress.ackedRound;
  }
  raft.lease.confirmed(quorumValue(ackedRounds, raft.voterCount));
}

/** Whether this leader may answer reads by itself now. */
export function hasReadLease(raft: Raft): boolean {
  const { lease } = raft.config;
  return lease !== undefined && raft.transferTarget === 0 && !raft.isMixed &&
    raft.lease.isValid(lease);
}
