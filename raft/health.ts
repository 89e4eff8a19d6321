/**
 * Watches what no cluster can see by itself: whether the disk keeps up, and whether something holds the event loop (rule
 * C6). Both are measured against the shortest election timeout of the clusters here, because that is when they begin to
 * cost somebody a leader.
 */
import type { EventHub } from "./events.ts";
import type { Counters } from "./metrics/counters.ts";
import type { Clock, Logger } from "./ports.ts";
import { Notices } from "./transport/notices.ts";

/** The watch of one NodeHost; its engine tells it what happens. */
export class HealthWatch {
  readonly #clock: Clock;
  readonly #notices: Notices;
  readonly #events: EventHub;
  readonly #counters: Counters;
  readonly #tickMs: number;
  /** How many nodes have each election timeout, in ticks. */
  readonly #timeouts = new Map<number, number>();
  #shortestTicks = 0;
  /** When the write under way began. */
  #writingSince = 0;
  #isWriting = false;
  /** Ticks that came during it. A pause of the whole process is one tick, so it is not taken for a slow disk. */
  #writingTicks = 0;
  #isStalled = false;
  #wasFull = false;
  /** A state machine was named since the last tick as what held the loop. */
  #isNamed = false;

  /** Nothing has happened yet. */
  constructor(options: {
    clock: Clock;
    logger: Logger;
    events: EventHub;
    counters: Counters;
    tickMs: number;
  }) {
    this.#clock = options.clock;
    this.#notices = new Notices(options.logger, options.clock);
    this.#events = options.events;
    this.#counters = options.counters;
    this.#tickMs = options.tickMs;
  }

  /** A node runs here. */
  nodeAdded(electionTimeoutTicks: number): void {
    const count = this.#timeouts.get(electionTimeoutTicks) ?? 0;
    this.#timeouts.set(electionTimeoutTicks, count + 1);
    this.#shortestTicks = Math.min(...this.#timeouts.keys());
  }

  /** It runs no longer. */
  nodeRemoved(electionTimeoutTicks: number): void {
    const count = this.#timeouts.get(electionTimeoutTicks) ?? 0;
    if (count > 1) {
      this.#timeouts.set(electionTimeoutTicks, count - 1);
      return;
    }
    this.#timeouts.delete(electionTimeoutTicks);
    this.#shortestTicks = this.#timeouts.size === 0
      ? 0
      : Math.min(...this.#timeouts.keys());
  }

  /** Whether the write under way has taken an election timeout already. */
  get isDiskStalled(): boolean {
    return this.#isStalled;
  }

  /** How long the write under way has taken, in milliseconds; 0 if there is none. */
  get writingMs(): number {
    return this.#isWriting ? this.#clock.now() - this.#writingSince : 0;
  }

  /** A group goes to the log. */
  writeBegan(): void {
    this.#isWriting = true;
    this.#writingSince = this.#clock.now();
    this.#writingTicks = 0;
  }

  /** It is written, and durable if `didSync`. */
  writeEnded(recordCount: number, didSync: boolean): void {
    const tookMs = this.writingMs;
    this.#isWriting = false;
    const counters = this.#counters;
    if (recordCount > 0) counters.logGroups++;
    counters.logRecords += recordCount;
    if (didSync) counters.sync.record(tookMs);
    if (!this.#isStalled) return;
    this.#isStalled = false;
    const stalledMs = Math.round(tookMs);
    this.#notices.warn("disk", "the disk was slow, and goes on now", {
      stalledMs,
    });
    if (this.#events.isHeard) {
      this.#events.emit({ type: "diskSlow", stalledMs, isOver: true });
    }
  }

  /** A write ended with an error. */
  writeFailed(): void {
    this.#isWriting = false;
    this.#isStalled = false;
  }

  /** A tick came, so much later than it should have. */
  tick(lateMs: number, isDiskFull: boolean): void {
    if (this.#isWriting) this.#lookAtDisk();
    if (isDiskFull !== this.#wasFull) {
      this.#wasFull = isDiskFull;
      if (this.#events.isHeard) {
        this.#events.emit({ type: "diskFull", isOver: !isDiskFull });
      }
    }
    if (!this.#isNamed && this.#isTooLong(lateMs)) {
      this.#held(lateMs, undefined);
    }
    this.#isNamed = false;
  }

  /** A state machine was given entries, and came back after so long. */
  applied(clusterId: number, tookMs: number): void {
    if (!this.#isTooLong(tookMs)) return;
    this.#isNamed = true;
    this.#held(tookMs, clusterId);
  }

  #isTooLong(ms: number): boolean {
    return this.#shortestTicks > 0 &&
      2 * ms > this.#shortestTicks * this.#tickMs;
  }

  #lookAtDisk(): void {
    this.#writingTicks++;
    if (this.#isStalled || this.#shortestTicks === 0) return;
    if (this.#writingTicks < this.#shortestTicks) return;
    this.#isStalled = true;
    this.#counters.diskStalls++;
    const stalledMs = Math.round(this.writingMs);
    this.#notices.warn(
      "disk",
      "the disk is slow: a write to the log takes longer than an election timeout",
      { stalledMs },
    );
    if (this.#events.isHeard) {
      this.#events.emit({ type: "diskSlow", stalledMs, isOver: false });
    }
  }

  #held(ms: number, clusterId: number | undefined): void {
    this.#counters.loopHolds++;
    const heldMs = Math.round(ms);
    this.#notices.warn(
      clusterId === undefined ? "loop" : `loop ${clusterId}`,
      clusterId === undefined
        ? "the event loop was held, so that no heartbeat could leave: by other code of this program, or the machine"
        : "a state machine held the event loop, so that no heartbeat could leave: let its update do less at a time",
      { heldMs, clusterId },
    );
    if (this.#events.isHeard) {
      this.#events.emit({ type: "loopHeld", heldMs, clusterId });
    }
  }
}
