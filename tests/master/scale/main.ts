/** The command line of `deno task bench:master`. */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { parseArgs } from "../denokv/deps.ts";
import {
  measureDeath,
  measurePage,
  measureQuietRound,
  measureReports,
  measureScheduler,
} from "./measure.ts";
import { figureKinds, figureTable, missedFigures } from "./table.ts";

const usage = `Usage: deno task bench:master [options]

What a master takes with many clusters and NodeHosts, on an embedded Deno KV in
a file: times, operations and bytes, each with what it may be at most. Prints
the table of docs/BUDGET.md: the middle of all runs, the least and the most.

  --runs N   how often each is measured; 5. The middle one counts
  --help     this text

Exit status: 0 if all is met; 1 if not; 2 for a wrong command line.`;

function readRuns(args: string[]): number {
  let wrong: string;
  try {
    const { values } = parseArgs({
      args,
      options: {
        runs: { type: "string", default: "5" },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      console.log(usage);
      Deno.exit(0);
    }
    const runs = Number(values.runs);
    if (/^[0-9]+$/.test(values.runs) && runs >= 1 && runs <= 100) return runs;
    wrong = `--runs: "${values.runs}" is not a whole number from 1 to 100`;
  } catch (error) {
    wrong = (error as Error).message;
  }
  console.error(`${wrong}\n\n${usage}`);
  Deno.exit(2);
}

const runs = readRuns(Deno.args);
const dir = Deno.makeTempDirSync({ prefix: "drakkar-scale-" });
try {
  const figures = {
    ...measureScheduler(runs),
    ...await measureQuietRound(),
    ...await measureDeath(dir, runs),
    ...await measureReports(dir, runs),
    ...await measurePage(dir, runs),
  };
  console.log(figureTable(figures));
  const missed = missedFigures(figures);
  for (const name of missed) {
    const { what, atMost, unit } = figureKinds[name];
    console.error(`Missed: ${what}: more than ${atMost} ${unit}`.trimEnd());
  }
  Deno.exitCode = missed.length === 0 ? 0 : 1;
} finally {
  Deno.removeSync(dir, { recursive: true });
}
