// deno-lint-ignore-file no-console -- a command line.
/** `deno task sim`: runs seeds of the simulator; see `usage`. */
import { process } from "../deps.ts";
import type { CheckName } from "./failure.ts";
import {
  type Arguments,
  longSecondsOf,
  longSeeds,
  parse,
  usage,
  UsageError,
} from "./options.ts";
import { simulate, SimulationTotals } from "./run.ts";
import type { SimulationReport } from "./run.ts";
import { formatTotals } from "./table.ts";

interface FailedSeed {
  readonly seed: number;
  readonly check: string;
  readonly message: string;
}

/** What one process, or all of them, found. */
interface Findings {
  readonly totals: SimulationTotals;
  readonly failed: FailedSeed[];
  /** CPU time of the processes, their start included. */
  readonly cpuSeconds: number;
}

interface Timed {
  /** Seconds from the first seed to the last. */
  readonly seconds: number;
}

/** As in deno.json: collecting garbage costs least in one thread, and in big pieces. */
const memoryFlags =
  "--v8-flags=--single-threaded-gc,--min-semi-space-size=64,--max-semi-space-size=64";

const notCounted: CheckName = "counts as a seed";

function printFailure(
  report: SimulationReport,
  args: Arguments,
  isWithTrace: boolean,
): void {
  if (isWithTrace) {
    for (const line of report.recentTrace) {
      console.error(line);
    }
  }
  console.error(
    `\nseed ${report.seed} failed after ${
      report.simulatedSeconds.toFixed(3)
    } simulated seconds`,
  );
  console.error(String(report.failure?.message));
  const cause = report.failure?.cause;
  if (cause instanceof Error && cause.stack !== undefined) {
    console.error(cause.stack);
  }
  console.error(
    `run it again: deno task sim --seed ${report.seed}${longArguments(args)}`,
  );
}

function longArguments(args: Arguments): string {
  const seconds = longSecondsOf(args);
  return seconds === undefined ? "" : ` --hours ${seconds / 3_600}`;
}

/** What `simulate` is to be told beside the seed. */
function planOptions(args: Arguments): { longSeconds?: number } {
  const longSeconds = longSecondsOf(args);
  return longSeconds === undefined ? {} : { longSeconds };
}

async function runOne(seed: number, args: Arguments): Promise<boolean> {
  const { flags } = args;
  const isVerbose = flags.has("--verbose");
  const report = await simulate({
    seed,
    ...planOptions(args),
    ...(isVerbose ? { onTrace: (line: string) => console.log(line) } : {}),
  });
  if (report.failure !== undefined) {
    printFailure(report, args, !isVerbose);
    return false;
  }
  if (!flags.has("--once")) {
    const again = await simulate({ seed, ...planOptions(args) });
    if (again.traceHash !== report.traceHash) {
      console.error(
        `seed ${seed} gave the trace hashes ${report.traceHash} and ${again.traceHash}`,
      );
      return false;
    }
  }
  const { recentTrace: _, ...shown } = report;
  console.log(JSON.stringify(shown, null, 2));
  return true;
}

async function runHere(
  seeds: Iterable<number>,
  args: Arguments,
): Promise<Findings> {
  const { flags } = args;
  const totals = new SimulationTotals();
  const failed: FailedSeed[] = [];
  for (const seed of seeds) {
    const report = await simulate({ seed, ...planOptions(args) });
    totals.add(report);
    const { failure } = report;
    if (failure !== undefined) {
      failed.push({ seed, check: failure.check, message: failure.message });
      printFailure(report, args, false);
      if (flags.has("--until-failure") && failure.check !== notCounted) break;
    }
    if (totals.seeds % 100 === 0) {
      console.error(`${totals.seeds} seeds, ${failed.length} failed`);
    }
  }
  const { user, system } = process.cpuUsage();
  return { totals, failed, cpuSeconds: (user + system) / 1e6 };
}

/** Shares the seeds among processes of their own, each of which says what it found in its last line. */
async function runInProcesses(given: Arguments): Promise<Findings> {
  const { seeds } = given;
  const most = seeds === undefined ? given.jobs : seeds.last - seeds.first + 1;
  const args = { ...given, jobs: Math.min(given.jobs, most) };
  const found = await Promise.all(
    Array.from({ length: args.jobs }, async (_, job) => {
      const output = await new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--allow-all",
          memoryFlags,
          import.meta.filename!,
          ...shareOf(args, job),
          "--json",
        ],
        stdout: "piped",
        stderr: "inherit",
      }).output();
      const last =
        new TextDecoder().decode(output.stdout).trim().split("\n").at(-1) ?? "";
      if (!last.startsWith("{")) {
        throw new Error(`Cannot tell what process ${job + 1} found`);
      }
      return parseFindings(last);
    }),
  );
  return sumOf(found);
}

