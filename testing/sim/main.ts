// deno-lint-ignore-file no-console -- a command line.
/**
 * `deno task sim`: runs seeds of the simulator.
 *
 * ```text
 * --seed N      one seed, twice: both runs must give the same trace hash
 * --seeds A..B  every seed from A to B
 * --minutes M   fresh seeds for M minutes of real time, from --from or from the clock
 * --json        the totals as JSON
 * --verbose     every noted event (with --seed)
 * --once        --seed runs once
 * ```
 */
import { simulate, SimulationTotals } from "./run.ts";
import type { SimulationReport } from "./run.ts";

interface Arguments {
  seed?: number;
  seeds?: { first: number; last: number };
  minutes?: number;
  from?: number;
  isJson: boolean;
  isVerbose: boolean;
  isOnce: boolean;
}

function wholeNumber(name: string, text: string | undefined): number {
  const value = Number(text);
  if (
    text === undefined || text === "" || !Number.isSafeInteger(value) ||
    value < 0
  ) {
    throw new RangeError(
      `Cannot use ${name}: "${text ?? ""}" is not a whole number`,
    );
  }
  return value;
}

function parse(args: readonly string[]): Arguments {
  const parsed: Arguments = { isJson: false, isVerbose: false, isOnce: false };
  for (let i = 0; i < args.length; i++) {
    const name = args[i];
    if (name === "--seed") parsed.seed = wholeNumber(name, args[++i]);
    else if (name === "--seeds") {
      const [first, last] = (args[++i] ?? "").split("..");
      parsed.seeds = {
        first: wholeNumber(name, first),
        last: wholeNumber(name, last),
      };
    } else if (name === "--minutes") {
      const minutes = Number(args[++i]);
      if (!(minutes > 0)) {
        throw new RangeError(
          "Cannot use --minutes: it is not a positive number",
        );
      }
      parsed.minutes = minutes;
    } else if (name === "--from") parsed.from = wholeNumber(name, args[++i]);
    else if (name === "--json") parsed.isJson = true;
    else if (name === "--verbose") parsed.isVerbose = true;
    else if (name === "--once") parsed.isOnce = true;
    else throw new RangeError(`Cannot use ${name}: there is no such option`);
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

async function runOne(seed: number, args: Arguments): Promise<boolean> {
  const report = await simulate({
    seed,
    ...(args.isVerbose ? { onTrace: (line: string) => console.log(line) } : {}),
  });
  if (report.failure !== undefined) {
    printFailure(report, !args.isVerbose);
    return false;
  }
  if (!args.isOnce) {
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

async function runMany(
  seeds: Iterable<number>,
  args: Arguments,
): Promise<boolean> {
  const totals = new SimulationTotals();
  const failed: number[] = [];
  const startedAt = performance.now();
  for (const seed of seeds) {
    const report = await simulate({ seed });
    totals.add(report);
    if (report.failure === undefined) continue;
    failed.push(seed);
    printFailure(report, false);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  const hoursPerMinute = totals.simulatedSeconds / 3_600 / (seconds / 60);
  if (args.isJson) {
    console.log(
      JSON.stringify({ ...totals.toJSON(), seconds, hoursPerMinute, failed }),
    );
  } else {
    console.log(JSON.stringify(totals.toJSON(), null, 2));
    console.log(
      `${totals.seeds} seeds in ${seconds.toFixed(1)} s, ${
        hoursPerMinute.toFixed(1)
      } simulated hours a minute, ` +
        `${failed.length} failed${
          failed.length === 0 ? "" : `: ${failed.join(" ")}`
        }`,
    );
  }
  // A hundred seeds that leave out a kind of fault do not count (F1).
  const missing = totals.seeds >= 100 ? totals.missingFaults() : [];
  if (missing.length > 0) {
    console.error(`no seed had these faults: ${missing.join(" ")}`);
  }
  return failed.length === 0 && missing.length === 0;
}

function* range(first: number, last: number): Generator<number> {
  for (let seed = first; seed <= last; seed++) yield seed;
}

function* fresh(from: number, minutes: number): Generator<number> {
  const until = performance.now() + minutes * 60_000;
  for (let seed = from; performance.now() < until; seed++) yield seed;
}

async function main(): Promise<void> {
  const args = parse(Deno.args);
  let isFine: boolean;
  if (args.seed !== undefined) isFine = await runOne(args.seed, args);
  else if (args.seeds !== undefined) {
    isFine = await runMany(range(args.seeds.first, args.seeds.last), args);
  } else {isFine = await runMany(
      fresh(
        args.from ?? Math.floor(Date.now() / 1_000) * 1_000,
        args.minutes ?? 1,
      ),
      args,
    );}
  if (!isFine) Deno.exitCode = 1;
}

if (import.meta.main) await main();
