/**
 * When a member campaigns that misses its leader. It is drawn at random, so that one is usually alone (paper 5.2); and
 * NodeHosts that were started together tick together, so that of a thousand clusters a tenth would have two candidates
 * in the same tick, who split the votes and lose an election timeout each. So the members draw from times of their own,
 * two ticks apart from everybody else's where there is room: a tick is how much two NodeHosts may differ in what they
 * call the same one. Nobody has the first time of all, at which others may still believe in the leader.
 *
 * Only the first campaign after a leader is drawn so. Whoever has tried in vain draws from all times: messages may take
 * longer than what lies between two of them, and then only chance helps.
 */
import type { Prng } from "./prng.ts";

/** Whose turn it is to draw. */
export interface Turn {
  /** Among those who may campaign, from 0. */
  readonly place: number;
  /** How many these are. */
  readonly count: number;
  /** Equal on all members of a cluster, and another in each cluster, so that not all begin with the same member. */
  readonly offset: number;
}

/** Draws one of the times of `turn`, in `[0, limit)`; any, if there are too few for everybody. */
export function drawTurn(prng: Prng, limit: number, turn: Turn): number {
  const { place, count, offset } = turn;
  const gap = 2 * count < limit ? 2 : 1;
  const period = gap * count;
  if (count < 2 || period >= limit) return prng.below(limit);
  const first = 1 + (place * gap + offset) % period;
  const own = Math.floor((limit - 1 - first) / period) + 1;
  return first + period * prng.below(own);
}
