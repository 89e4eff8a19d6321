/** Modes `write` and `read`: a closed loop on every leader. */
import { median } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import type { LoadReport } from "./protocol.ts";
import { type BenchResult, makeResult, requireNoErrors } from "./result.ts";
import { nodeIds, Trio } from "./trio.ts";

const warmUpSeconds = 2;
const unlimited = Number.MAX_SAFE_INTEGER;

/** A closed loop in each process, over the clusters that it leads. */
export interface LoopOptions {
  /** Propose, or read. */
  readonly isRead: boolean;
  /** How many of the proposers of each cluster have a session of their own; 0 by default. */
  readonly sessions?: number;
  /** Proposers for each cluster. */
  readonly outstanding: number;
  /** Bytes of a command. */
  readonly payload: number;
  /** How long. */
  readonly seconds: number;
  /** How many commands for each process, if that comes first. */
  readonly count?: number;
}

/** How many proposers of each cluster have a session: all, or one where users' ways are looked at, or none. */
export function sessionsOf(
  { isInSession, isObserved, outstanding }: Pick<
    BenchOptions,
    "isInSession" | "isObserved" | "outstanding"
  >,
): number {
  if (isInSession) return outstanding;
  return isObserved ? 1 : 0;
}

/** Runs a closed loop on every leader and returns what each process reported; writes are accounted for. */
export async function loopOnLeaders(
  trio: Trio,
  placed: ReadonlyMap<number, number[]>,
  options: LoopOptions,
): Promise<LoadReport[]> {
  const leading = nodeIds.filter((nodeId) => placed.has(nodeId));
  const reports = await Promise.all(
    leading.map((nodeId) =>
      trio.host(nodeId).call("load", {
        isRead: options.isRead,
        sessions: options.sessions ?? 0,
        clusterIds: placed.get(nodeId)!,
        outstanding: options.outstanding,
        payload: options.payload,
        seconds: options.seconds,
        count: options.count ?? unlimited,
      })
    ),
  );
  if (!options.isRead) reports.forEach((report) => trio.account(report));
  return reports;
}

async function measureOnce(
  dir: string,
  options: BenchOptions,
): Promise<BenchResult> {
  const isRead = options.mode === "read";
  const { outstanding, payload, seconds } = options;
  const sessions = isRead ? 0 : sessionsOf(options);
  const trio = await Trio.start(dir, options);
  try {
    const placed = await trio.placeLeaders();
    const warmUp = { isRead: false, sessions, outstanding, payload };
    await loopOnLeaders(trio, placed, { ...warmUp, seconds: warmUpSeconds });
    if (isRead) {
      await loopOnLeaders(trio, placed, { ...warmUp, isRead, seconds: 1 });
    }
    const before = await trio.usage();
    const reports = await loopOnLeaders(trio, placed, {
      isRead,
      sessions,
      outstanding,
      payload,
      seconds,
    });
    const after = await trio.usage();
    requireNoErrors(reports);
    await trio.verify();
    await trio.reopenAndVerify();
    await trio.close();
    return makeResult(options, { reports, before, after });
  } finally {
    await trio.kill();
  }
}

/** Measures as often as asked, each time afresh, and returns the measurement with the median throughput. */
export async function measureThroughput(
  makeDir: () => string,
  options: BenchOptions,
): Promise<BenchResult> {
  const results: BenchResult[] = [];
  for (let i = 0; i < options.repeat; i++) {
    results.push(await measureOnce(makeDir(), options));
  }
  const middle = median(results.map(({ ops }) => ops));
  const nearest = results.toSorted((a, b) =>
    Math.abs(a.ops - middle) - Math.abs(b.ops - middle)
  )[0]!;
  return options.repeat === 1
    ? nearest
    : { ...nearest, ops_of_runs: results.map(({ ops }) => ops) };
}
