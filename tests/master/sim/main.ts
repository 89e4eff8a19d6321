// deno-lint-ignore-file no-console -- a command line.
/** `deno task sim:masters`; see `usage`. */
import { runTool, UsageError } from "../../support/tool.ts";
import { chaos, type ChaosReport } from "./chaos.ts";
import { parseArgs } from "./deps.ts";

const usage = `Usage: deno task sim:masters [options]

Three masters over a store that lies, and five real NodeHosts with their logs and
Raft, on virtual time: machines, disks, networks, masters, the store and clocks
fail, and operators give orders meanwhile. In the end what is desired must be
what runs, no majority was given away, no id used twice, and nothing lost.

  --seeds A..B  which seeds (1..20)
  --seed N      one, twice: both must do the same
  --steps N     things that go wrong in each (12)
  --json        what was counted as JSON
  --help        this text

Exit status: 0 if all is well; 1 if a seed failed, or if in 50 seeds or more some
fault never happened; 2 for a wrong command line.`;

/** So many seeds have all faults. */
const seedsWithAll = 50;
const stepsByDefault = 12;

interface Settings {
  readonly first: number;
  readonly last: number;
  readonly steps: number;
  readonly isTwice: boolean;
  readonly isJson: boolean;
}

/** Reads the command line; undefined if it asks for help. */
function readSettings(args: string[]): Settings | undefined {
  const { help, seeds, seed, steps, json } = parseFlags(args);
  if (help) return undefined;
  const [, from, to] = /^([0-9]+)\.\.([0-9]+)$/.exec(
    seed === undefined ? seeds : `${seed}..${seed}`,
  ) ?? [];
  const first = Number(from);
  const last = Number(to);
  if (!Number.isSafeInteger(first) || !(last >= first)) {
    throw new UsageError(
      `Cannot use "${seed ?? seeds}" as seeds: write --seeds 1..20 or --seed 7`,
    );
  }
  if (!/^[1-9][0-9]{0,5}$/.test(steps)) {
    throw new UsageError(
      `Cannot use --steps: "${steps}" is not a positive whole number`,
    );
  }
  const isTwice = seed !== undefined;
  return { first, last, steps: Number(steps), isTwice, isJson: json };
}

function parseFlags(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        seeds: { type: "string", default: "1..20" },
        seed: { type: "string" },
        steps: { type: "string", default: String(stepsByDefault) },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : `${error}`);
  }
}

async function run(settings: Settings): Promise<boolean> {
  const { first, last, steps, isTwice, isJson } = settings;
  const startedAt = performance.now();
  const reports: ChaosReport[] = [];
  const failed: number[] = [];
  for (let seed = first; seed <= last; seed++) {
    const report = await chaos({ seed, steps });
    reports.push(report);
    const problems = [...report.problems];
    if (isTwice) {
      const again = await chaos({ seed, steps });
      if (again.hash !== report.hash) {
        problems.push(`it had the hashes ${report.hash} and ${again.hash}`);
      }
    }
    if (problems.length === 0) continue;
    failed.push(seed);
    console.error(`\nseed ${seed} failed: ${problems.join("\n  ")}`);
    const more = steps === stepsByDefault ? "" : ` --steps ${steps}`;
    console.error(`run it again: deno task sim:masters --seed ${seed}${more}`);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  return tell({ reports, failed, seconds, isJson });
}

/** Prints what was counted; returns whether that is fine. */
function tell({ reports, failed, seconds, isJson }: {
  reports: readonly ChaosReport[];
  failed: readonly number[];
  seconds: number;
  isJson: boolean;
}): boolean {
  const sum = (count: (report: ChaosReport) => number) =>
    reports.reduce((all, one) => all + count(one), 0);
  const names = Object.keys(reports[0]!.faults);
  const faults = names.map((name) =>
    [name, sum((one) => one.faults[name]!)] as const
  );
  const changes = sum((one) => one.changes);
  const written = sum((one) => one.written);
  const simulated = sum((one) => one.simulatedSeconds);
  if (isJson) {
    console.log(JSON.stringify({
      seeds: reports.length,
      failed,
      faults: Object.fromEntries(faults),
      changes,
      written,
      simulatedSeconds: simulated,
      seconds,
    }));
  } else {
    for (const [name, count] of faults) {
      console.log(`${name.padEnd(20)}${String(count).padStart(9)}`);
    }
    if (reports.length === 1) console.log(`\nhash ${reports[0]!.hash}`);
    console.log(
      `\n${reports.length} seeds, ${failed.length} failed${
        failed.map((seed) => ` ${seed}`).join("")
      }; ${changes} membership changes, ${written} values written, ${
        (simulated / 60).toFixed(0)
      } simulated minutes in ${seconds.toFixed(1)} s`,
    );
  }
  const missing = reports.length < seedsWithAll
    ? []
    : faults.filter(([, count]) => count === 0).map(([name]) => name);
  if (missing.length > 0) {
    console.error(`no seed had these faults: ${missing.join(", ")}`);
  }
  return failed.length === 0 && missing.length === 0;
}

if (import.meta.main) Deno.exitCode = await runTool(usage, readSettings, run);
