/**
 * Spreads leadership over NodeHosts that share clusters, without anybody in charge. Two NodeHosts that share clusters
 * both know who leads each of these; if one leads at least two more of them than the other, it hands some over, a
 * quarter of the difference in a round. Both count the same clusters, so they never pass one to and fro; and where three
 * or more overlap in odd ways, so that moves between pairs could go in circles, a cluster that was moved from here stays
 * for twice as long each time it is back.
 */

/** One cluster, as the NodeHost sees it that decides. */
export interface SpreadCluster {
  readonly clusterId: number;
  /** Where its leader is: `self`, another NodeHost's address, or `""` if nobody is known to lead. */
  readonly leader: string;
  /** Where its other voters are. */
  readonly others: readonly string[];
}

/** A cluster to hand over. */
export interface SpreadMove {
  readonly clusterId: number;
  readonly to: string;
}

/** Most moves in one round. */
export const movesPerRound = 4;

interface Pair {
  /** Clusters of both that are led here. */
  here: number;
  /** Clusters of both that are led there. */
  there: number;
}

/**
 * What to hand over now: to the NodeHost that leads least of those shared with it, and only if that is at least two
 * fewer. `mayMove` says whether a cluster may go there now.
 */
export function planSpread(
  self: string,
  clusters: readonly SpreadCluster[],
  mayMove: (clusterId: number, to: string) => boolean,
): SpreadMove[] {
  const pairs = countPairs(self, clusters);
  const targets = [...pairs]
    .filter(([, { here, there }]) => here - there >= 2)
    .sort(([a, left], [b, right]) =>
      (right.here - right.there) - (left.here - left.there) || (a < b ? -1 : 1)
    );
  for (const [to, { here, there }] of targets) {
    const wanted = Math.max(1, Math.floor((here - there) / 4));
    const limit = Math.min(movesPerRound, wanted);
    const moves: SpreadMove[] = [];
    for (const { clusterId, leader, others } of clusters) {
      if (moves.length === limit) break;
      if (leader !== self || !others.includes(to)) continue;
      if (mayMove(clusterId, to)) moves.push({ clusterId, to });
    }
    if (moves.length > 0) return moves; // One target in a round: what others do meanwhile is seen in the next.
  }
  return [];
}

/** Whether nothing is to be handed over from here, wherever it might go. */
export function isEven(
  self: string,
  clusters: readonly SpreadCluster[],
): boolean {
  return [...countPairs(self, clusters).values()].every(({ here, there }) =>
    here - there < 2
  );
}

function countPairs(
  self: string,
  clusters: readonly SpreadCluster[],
): Map<string, Pair> {
  const pairs = new Map<string, Pair>();
  for (const { leader, others } of clusters) {
    for (const other of others) {
      let pair = pairs.get(other);
      if (pair === undefined) {
        pair = { here: 0, there: 0 };
        pairs.set(other, pair);
      }
      if (leader === self) pair.here++;
      else if (leader === other) pair.there++;
    }
  }
  return pairs;
}

/** How long clusters stay that were moved before: so many rounds, doubled with each move. */
const stayRounds = 8;
const stayDoublingsMax = 12;

/** What one NodeHost remembers of its moves. */
export class SpreadMemory {
  readonly #moved = new Map<number, { count: number; round: number }>();
  #round = 0;

  /** A round begins. */
  nextRound(): void {
    this.#round++;
  }

  /** Whether a cluster has stayed long enough since it was moved from here. */
  mayMove(clusterId: number): boolean {
    const moved = this.#moved.get(clusterId);
    if (moved === undefined) return true;
    const doublings = Math.min(moved.count - 1, stayDoublingsMax);
    return this.#round - moved.round >= stayRounds * 2 ** doublings;
  }

  /** A cluster is moved from here. */
  moved(clusterId: number): void {
    const count = (this.#moved.get(clusterId)?.count ?? 0) + 1;
    this.#moved.set(clusterId, { count, round: this.#round });
  }

  /** A cluster is here no longer. */
  forget(clusterId: number): void {
    this.#moved.delete(clusterId);
  }
}
