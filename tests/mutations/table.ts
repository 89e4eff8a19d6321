/** The table of mutations in docs/TESTING.md: what was broken, and what found it. */

/** How a patch was judged. */
export interface Outcome {
  /** The patch. */
  readonly name: string;
  /** What it breaks. */
  readonly what: string;
  /** The test file that found it, or was to; undefined if it was the simulator. */
  readonly test: string | undefined;
  /** The first seed in which a check failed, or 0. */
  readonly seed: number;
  /** The check that failed, or the test, by its name. */
  readonly check: string;
  /** Seeds until then that did not count (F1): no verdict. */
  readonly notCounted: number;
  /** Real time that it took. */
  readonly seconds: number;
  /** Whether it was judged as it should be. */
  readonly isAsItShould: boolean;
}

const head = "| Mutation | What is broken | Caught by | Seeds |";
const line = "| --- | --- | --- | --- |";

/** One row. */
export function rowOf(outcome: Outcome, seedCount: number): string {
  const { name, what, test, seed, check, isAsItShould } = outcome;
  const found = !isAsItShould
    ? "**judged wrongly**"
    : check === ""
    ? "nothing, as it should be"
    : test === undefined
    ? `"${check}"`
    : `\`${test}\`: "${check}"`;
  const seeds = test !== undefined ? "" : seed === 0 ? seedCount : seed;
  return `| ${[`\`${name}\``, what, found, seeds].map(cell).join(" | ")} |`;
}

function cell(text: string | number): string {
  return String(text).replaceAll("|", "\\|").replaceAll("<", "&lt;");
}

/** All rows, under a head. */
export function tableOf(
  outcomes: readonly Outcome[],
  seedCount: number,
): string {
  return [head, line, ...outcomes.map((one) => rowOf(one, seedCount))].join(
    "\n",
  );
}

/** Names of the patches that the table in a page has. */
export function namesIn(page: string): string[] {
  return rowsIn(page).map(([name]) => name);
}

/**
 * The page with the rows of these outcomes in its table; rows of patches that were not judged now stay, unless there is no
 * such patch any more.
 *
 * @throws {Error} if the page has no such table.
 */
export function withTable(
  page: string,
  outcomes: readonly Outcome[],
  { seedCount, names }: { seedCount: number; names: readonly string[] },
): string {
  const { before, after } = split(page);
  const rows = new Map(rowsIn(page));
  for (const one of outcomes) rows.set(one.name, rowOf(one, seedCount));
  const kept = names.flatMap((name) => rows.get(name) ?? []);
  return [...before, head, line, ...kept, ...after].join("\n");
}

/** The lines of a page before the table, of the table, and behind it. */
function split(
  page: string,
): { before: string[]; table: string[]; after: string[] } {
  const lines = page.split("\n");
  const from = lines.findIndex((text) => /^\| Mutation +\|/.test(text));
  if (from < 0) {
    throw new Error("Cannot find the table of mutations: the page has none");
  }
  let to = from;
  while (lines[to]?.startsWith("|")) to++;
  return {
    before: lines.slice(0, from),
    table: lines.slice(from, to),
    after: lines.slice(to),
  };
}

function rowsIn(page: string): [name: string, row: string][] {
  return split(page).table.flatMap((row): [string, string][] => {
    const name = /^\| `([a-z0-9_]+)` /.exec(row)?.[1];
    return name === undefined ? [] : [[name, row]];
  });
}
