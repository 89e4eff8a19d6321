/** The command line of `deno task sim`. */

/** What is to be run. */
export interface Arguments {
  /** One seed, or where long runs begin. */
  seed: number | undefined;
  /** A range of seeds. */
  seeds: { first: number; last: number } | undefined;
  /** Real minutes of fresh seeds. */
  minutes: number;
  /** The first fresh seed. */
  from: number;
  /** Processes at the same time. */
  jobs: number;
  /** Simulated hours of long runs. */
  hours: number;
  /** A file with what earlier runs with `--json` printed, to be summed up instead of running anything. */
  table: string | undefined;
  /** Options without a value. */
  flags: ReadonlySet<string>;
}

/** What `--help` prints. */
export const usage = `Usage: deno task sim [options]

Runs whole NodeHosts on virtual time under crashes, torn disks and broken
networks. Everything follows from a seed: the same seed, the same run.

  --seed N         one seed, twice: both runs must give the same trace hash
  --once           ... only once
  --verbose        ... with every noted event
  --seeds A..B     every seed from A to B
  --minutes M      fresh seeds for M minutes of real time (1)
  --from N         ... beginning with N (the time of day)
  --long           long runs instead of hostile minutes: three NodeHosts with
                   ticks of 100 ms, and phases of ten minutes of harm and
                   healing, one after the other
  --hours H        ... of so many simulated hours together, half an hour or
                   less each (1); they begin with the seed of --seed or --from
  --jobs N         as many processes at the same time (1)
  --until-failure  ends with the first seed in which a check fails; a seed
                   that only does not count is reported, and others follow
  --json           the totals as one line of JSON
  --table FILE     runs nothing: the totals of all lines that runs with --json
                   printed into FILE, so that many seeds can be run in slices
  --help           this text

A seed counts with 60 simulated seconds in which faults are being injected and
500 completed operations (rule F1 in docs/RULES.md); a long run with 20
completed operations in each of its simulated seconds on average.

Exit status: 0 if nothing was found; 1 if a seed failed or did not count, or if
a hundred seeds or more left out a kind of fault; 2 for a wrong command line.`;

/** A command line that cannot be used; the message says why. */
export class UsageError extends Error {}

const flagNames = [
  "--json",
  "--verbose",
  "--once",
  "--until-failure",
  "--long",
];

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

function positive(name: string, text: string | undefined): number {
  const value = Number(text);
  if (value > 0 && value < Infinity) return value;
  throw new UsageError(`Cannot use ${name}: it is not a positive number`);
}

function fileName(name: string, text: string | undefined): string {
  if (text !== undefined && text !== "") return text;
  throw new UsageError(`Cannot use ${name}: it needs the name of a file`);
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

/**
 * Reads a command line.
 *
 * @param now milliseconds since 1970, for the first of fresh seeds
 * @throws {UsageError}
 */
export function parse(args: readonly string[], now: number): Arguments {
  const flags = new Set<string>();
  const parsed: Arguments = {
    seed: undefined,
    seeds: undefined,
    minutes: 1,
    from: Math.floor(now / 1_000) * 1_000,
    jobs: 1,
    hours: 1,
    table: undefined,
    flags,
  };
  for (let i = 0; i < args.length; i++) {
    const name = args[i]!;
    if (flagNames.includes(name)) flags.add(name);
    else if (name === "--seed") parsed.seed = wholeNumber(name, args[++i]);
    else if (name === "--table") parsed.table = fileName(name, args[++i]);
    else if (name === "--seeds") {
      parsed.seeds = rangeOf(name, args[++i] ?? "");
    } else if (name === "--minutes") parsed.minutes = positive(name, args[++i]);
    else if (name === "--hours") {
      parsed.hours = positive(name, args[++i]);
      flags.add("--long");
    } else if (name === "--from") parsed.from = wholeNumber(name, args[++i]);
    else if (name === "--jobs") {
      parsed.jobs = Math.max(1, wholeNumber(name, args[++i]));
    } else throw new UsageError(`Cannot use ${name}: there is no such option`);
  }
  return parsed;
}

/** So long is one long run; what is less is one as well. Longer ones would cost more for each hour, to be judged. */
const longestHours = 0.5;

/** Simulated seconds of one long run; undefined if hostile minutes are to be run. */
export function longSecondsOf({ flags, hours }: Arguments): number | undefined {
  if (!flags.has("--long")) return undefined;
  return 3_600 * Math.min(hours, longestHours);
}

/** The seeds of long runs: as many as the hours take. */
export function longSeeds(
  { seed, seeds, from, hours }: Arguments,
): { first: number; last: number } {
  if (seeds !== undefined) return seeds;
  const first = seed ?? from;
  return { first, last: first + Math.ceil(hours / longestHours) - 1 };
}
