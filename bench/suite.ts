/** `--suite`: the figures that count, as ratios to the raw pipeline in the same run (rule F2). */
import { formatSpread, formatTable, median } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import type { BenchResult } from "./result.ts";
import { describeMachine } from "./system.ts";
import { measureThroughput } from "./throughput.ts";

/** What the raw pipeline prints. */
interface RawResult {
  readonly ops: number;
  readonly "p50_ms": number;
}

interface Load {
  readonly clusters: number;
  readonly outstanding: number;
}

/** One line of the table: two measurements side by side, and what their ratio should be. */
interface Comparison {
  readonly name: string;
  readonly ours: Load;
  /** The raw pipeline with as many outstanding, or a load of ours. */
  readonly against: "raw" | Load;
  readonly figure: "ops" | "p50_ms";
  readonly target: string;
  isMet(ratio: number): boolean;
}

const comparisons: readonly Comparison[] = [
  {
    name: "1 cluster, 4096 outstanding: ops/s",
    ours: { clusters: 1, outstanding: 4096 },
    against: "raw",
    figure: "ops",
    target: ">= 0.5",
    isMet: (ratio) => ratio >= 0.5,
  },
  {
    name: "1 cluster, 2048 outstanding: ops/s",
    ours: { clusters: 1, outstanding: 2048 },
    against: "raw",
    figure: "ops",
    target: "-",
    isMet: () => true,
  },
  {
    name: "1 cluster, 1 outstanding: median ms",
    ours: { clusters: 1, outstanding: 1 },
    against: "raw",
    figure: "p50_ms",
    target: "<= 1.5",
    isMet: (ratio) => ratio <= 1.5,
  },
  {
    name: "48 clusters, 64 each: ops/s, to 1 cluster's",
    ours: { clusters: 48, outstanding: 64 },
    against: { clusters: 1, outstanding: 4096 },
    figure: "ops",
    target: ">= 0.7",
    isMet: (ratio) => ratio >= 0.7,
  },
];

async function measureRaw(
  dir: string,
  options: BenchOptions,
  outstanding: number,
): Promise<RawResult> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      new URL("./raw_pipeline.ts", import.meta.url).href,
      `--payload=${options.payload}`,
      `--outstanding=${outstanding}`,
      `--seconds=${options.seconds}`,
      `--dir=${dir}`,
    ],
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error("The raw pipeline failed");
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** Measures one pair after the other. Who goes first alternates too, so that a drift of the machine favours nobody. */
async function measurePairs(
  makeDir: () => string,
  options: BenchOptions,
  comparison: Comparison,
  onPair: (pair: number) => void,
): Promise<{ ours: number[]; theirs: number[] }> {
  const { figure, against } = comparison;
  const measure = async (load: Load) => {
    const result: BenchResult = await measureThroughput(makeDir, {
      ...options,
      ...load,
      mode: "write",
      repeat: 1,
    });
    return result[figure];
  };
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let pair = 0; pair < options.repeat; pair++) {
    const isOursFirst = pair % 2 === 0;
    if (isOursFirst) ours.push(await measure(comparison.ours));
    theirs.push(
      against === "raw"
        ? (await measureRaw(makeDir(), options, comparison.ours.outstanding))[
          figure
        ]
        : await measure(against),
    );
    if (!isOursFirst) ours.push(await measure(comparison.ours));
    onPair(pair + 1);
  }
  return { ours, theirs };
}

/** Measures everything and returns the table as text; `isMet` is false if a target was missed. */
export async function runSuite(
  makeDir: () => string,
  options: BenchOptions,
  onProgress: (line: string) => void,
): Promise<{ text: string; isMet: boolean }> {
  const rows: string[][] = [];
  let isMet = true;
  for (const comparison of comparisons) {
    const { name, figure, target } = comparison;
    const { ours, theirs } = await measurePairs(
      makeDir,
      options,
      comparison,
      (pair) => onProgress(`${name}: pair ${pair} of ${options.repeat}`),
    );
    const ratios = ours.map((value, i) => value / theirs[i]!);
    const digits = figure === "ops" ? 0 : 3;
    const isRowMet = comparison.isMet(median(ratios));
    isMet &&= isRowMet;
    rows.push([
      name,
      formatSpread(ours, digits),
      formatSpread(theirs, digits),
      formatSpread(ratios, 2),
      target,
      isRowMet ? "yes" : "NO",
    ]);
  }
  const table = formatTable(
    ["measured", "drakkar", "compared with", "ratio", "target", "met"],
    rows,
  );
  const title =
    `Median (lowest to highest) of ${options.repeat} alternating pairs, ${options.seconds} s each, ` +
    `${options.payload}-byte commands`;
  return { text: `${describeMachine()}\n${title}\n\n${table}`, isMet };
}
