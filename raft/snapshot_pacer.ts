/**
 * Sees to it that automatic snapshots of small states take at most a twentieth of the disk's time, however many clusters a
 * NodeHost carries: each costs several syncs, which hold up those of the log.
 */
import type { Clock } from "./ports.ts";

const longestPauseMs = 1_000;
const pausePerMs = 19;

/** The pace of one NodeHost. */
export class SnapshotPacer {
  readonly #clock: Clock;
  #isSaving = false;
  #begunAt = 0;
  #nextAt = Number.NEGATIVE_INFINITY;

  /** The first snapshot may begin at once. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether an automatic snapshot may begin now. */
  mayBegin(): boolean {
    return !this.#isSaving && this.#clock.now() >= this.#nextAt;
  }

  /** One begins. */
  begin(): void {
    this.#isSaving = true;
    this.#begunAt = this.#clock.now();
  }

  /** It has ended, however it did. */
  end(): void {
    const now = this.#clock.now();
    this.#isSaving = false;
    this.#nextAt = now +
      Math.min(longestPauseMs, pausePerMs * (now - this.#begunAt));
  }
}
