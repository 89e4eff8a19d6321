/** Pure functions over what voters said. Nothing here knows what the numbers mean. */

/** How many of `voterCount` voters are a majority. */
export function quorumSize(voterCount: number): number {
  return (voterCount >> 1) + 1;
}

/** The highest value that a majority of the first `count` values has reached. Sorts them, as {@link nthHighest} does. */
export function quorumValue(values: number[], count: number): number {
  return count === 0 ? 0 : nthHighest(values, count, quorumSize(count));
}

/**
 * The highest value that `needed` of the first `count` values have reached, for 1 <= `needed` <= `count`. Sorts those
 * values in place (descending), since callers pass a scratch array; by insertion, since there are few and they are
 * nearly sorted.
 */
export function nthHighest(
  values: number[],
  count: number,
  needed: number,
): number {
  for (let sorted = 1; sorted < count; sorted++) {
    const value = values[sorted] as number;
    let at = sorted - 1;
    while (at >= 0 && (values[at] as number) < value) {
      values[at + 1] = values[at] as number;
      at--;
    }
    values[at + 1] = value;
  }
  return values[needed - 1] as number;
}

/** How an election stands. */
export type ElectionResult = "won" | "lost" | "pending";

/** How an election among `voterCount` voters stands after these votes. */
export function electionResult(
  votes: { granted: number; rejected: number; voterCount: number },
): ElectionResult {
  const quorum = quorumSize(votes.voterCount);
  if (votes.granted >= quorum) return "won";
  // Lost once those who may still grant are too few for a majority.
  if (votes.voterCount - votes.rejected < quorum) return "lost";
  return "pending";
}
