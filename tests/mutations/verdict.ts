/** What the failed seeds of a run, or the failed tests of a file, say about a patch. */

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
  /** That check, or the first test that failed, or `""`. */
  readonly check: string;
  /** Seeds that did not count (F1): they say nothing. */
  readonly notCounted: number;
  /** A broken variant was caught; a neutral one by nothing, and all its seeds counted. */
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

/**
 * Judges by what `deno test --reporter=junit` printed: a test that ran and failed has caught the patch. Undefined if no
 * test ran at all, which says nothing about it.
 */
export function verdictOfTests(
  junit: string,
  isNeutral: boolean,
): Verdict | undefined {
  const cases = [
    ...junit.matchAll(
      /<testcase name="([^"]*)"[^>]*?(?:\/>|>(.*?)<\/testcase>)/gs,
    ),
  ];
  if (cases.length === 0) return undefined;
  const failed = cases.find(([, , inside]) =>
    /<(failure|error)/.test(inside ?? "")
  );
  return {
    seed: 0,
    check: failed === undefined ? "" : unescape(failed[1] ?? ""),
    notCounted: 0,
    isAsItShould: isNeutral ? failed === undefined : failed !== undefined,
  };
}

const entities: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  amp: "&",
};

/** The text of an XML attribute. */
function unescape(text: string): string {
  return text.replace(
    /&(#x?[0-9a-f]+|[a-z]+);/gi,
    (whole, name: string) =>
      name.startsWith("#")
        ? String.fromCodePoint(
          Number(name.replace("#", "0").replace(/^0(?!x)/, "")),
        )
        : entities[name] ?? whole,
  );
}
