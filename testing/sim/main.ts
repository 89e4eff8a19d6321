// deno-lint-ignore-file no-console -- a command line.
/** `deno task sim`: runs seeds of the simulator; see `usage`. */
import { simulate, SimulationTotals } from "./run.ts";
import type { SimulationReport } from "./run.ts";
import type { CheckName } from "./failure.ts";

interface Arguments {
  seed: number | undefined;
  seeds: { first: number; last: number } | undefined;
  minutes: number;
  from: number;
  jobs: number;
  flags: ReadonlySet<string>;
}

interface FailedSeed {
  readonly seed: number;
  readonly check: string;
  readonly message: string;
}

/** What one process, or all of them, found. */
interface Findings {
  readonly totals: SimulationTotals;
  readonly failed: FailedSeed[];
}

const usage = `Usage: deno task sim [options]

Runs whole NodeHosts on virtual time under crashes, torn disks and broken
networks. Everything follows from a seed: the same seed, the same run.

  --seed N         one seed, twice: both runs must give the same trace hash
  --once           ... only once
  --verbose        ... with every noted event
  --seeds A..B     every seed from A to B
  --minutes M      fresh seeds for M minutes of real time (1)
  --from N         ... beginning with N (the time of day)
  --jobs N         ... as many processes at the same time (1)
  --until-failure  ... ends with the first seed in which a check fails; a seed
                   that only does not count is reported, and others follow
  --json           the totals as one line of JSON
  --help           this text

A seed counts with 60 simulated seconds in which faults are being injected and
500 completed operations (rule F1 in docs/RULES.md).

Exit status: 0 if nothing was found; 1 if a seed failed or did not count, or if
a hundred seeds or more left out a kind of fault; 2 for a wrong command line.`;

const notCounted: CheckName = "counts as a seed";

/** A command line that cannot be used; the message says why. */
class UsageError extends Error {}

const flagNames = ["--json", "--verbose", "--once", "--until-failure"];

function wholeNumber(name: string, text: string | undefined): number {
  const value = Number(text);
  if (
    text === undefined || text === "" || !Number.isSafeInteger(value) ||
    value < 0
  ) {
    throw new UsageError(
      `Cannot use ${name}: "${text ?? ""}" is not a whole number`,
    );
  }
  return value;
}

function rangeOf(name: string, text: string): { first: number; last: number } {
  const [first, last, ...more] = text.split("..");
  if (last === undefined || more.length > 0) {
    throw new UsageError(
      `Cannot use ${name}: "${text}" is no range such as 1..100`,
    );
  }
  const range = {
    first: wholeNumber(name, first),
    last: wholeNumber(name, last),
  };
  if (range.first <= range.last) return range;
  throw new UsageError(`Cannot use ${name}: "${text}" has no seed in it`);
}

function parse(args: readonly string[]): Arguments {
  const flags = new Set<string>();
  const parsed: Arguments = {
    seed: undefined,
    seeds: undefined,
    minutes: 1,
    from: Math.floor(Date.now() / 1_000) * 1_000,
    jobs: 1,
    flags,
  };
  for (let i = 0; i < args.length; i++) {
    const name = args[i]!;
    if (flagNames.includes(name)) flags.add(name);
    else if (name === "--seed") parsed.seed = wholeNumber(name, args[++i]);
    else if (name === "--seeds") {
      parsed.seeds = rangeOf(name, args[++i] ?? "");
    } else if (name === "--minutes") {
      parsed.minutes = Number(args[++i]);
      if (!(parsed.minutes > 0)) {
        throw new UsageError(
          "Cannot use --minutes: it is not a positive number",
        );
      }
    } else if (name === "--from") parsed.from = wholeNumber(name, args[++i]);
    else if (name === "--jobs") {
      parsed.jobs = Math.max(1, wholeNumber(name, args[++i]));
    } else throw new UsageError(`Cannot use ${name}: there is no such option`);
  }
  return parsed;
}

function printFailure(report: SimulationReport, isLong: boolean): void {
  if (isLong) { for (const line of report.recentTrace) console.error(line); }
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
  console.error(`run it again: deno task sim --seed ${report.seed}`);
}

async function runOne(seed: number, { flags }: Arguments): Promise<boolean> {
  const isVerbose = flags.has("--verbose");
  const report = await simulate({
    seed,
    ...(isVerbose ? { onTrace: (line: string) => console.log(line) } : {}),
  });
  if (report.failure !== undefined) {
    printFailure(report, !isVerbose);
    return false;
  }
  if (!flags.has("--once")) {
    const again = await simulate({ seed });
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
  { flags }: Arguments,
): Promise<Findings> {
  const totals = new SimulationTotals();
  const failed: FailedSeed[] = [];
  for (const seed of seeds) {
    const report = await simulate({ seed });
    totals.add(report);
    const { failure } = report;
    if (failure !== undefined) {
      failed.push({ seed, check: failure.check, message: failure.message });
      printFailure(report, false);
      if (flags.has("--until-failure") && failure.check !== notCounted) break;
    }
    if (totals.seeds % 100 === 0) {
      console.error(`${totals.seeds} seeds, ${failed.length} failed`);
    }
  }
  return { totals, failed };
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
      return JSON.parse(last) as
        & { failed: FailedSeed[] }
        & Record<string, unknown>;
    }),
  );
  const totals = new SimulationTotals();
  for (const { failed: _failed, ...one } of found) totals.addTotals(one);
  return {
    totals,
    failed: found.flatMap(({ failed }) => failed).sort((a, b) =>
      a.seed - b.seed
    ),
  };
}

function shareOf(
  { seeds, minutes, from, jobs, flags }: Arguments,
  job: number,
): string[] {
  const shared = flags.has("--until-failure") ? ["--until-failure"] : [];
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
  const { totals, failed } = args.jobs > 1
    ? await runInProcesses(args)
    : await runHere(
      args.seeds === undefined ? fresh(args) : range(args.seeds),
      args,
    );
  const seconds = (performance.now() - startedAt) / 1_000;
  if (args.flags.has("--json")) {
    console.log(JSON.stringify({ ...totals.toJSON(), seconds, failed }));
  } else {
    console.log(JSON.stringify(totals.toJSON(), null, 2));
    const hoursPerMinute = totals.simulatedSeconds / 3_600 / (seconds / 60);
    console.log(
      `${totals.seeds} seeds in ${seconds.toFixed(1)} s, ${
        hoursPerMinute.toFixed(1)
      } simulated hours a minute, ` +
        `${failed.length} failed${
          failed.map(({ seed }) => ` ${seed}`).join("")
        }`,
    );
  }
  const missing = totals.seeds >= 100 ? totals.missingFaults() : [];
  if (missing.length > 0) {
    console.error(`no seed had these faults: ${missing.join(" ")}`);
  }
  return failed.length === 0 && missing.length === 0;
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
    args = parse(Deno.args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    Deno.exitCode = 2;
    return;
  }
  const isFine = args.seed === undefined
    ? await runMany(args)
    : await runOne(args.seed, args);
  if (!isFine) Deno.exitCode = 1;
}

if (import.meta.main) await main();
