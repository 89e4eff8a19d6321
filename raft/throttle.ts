/** Keeps what all transfers of one direction take together to so many bytes a second. */
import type { Clock } from "./ports.ts";

/** A limit that several transfers share: first come, first served. */
export class Throttle {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  /** When everything taken so far may have passed. */
  #freeAt: number;
  /** Ends each wait at once. */
  readonly #waits = new Set<() => void>();

  /** Lets `bytesPerSecond` through. */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#freeAt = clock.now();
  }

  /** Resolves when `bytes` may pass. */
  async take(bytes: number): Promise<void> {
    const now = this.#clock.now();
    const waitMs = Math.max(0, this.#freeAt - now);
    this.#freeAt = now + waitMs + bytes * 1_000 / this.#bytesPerSecond;
    if (waitMs === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.setTimer(waitMs, () => end());
      const end = () => {
        this.#waits.delete(end);
        timer.cancel();
        resolve();
      };
      this.#waits.add(end);
    });
  }

  /** Lets everybody go who waits. */
  close(): void {
    for (const end of [...this.#waits]) end();
  }
}