/** A line that a run with `--json` printed. */
type PrintedFindings =
  & { failed: FailedSeed[]; cpuSeconds: number; seconds: number }
  & Record<string, unknown>;

function parseFindings(line: string): PrintedFindings {
  return JSON.parse(line) as PrintedFindings;
}

function sumOf(found: readonly PrintedFindings[]): Findings {
  const totals = new SimulationTotals();
  for (const { failed: _failed, cpuSeconds: _, seconds: __, ...one } of found) {
    totals.addTotals(one);
  }
  return {
    totals,
    cpuSeconds: found.reduce((sum, one) => sum + one.cpuSeconds, 0),
    failed: found.flatMap(({ failed }) => failed).sort((a, b) =>
      a.seed - b.seed
    ),
  };
}

/** The runs of which `--json` kept the totals in a file, as if they had been one. */
async function readFindings(file: string): Promise<Findings & Timed> {
  const lines = (await Deno.readTextFile(file)).split("\n");
  const found = lines.filter((line) => line.startsWith("{")).map(parseFindings);
  return {
    ...sumOf(found),
    seconds: found.reduce((sum, one) => sum + one.seconds, 0),
  };
}

function shareOf(args: Arguments, job: number): string[] {
  const { minutes, from, jobs, flags } = args;
  const isLong = flags.has("--long");
  const seeds = isLong ? longSeeds(args) : args.seeds;
  const shared = [
    ...(flags.has("--until-failure") ? ["--until-failure"] : []),
    ...(isLong ? ["--hours", String(longSecondsOf(args)! / 3_600)] : []),
  ];
  if (seeds === undefined) {
    return [
      ...shared,
      "--minutes",
      String(minutes),
      "--from",
      String(from + job * 1_000_000_000),
    ];
  }
  const count = seeds.last - seeds.first + 1;
  const edge = (part: number) => seeds.first + Math.floor(count * part / jobs);
  return [...shared, "--seeds", `${edge(job)}..${edge(job + 1) - 1}`];
}

async function runMany(args: Arguments): Promise<boolean> {
  const startedAt = performance.now();
  const findings = args.jobs > 1
    ? await runInProcesses(args)
    : await runHere(seedsOf(args), args);
  const seconds = (performance.now() - startedAt) / 1_000;
  return tell({ ...findings, seconds }, args);
}

/** Prints what was found; returns whether that is fine. */
function tell(
  { totals, failed, cpuSeconds, seconds }: Findings & Timed,
  args: Arguments,
): boolean {
  if (args.flags.has("--json")) {
    console.log(
      JSON.stringify({ ...totals.toJSON(), seconds, cpuSeconds, failed }),
    );
  } else {
    for (const line of formatTotals(totals)) console.log(line);
    const hours = totals.simulatedSeconds / 3_600;
    console.log(
      `\n${totals.seeds} seeds, ${failed.length} failed${
        failed.map(({ seed }) => ` ${seed}`).join("")
      }; ${seconds.toFixed(1)} s, ${cpuSeconds.toFixed(1)} s of CPU time: ${
        (hours / (cpuSeconds / 60)).toFixed(1)
      } simulated hours a minute of one core`,
    );
  }
  const isEnough = totals.seeds >= 100 && !args.flags.has("--long");
  const missing = isEnough ? totals.missingFaults() : [];
  if (missing.length > 0) {
    console.error(`no seed had these faults: ${missing.join(" ")}`);
  }
  return failed.length === 0 && missing.length === 0;
}

function seedsOf(args: Arguments): Iterable<number> {
  if (args.flags.has("--long")) return range(longSeeds(args));
  return args.seeds === undefined ? fresh(args) : range(args.seeds);
}

function* range(
  { first, last }: { first: number; last: number },
): Generator<number> {
  for (let seed = first; seed <= last; seed++) yield seed;
}

function* fresh({ from, minutes }: Arguments): Generator<number> {
  const until = performance.now() + minutes * 60_000;
  for (let seed = from; performance.now() < until; seed++) yield seed;
}

async function main(): Promise<void> {
  if (Deno.args.includes("--help")) return console.log(usage);
  let args: Arguments;
  try {
    args = parse(Deno.args, Date.now());
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    Deno.exitCode = 2;
    return;
  }
  if (args.table !== undefined) {
    if (!tell(await readFindings(args.table), args)) Deno.exitCode = 1;
    return;
  }
  const isMany = args.flags.has("--long") && longSeeds(args).last !== args.seed;
  const isFine = args.seed === undefined || isMany
    ? await runMany(args)
    : await runOne(args.seed, args);
  if (!isFine) Deno.exitCode = 1;
}

if (import.meta.main) await main();
