/** What one seed means: which fault begins when, whom it meets and how long it lasts. Times are kept as well as may be. */
import { SimRandom } from "../../testing/mod.ts";

/** The kinds of fault. */
export const faultKinds = [
  /** SIGKILL; the process comes back after a while. */
  "kill",
  /** SIGKILL for three of five. */
  "killMajority",
  /** SIGKILL for all at once. */
  "killAll",
  /** The NodeHost closes in good order and comes back. */
  "restart",
  /** SIGSTOP, and SIGCONT later. */
  "pause",
  /** The machines fall into two groups that do not reach each other. */
  "partition",
  /** A machine reaches nobody and is reached by nobody. */
  "isolate",
  /** A machine only hears, or is only heard. */
  "isolateOneWay",
  /** One machine does not reach another. */
  "stallOneWay",
  /** All that goes to and from a machine is late. */
  "delay",
  /** A machine's bytes come a few at a time. */
  "slowBytes",
  /** A machine's connections break again and again, in the middle of a frame. */
  "breakOften",
  /** A machine's connections break, once. */
  "reset",
  /** A machine's new connections are refused. */
  "refuse",
  /** Leadership is handed over. */
  "transfer",
  /** A node saves a snapshot. */
  "snapshot",
  /** A folder is replaced by a copy of it, or opened under another address: refused, by name (rule I4). */
  "strangeFolder",
  /** A machine loses its folder: it is refused under its ids (rule I2), and replaced. */
  "wipe",
  /** There is no space left on a machine's file system. */
  "fullDisk",
  /** A sync fails. */
  "failSync",
] as const;

/** One of {@link faultKinds}. */
export type FaultKind = typeof faultKinds[number];

/** One fault. */
export interface Step {
  /** After so long it begins, if nothing that must be alone is under way. */
  readonly atMs: number;
  /** What it does. */
  readonly kind: FaultKind;
  /** Whom it meets: machines from 1 on, in this order of preference. */
  readonly machines: readonly number[];
  /** It meets the leader of this cluster first; 0 for whoever stands first. */
  readonly leaderOf: number;
  /** How long it lasts. */
  readonly forMs: number;
  /** From 0 to 1: which of its variants it is. */
  readonly variant: number;
}

/** Machines with NodeHosts that carry clusters. */
export const machineCount = 5;

/** The clusters, by id, and the machines of their first members. */
export const clusters: ReadonlyMap<number, readonly number[]> = new Map([
  [1, [1, 2, 3, 4, 5]],
  [2, [1, 2, 3]],
  [3, [3, 4, 5]],
]);

const gapMs = { least: 200, most: 1_400 };
const lastsMs = { least: 300, usual: 1_500, most: 4_000 };

/** Draws the plan of a seed: all kinds in one order after the other, so that none is missing for long. */
export function planOf(seed: number, harmMs: number): Step[] {
  const random = new SimRandom(seed, "chaos");
  const all = Array.from({ length: machineCount }, (_, i) => i + 1);
  const steps: Step[] = [];
  let atMs = gapMs.least;
  for (;;) {
    for (const kind of random.shuffle(faultKinds)) {
      steps.push({
        atMs,
        kind,
        machines: random.shuffle(all),
        leaderOf: random.chance(0.5) ? random.pick([...clusters.keys()]) : 0,
        forMs: random.longTail(lastsMs.least, lastsMs.usual, lastsMs.most),
        variant: random.below(1_000) / 1_000,
      });
      atMs += random.between(gapMs.least, gapMs.most);
      if (atMs >= harmMs) return steps;
    }
  }
}
