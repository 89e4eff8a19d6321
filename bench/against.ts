/** `--against DIR`: the same load by turns on another checkout of this project, such as the commit before. */
import { join } from "./deps.ts";
import { median, round } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import type { BenchResult } from "./result.ts";
import { measureThroughput } from "./throughput.ts";

/** "Not worse" (rule F2 in docs/RULES.md). */
const leastRatio = 0.9;

/** The command line of the other side. It may not know newer options: being watched and sessions are ours alone. */
export function argumentsFor(options: BenchOptions, dir: string): string[] {
  const { snapshotEntries } = options;
  return [
    `--mode=${options.mode}`,
    `--clusters=${options.clusters}`,
    `--payload=${options.payload}`,
    `--outstanding=${options.outstanding}`,
    `--seconds=${options.seconds}`,
    `--dir=${dir}`,
    ...(snapshotEntries === undefined
      ? []
      : [`--snapshot-entries=${snapshotEntries}`]),
    ...(options.isSecure ? ["--tls"] : []),
  ];
}

async function measureOther(
  checkout: string,
  dir: string,
  options: BenchOptions,
): Promise<BenchResult> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      join(checkout, "bench", "main.ts"),
      ...argumentsFor(options, dir),
    ],
    cwd: checkout,
    stdout: "piped",
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`The benchmark in ${checkout} failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** What the pairs come to: medians, and the ratio of each pair. */
export function compare(
  ours: readonly BenchResult[],
  theirs: readonly BenchResult[],
): { ratio: number; ratios: number[]; against: number; isNotWorse: boolean } {
  const ratios = ours.map(({ ops }, i) => round(ops / theirs[i]!.ops, 2));
  const ratio = median(ratios);
  return {
    ratio,
    ratios,
    against: Math.round(median(theirs.map(({ ops }) => ops))),
    isNotWorse: ratio >= leastRatio,
  };
}

/** Measures `repeat` pairs; who goes first alternates, so that a drift of the machine favours nobody. */
export async function measureAgainst(
  makeDir: () => string,
  options: BenchOptions,
  checkout: string,
): Promise<BenchResult> {
  const ours: BenchResult[] = [];
  const theirs: BenchResult[] = [];
  for (let pair = 0; pair < options.repeat; pair++) {
    const isOursFirst = pair % 2 === 0;
    const measureOurs = async () =>
      ours.push(await measureThroughput(makeDir, { ...options, repeat: 1 }));
    if (isOursFirst) await measureOurs();
    theirs.push(await measureOther(checkout, makeDir(), options));
    if (!isOursFirst) await measureOurs();
  }
  const { ratio, ratios, against, isNotWorse } = compare(ours, theirs);
  const ops = Math.round(median(ours.map((result) => result.ops)));
  return {
    ...ours[0]!,
    ops,
    "p50_ms": median(ours.map((result) => result.p50_ms)),
    "against_ops": against,
    ratio,
    ratios,
    "is_not_worse": isNotWorse,
  };
}
