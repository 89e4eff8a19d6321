/** The outside world of a master: time and randomness. Virtual ones take their place in tests. */
import type { Clock, Random } from "../raft/ports.ts";

/** What a master uses of a clock. */
export type MasterClock = Pick<Clock, "wallTime" | "setTimer">;

/** The real clock. */
export const systemClock: MasterClock = {
  wallTime: () => Date.now(),
  setTimer(delayMs, callback) {
    const id = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(id) };
  },
};

/** The platform's random source. */
export const systemRandom: Random = {
  fill(bytes) {
    crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>);
  },
};
