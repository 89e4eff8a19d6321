/**
 * When the tick began (M5). The store says it by the clock of the master that made time grow, which may be off by any
 * amount; this instance saw itself, by its own clock, until when it was the tick before, and since when it is this one.
 * Between the two it lies. So masters whose clocks differ do not take turns to find that a period has passed.
 */
import type { ClockRecord } from "./schema.ts";

/** What one instance has seen of time. */
export class TickWatch {
  #tick = -Infinity;
  /** When it was first seen. */
  #sinceMs = 0;
  /** When the one before was last seen, if it was. */
  #beforeMs: number | undefined;
  /** When a tick was last seen. */
  #lastMs: number | undefined;

  /** When a tick that is read at `nowMs` began, by the clock that tells `nowMs`. */
  begunAtMs(
    { tick, atMs }: Pick<ClockRecord, "tick" | "atMs">,
    nowMs: number,
  ): number {
    if (tick < this.#tick) return atMs; // Another reading was faster.
    if (tick > this.#tick) {
      this.#tick = tick;
      this.#beforeMs = this.#lastMs;
      this.#sinceMs = nowMs;
    }
    this.#lastMs = nowMs;
    const before = this.#beforeMs;
    // It has not seen the one before, or its own clock went back: then it knows no better.
    if (before === undefined || before > this.#sinceMs) return atMs;
    return Math.min(Math.max(atMs, before), this.#sinceMs);
  }
}
