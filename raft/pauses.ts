/** Waits of whole calls by the clock, which end early when the NodeHost closes. */
import type { Clock } from "./ports.ts";
import { abortable } from "./requests.ts";

/** The pauses of one NodeHost. */
export class Pauses {
  readonly #clock: Clock;
  /** What ends each pause. */
  readonly #ends = new Set<() => void>();

  /** Nobody waits. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Waits so many milliseconds; rejects with the signal's reason as soon as that is aborted. */
  pause(ms: number, signal?: AbortSignal): Promise<void> {
    return abortable<void>(signal, (settle) => {
      const timer = this.#clock.setTimer(ms, () => end());
      const forget = () => {
        timer.cancel();
        this.#ends.delete(end);
      };
      const end = () => {
        forget();
        settle(undefined);
      };
      this.#ends.add(end);
      return forget;
    });
  }

  /** Ends all of them now. */
  endAll(): void {
    for (const end of [...this.#ends]) end();
  }
}
