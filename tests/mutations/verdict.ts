/** What the failed seeds of a run say about a patch. */

/** A seed that failed, as `deno task sim --json` tells it. */
export interface FailedSeed {
  /** The seed. */
  readonly seed: number;
  /** The check that failed, by its name. */
  readonly check: string;
}

/** The judgement. */
export interface Verdict {
  /** The first seed in which a check failed, or 0. */
  readonly seed: number;
  /** That check, or `""`. */
  readonly check: string;
  /** Seeds that did not count (F1): they say nothing. */
  readonly notCounted: number;
  /** A broken variant was caught by a check; a neutral one by none, and all its seeds counted. */
  readonly isAsItShould: boolean;
}

const notCountedCheck = "counts as a seed";

/** Judges: only a check that failed has caught anything (rule F1). */
export function verdictOf(
  failed: readonly FailedSeed[],
  isNeutral: boolean,
): Verdict {
  const caught = failed.find(({ check }) => check !== notCountedCheck);
  const notCounted =
    failed.filter(({ check }) => check === notCountedCheck).length;
  return {
    seed: caught?.seed ?? 0,
    check: caught?.check ?? "",
    notCounted,
    isAsItShould: isNeutral ? failed.length === 0 : caught !== undefined,
  };
}
