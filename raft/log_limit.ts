/**
 * Keeps the part of the log that is not applied yet, and so is held in memory, below a limit, on the leader and on its
 * followers: they report what they hold, and while one of them holds too much the leader takes no proposals. Once
 * limited it stays so until all are below 70 % of the limit.
 */

/** Percent of the limit below which proposals are taken again, and above which a follower reports. */
const resumePercent = 70;
/** Reports are believed for so many election timeouts; a follower that holds much sends one in each. */
const reportLife = 3;

/** The limit of one node. */
export class LogLimit {
  readonly #limitBytes: number;
  readonly #roundTicks: number;
  /** None as long as no follower holds much, so that a look costs little. */
  #reports: Map<number, { bytes: number; until: number }> | undefined;
  #term = 0;
  #isLimited = false;
  #lastReport = Number.NEGATIVE_INFINITY;
  #hasReported = false;

  /** `roundTicks` is the election timeout. */
  constructor(limitBytes: number, roundTicks: number) {
    this.#limitBytes = limitBytes;
    this.#roundTicks = roundTicks;
  }

  /** Whether proposals are refused, as of the last {@link look}. */
  get isLimited(): boolean {
    return this.#isLimited;
  }

  /** A follower says how much it holds. */
  report(
    nodeId: number,
    report: { bytes: number; term: number; now: number },
  ): void {
    this.#enter(report.term);
    this.#reports ??= new Map();
    this.#reports.set(nodeId, {
      bytes: report.bytes,
      until: report.now + reportLife * this.#roundTicks,
    });
  }

  /** Decides anew; `ownBytes` is what this node holds. */
  look(state: { ownBytes: number; term: number; now: number }): void {
    this.#enter(state.term);
    let most = state.ownBytes;
    if (this.#reports !== undefined) {
      for (const [nodeId, { bytes, until }] of this.#reports) {
        if (until <= state.now) this.#reports.delete(nodeId);
        else if (bytes > most) most = bytes;
      }
    }
    this.#isLimited = this.#isLimited
      ? most >= this.#resumeBytes
      : most > this.#limitBytes;
  }

  /** Whether a follower is to report now: while it holds much, and once when it no longer does. */
  isReportDue(state: { ownBytes: number; now: number }): boolean {
    const holdsMuch = state.ownBytes >= this.#resumeBytes;
    if (!holdsMuch && !this.#hasReported) return false;
    if (holdsMuch && state.now - this.#lastReport < this.#roundTicks) {
      return false;
    }
    this.#lastReport = state.now;
    this.#hasReported = holdsMuch;
    return true;
  }

  get #resumeBytes(): number {
    return Math.floor(this.#limitBytes / 100 * resumePercent);
  }

  /** What was reported to the leader of another term says nothing to this one. */
  #enter(term: number): void {
    if (term === this.#term) return;
    this.#term = term;
    this.#reports = undefined;
  }
}
