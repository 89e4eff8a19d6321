/** Reads what `deno coverage --lcov` prints. */

/** How much of a file, or of several, the tests reach. */
export interface Coverage {
  /** Lines that could be reached. */
  readonly lines: number;
  /** Those of them that were. */
  readonly linesHit: number;
  /** Branches that could be taken. */
  readonly branches: number;
  /** Those of them that were. */
  readonly branchesHit: number;
}

/** One file. */
export interface FileCoverage extends Coverage {
  /** Its path, as the tool gives it. */
  readonly path: string;
  /** Numbers of the lines that were not reached. */
  readonly missedLines: readonly number[];
  /** Numbers of the lines with a branch that was not taken. */
  readonly missedBranches: readonly number[];
}

/** Reads the files of a report. */
export function parseLcov(report: string): FileCoverage[] {
  return report.split("end_of_record").flatMap((record) => {
    const fields = record.trim().split("\n").map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
    const path = fields.find(([name]) => name === "SF")?.[1];
    if (path === undefined) return [];
    const valuesOf = (wanted: string) =>
      fields.filter(([name]) => name === wanted).map(([, value]) =>
        value.split(",")
      );
    const lines = valuesOf("DA");
    const branches = valuesOf("BRDA");
    const missedLines = lines.filter(([, hits]) => Number(hits) === 0);
    const missed = branches.filter((values) =>
      values.at(-1) === "-" || Number(values.at(-1)) === 0
    );
    return [{
      path,
      lines: lines.length,
      linesHit: lines.length - missedLines.length,
      branches: branches.length,
      branchesHit: branches.length - missed.length,
      missedLines: missedLines.map(([line]) => Number(line)),
      missedBranches: [...new Set(missed.map(([line]) => Number(line)))],
    }];
  });
}

/** The sum. */
export function sumOf(files: readonly Coverage[]): Coverage {
  const sum = (of: (file: Coverage) => number) =>
    files.reduce((total, file) => total + of(file), 0);
  return {
    lines: sum((file) => file.lines),
    linesHit: sum((file) => file.linesHit),
    branches: sum((file) => file.branches),
    branchesHit: sum((file) => file.branchesHit),
  };
}

/** A share in percent, rounded down to a tenth, so that nothing seems whole that is not. */
export function percent(hit: number, all: number): number {
  return all === 0 ? 100 : Math.floor(1_000 * hit / all) / 10;
}
