/** The command line of the benchmark, checked before anything is started. */
import { isAbsolute, parseArgs, resolve } from "./deps.ts";

/** What the benchmark can measure. */
export const modes = [
  "write",
  "read",
  "failover",
  "recovery",
  "soak",
  "overload",
  "idle",
] as const;

/** One of {@link modes}. */
export type Mode = typeof modes[number];

/** What to measure, and how. */
export interface BenchOptions {
  /** What to measure. */
  readonly mode: Mode;
  /** Clusters, each with a node on all three NodeHosts. */
  readonly clusters: number;
  /** Bytes of a command. */
  readonly payload: number;
  /** Operations under way at any moment, for each cluster. */
  readonly outstanding: number;
  /** Seconds measured. */
  readonly seconds: number;
  /** `recovery`: entries written before the restart. */
  readonly count: number;
  /** Measurements, kills or restarts. */
  readonly repeat: number;
  /** Entries between snapshots; undefined for the library's default. */
  readonly snapshotEntries: number | undefined;
  /** Folder in which the benchmark makes a folder of its own; undefined for the system's temporary one. */
  readonly dir: string | undefined;
  /** Mutual TLS between the NodeHosts. */
  readonly isSecure: boolean;
  /**
   * Events are iterated and the page of metrics is made every second, in each process, and one proposer of each cluster
   * has a session.
   */
  readonly isObserved: boolean;
  /** Every proposer has a session of its own. */
  readonly isInSession: boolean;
  /** Another checkout of this project to measure by turns with this one; undefined for none. */
  readonly against: string | undefined;
  /** Print the table of ratios to the raw pipeline. */
  readonly isSuite: boolean;
  /** Print the usage and stop. */
  readonly isHelp: boolean;
}

/** A cluster keeps as many sessions, by default: with more of them each call would find its own forgotten. */
const maxSessions = 4096;

const throughputFlags = [
  "clusters",
  "payload",
  "outstanding",
  "seconds",
  "repeat",
  "snapshot-entries",
  "tls",
  "observed",
  "against",
];

/** What may be chosen for each mode, and for the suite, which is none; the rest would be read and ignored. */
const flagsOf: Readonly<Record<Mode | "suite", readonly string[]>> = {
  write: [...throughputFlags, "sessions"],
  read: throughputFlags,
  failover: ["payload", "outstanding", "seconds", "repeat", "snapshot-entries"],
  recovery: [
    "clusters",
    "payload",
    "outstanding",
    "count",
    "repeat",
    "snapshot-entries",
  ],
  soak: [
    "clusters",
    "payload",
    "outstanding",
    "seconds",
    "snapshot-entries",
    "observed",
  ],
  overload: ["payload", "outstanding", "seconds", "snapshot-entries"],
  idle: ["clusters", "seconds"],
  suite: ["payload", "seconds", "repeat", "snapshot-entries", "observed"],
};

/** What may be given with everything. */
const commonFlags: readonly string[] = ["dir", "help"];

/** What `--help` prints. */
export const usage = `Usage: deno task bench [options]

Three NodeHosts as three processes on loopback, every write synced to disk. Prints one line of JSON.

  --mode MODE            write (default), read, failover, recovery, soak, overload or idle
  --clusters N           clusters over the three NodeHosts, leaders spread evenly (1)
  --payload N            bytes of a command (16)
  --outstanding N        operations under way for each cluster (4096; failover: 64)
  --seconds N            seconds measured (5; soak: 300; overload: 30; idle: 30; failover: load before each kill, 1)
  --count N              entries written before the restart (5000000)
  --repeat N             measurements, of which the median is printed (1); recovery: restarts; failover: kills (20)
  --snapshot-entries N   entries between snapshots, 0 for none (the library's default; recovery: 0)
  --tls                  mutual TLS between the NodeHosts; openssl makes the certificates
  --observed             as in production: events are listened to, and metrics made every second, on each NodeHost, and
                         one proposer of each cluster has a session
  --sessions             each proposer has a session: at most 4096 outstanding
  --against DIR          by turns with another checkout, which is not watched and without sessions; --repeat is the
                         number of pairs (5), and the exit status 1 below 0.9 of it
  --dir DIR              where to write; not on a tmpfs (the system's temporary folder)
  --suite                a table with ratios to the raw pipeline instead; --repeat is the number of pairs (5)
  --help                 this text

What cannot be chosen for a measurement is refused:

${
  Object.entries(flagsOf).map(([name, flags]) =>
    `  ${name.padEnd(10)} ${flags.map((flag) => `--${flag}`).join(" ")}`
  ).join("\n")
}
  all        --dir

Exit status: 0 if everything that was acknowledged is there, no target of the suite was missed, a soak was flat, and idle
clusters had leaders again in time; 2 for a wrong command line; else 1.
`;

