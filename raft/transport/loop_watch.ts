/**
 * Sees to it that the event loop looks at its sockets. While an immediate is pending, Deno asks the operating system
 * for news of sockets only every 59 to 119 turns: a NodeHost that applies for five milliseconds a turn would hear no
 * heartbeat and no acknowledgement for half a second (rule C6). A timer makes the loop wait for a moment, and so look;
 * it costs one or two milliseconds, so it is used only after several busy turns without news.
 */
import { setImmediate } from "./deps.ts";

const turnsMin = 4;
const quietMs = 10;

/** Shared by the clock and the network of one process. */
export class LoopWatch {
  #connections = 0;
  #turns = 0;
  #lastNewsAt = 0;

  /** A connection was opened. */
  opened(): void {
    this.#connections++;
  }

  /** A connection was closed. */
  closed(): void {
    this.#connections--;
  }

  /** A socket had something to read: the loop has just looked. */
  hadNews(): void {
    this.#turns = 0;
    this.#lastNewsAt = performance.now();
  }

  /** Calls `callback` at the end of this turn, or after a look at the sockets if that is overdue. */
  defer(callback: () => void): void {
    if (this.#connections > 0 && ++this.#turns >= turnsMin) {
      const now = performance.now();
      if (now - this.#lastNewsAt > quietMs) {
        this.#turns = 0;
        this.#lastNewsAt = now;
        setTimeout(callback, 0);
        return;
      }
    }
    setImmediate(callback);
  }
}
