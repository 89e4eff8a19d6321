/** The figures of `deno task bench:master`, and the table of them that docs/BUDGET.md shows. Pure. */
import { formatSpread, median } from "../../../bench/figures.ts";

/** A figure, with what it may be at most. */
export interface FigureKind {
  /** What is measured. */
  readonly what: string;
  /** Milliseconds, KiB, or how many there are of something. */
  readonly unit: "ms" | "KiB" | "";
  /** More is a failure: of the middle one for times, of each for all else. */
  readonly atMost: number;
  /** The file of the test that counts the same, in `tests/master`; absent: only measured. */
  readonly test?: string;
}

const scheduler = "scheduler_test.ts";
const budget = "budget_test.ts";
const scale = "scale_test.ts";

/** All of them, in the order of the table. */
export const figureKinds = {
  scheduler: {
    what: "The scheduler over 10,000 clusters and 100 NodeHosts",
    unit: "ms",
    atMost: 1_000,
    test: scheduler,
  },
  quietReads: {
    what: "A quiet round over as many: read units",
    unit: "",
    atMost: 30,
    test: budget,
  },
  quietWrites: {
    what: "Values that it writes beside the clock",
    unit: "",
    atMost: 0,
    test: budget,
  },
  death: {
    what: "A death with 300 nodes becomes 300 stored plans",
    unit: "ms",
    atMost: 2_000,
    test: scale,
  },
  deathRounds: {
    what: "Rounds for that, a second apart",
    unit: "",
    atMost: 2,
    test: scale,
  },
  deathRound: {
    what: "The longest of these rounds, with its report",
    unit: "ms",
    atMost: 400,
  },
  deathStarted: {
    what: "Repairs of these that begin at once, by the limits",
    unit: "",
    atMost: 12,
    test: scale,
  },
  firstReport: {
    what: "A first report of 1,000 clusters, in slices",
    unit: "ms",
    atMost: 2_000,
    test: scale,
  },
  sameReport: {
    what: "An unchanged one",
    unit: "ms",
    atMost: 50,
    test: scale,
  },
  sameReads: {
    what: "Values that it reads",
    unit: "",
    atMost: 2,
    test: scale,
  },
  sameWrites: {
    what: "Values that it writes",
    unit: "",
    atMost: 1,
    test: scale,
  },
  page: {
    what: "The page with 10,000 clusters, without a browser",
    unit: "ms",
    atMost: 1_000,
    test: "board_test.ts",
  },
  pageBytes: {
    what: "Its bytes, before any compression",
    unit: "KiB",
    atMost: 200,
  },
} as const satisfies Record<string, FigureKind>;

/** One of {@link figureKinds}. */
export type FigureName = keyof typeof figureKinds;

/** What was measured, one value for each run. */
export type Figures = Record<FigureName, readonly number[]>;

/** The cells of the table that do not depend on what is measured. */
export interface FixedCells {
  /** First column. */
  readonly what: string;
  /** Second column. */
  readonly atMost: string;
  /** Last column. */
  readonly test: string;
}

const head = ["What", "At most", "Measured", "Counted in `tests/master`"];

/** The rows without what is measured. */
export function fixedCells(): FixedCells[] {
  return Object.values<FigureKind>(figureKinds).map((kind) => ({
    what: kind.what,
    atMost: `${kind.atMost.toLocaleString("en")} ${kind.unit}`.trimEnd(),
    test: kind.test === undefined ? "" : `\`${kind.test}\``,
  }));
}

/** The table in Markdown, with the middle of all runs and their range, as it stands in docs/BUDGET.md. */
export function figureTable(figures: Figures): string {
  const rows = fixedCells().map(({ what, atMost, test }, i) => {
    const name = figureNames[i]!;
    const measured = measuredCell(figureKinds[name], figures[name]);
    return [what, atMost, measured, test];
  });
  const all = [head, ...rows];
  const widths = head.map((_, column) =>
    Math.max(...all.map((row) => row[column]!.length))
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

/** The figures that are not met. */
export function missedFigures(figures: Figures): FigureName[] {
  return figureNames.filter((name) => {
    const { unit, atMost }: FigureKind = figureKinds[name];
    const values = figures[name];
    // Time may be lost to anything once; operations may not.
    return !((unit === "ms" ? median(values) : Math.max(...values)) <= atMost);
  });
}

const figureNames = Object.keys(figureKinds) as FigureName[];

/** What is the same in each run needs no range. */
function measuredCell(
  { unit }: FigureKind,
  values: readonly number[],
): string {
  const digits = unit === "" || median(values) >= 10 ? 0 : 1;
  const isSame = new Set(values.map((value) => value.toFixed(digits))).size < 2;
  const text = isSame
    ? median(values).toFixed(digits)
    : formatSpread(values, digits);
  return `${text} ${unit}`.trimEnd();
}