/** A command line that cannot be used; the message says why. */
export class UsageError extends Error {
  /** Always `"UsageError"`. */
  override readonly name = "UsageError";
}

interface Defaults {
  readonly outstanding: number;
  readonly seconds: number;
  readonly repeat: number;
}

const defaults: Record<Mode, Defaults> = {
  write: { outstanding: 4096, seconds: 5, repeat: 1 },
  read: { outstanding: 4096, seconds: 5, repeat: 1 },
  failover: { outstanding: 64, seconds: 1, repeat: 20 },
  recovery: { outstanding: 4096, seconds: 0, repeat: 1 },
  soak: { outstanding: 4096, seconds: 300, repeat: 1 },
  overload: { outstanding: 4096, seconds: 30, repeat: 1 },
  idle: { outstanding: 0, seconds: 30, repeat: 1 },
};

function parseInteger(
  name: string,
  text: string | undefined,
  range: { min: number; max: number; otherwise: number },
): number {
  if (text === undefined) return range.otherwise;
  const value = Number(text);
  if (
    !/^[0-9]+$/.test(text) || value < range.min || value > range.max
  ) {
    throw new UsageError(
      `Cannot use --${name}: "${text}" is not an integer from ${range.min} to ${range.max}`,
    );
  }
  return value;
}

function pathFrom(from: string, path: string | undefined): string | undefined {
  if (path === undefined || isAbsolute(path)) return path;
  return resolve(from, path);
}

function isMode(text: string): text is Mode {
  return (modes as readonly string[]).includes(text);
}

function parseFlags(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        mode: { type: "string" },
        clusters: { type: "string" },
        payload: { type: "string" },
        outstanding: { type: "string" },
        seconds: { type: "string" },
        count: { type: "string" },
        repeat: { type: "string" },
        "snapshot-entries": { type: "string" },
        dir: { type: "string" },
        against: { type: "string" },
        tls: { type: "boolean", default: false },
        observed: { type: "boolean", default: false },
        sessions: { type: "boolean", default: false },
        suite: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : `${error}`);
  }
}

/** Refuses what the measurement would ignore. */
function checkFlags(mode: Mode, flags: ReturnType<typeof parseFlags>): void {
  const known = flags.suite
    ? ["suite", ...flagsOf.suite]
    : ["mode", ...flagsOf[mode]];
  const given = Object.entries(flags)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name]) => name);
  for (const name of given) {
    if (!known.includes(name) && !commonFlags.includes(name)) {
      throw new UsageError(
        `Cannot use --${name}: ${
          flags.suite ? "--suite" : `--mode ${mode}`
        } has no use for it`,
      );
    }
  }
}

/**
 * Reads the command line. A relative `--dir` counts from `from`.
 *
 * @throws {UsageError} if an option is unknown, out of range, or of no use for what is to be measured.
 */
export function parseOptions(args: string[], from: string): BenchOptions {
  const flags = parseFlags(args);
  const mode = flags.mode ?? "write";
  if (!isMode(mode)) {
    throw new UsageError(
      `Cannot use --mode: "${mode}" is none of ${modes.join(", ")}`,
    );
  }
  checkFlags(mode, flags);
  const otherwise = defaults[mode];
  const integer = parseInteger;
  const snapshotEntries = flags["snapshot-entries"] === undefined
    ? (mode === "recovery" ? 0 : undefined)
    : integer("snapshot-entries", flags["snapshot-entries"], {
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      otherwise: 0,
    });
  return {
    mode,
    clusters: integer("clusters", flags.clusters, {
      min: 1,
      max: 10_000,
      otherwise: 1,
    }),
    payload: integer("payload", flags.payload, {
      min: 1,
      max: 8 * 1024 * 1024,
      otherwise: 16,
    }),
    outstanding: integer("outstanding", flags.outstanding, {
      min: 1,
      max: flags.sessions ? maxSessions : 1_000_000,
      otherwise: otherwise.outstanding,
    }),
    seconds: integer("seconds", flags.seconds, {
      min: 1,
      max: 86_400,
      otherwise: otherwise.seconds,
    }),
    count: integer("count", flags.count, {
      min: 1,
      max: 1_000_000_000,
      otherwise: 5_000_000,
    }),
    repeat: integer("repeat", flags.repeat, {
      min: 1,
      max: 10_000,
      otherwise: flags.suite || flags.against !== undefined
        ? 5
        : otherwise.repeat,
    }),
    snapshotEntries,
    dir: pathFrom(from, flags.dir),
    against: pathFrom(from, flags.against),
    isSecure: flags.tls,
    isObserved: flags.observed,
    isInSession: flags.sessions,
    isSuite: flags.suite,
    isHelp: flags.help,
  };
}
