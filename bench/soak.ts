/** Mode `soak`: whether memory and disk stay flat under a load that does not end (rule F2). */
import { round } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import { type BenchResult, makeResult, requireNoErrors } from "./result.ts";
import { diskMb, pause } from "./system.ts";
import { loopOnLeaders, sessionsOf } from "./throughput.ts";
import { nodeIds, Trio } from "./trio.ts";

const flatRatio = 1.2;
const warmUpSeconds = 15;
/** How often the bytes on disk are looked at. */
const lookMs = 1_000;

/** What the three processes held at one time. */
export interface Sample {
  /** Seconds since the load began. */
  readonly second: number;
  /** Resident memory of each. */
  readonly "rss_mb": readonly number[];
  /** Live JavaScript objects of each, after a forced collection. */
  readonly "heap_mb": readonly number[];
  /** The most bytes on disk of each since the sample before: the log comes and goes in whole segments. */
  readonly "disk_mb": readonly number[];
}

/**
 * Proposes from every host, followers too. V8 lets its young generation grow with what has survived in it: in a quiet
 * follower it would still double after minutes, which is no leak. A warm-up that waits much brings it to its full size.
 */
async function warmUp(trio: Trio, options: BenchOptions): Promise<void> {
  const clusterIds = Array.from({ length: options.clusters }, (_, i) => i + 1);
  const reports = await Promise.all(
    nodeIds.map((nodeId) =>
      trio.host(nodeId).call("load", {
        isRead: false,
        sessions: sessionsOf(options),
        clusterIds,
        outstanding: options.outstanding,
        payload: options.payload,
        seconds: warmUpSeconds,
        count: Number.MAX_SAFE_INTEGER,
      })
    ),
  );
  reports.forEach((report) => trio.account(report));
}

/** Waits until `dueMs` after `begin`, and takes a sample. */
async function sampleAt(
  trio: Trio,
  begin: number,
  dueMs: number,
): Promise<Sample> {
  const most = nodeIds.map(() => 0);
  do {
    const left = dueMs - (performance.now() - begin);
    await pause(Math.max(0, Math.min(lookMs, left)));
    nodeIds.forEach((nodeId, i) =>
      most[i] = Math.max(most[i]!, diskMb(trio.dirOf(nodeId)))
    );
  } while (performance.now() - begin < dueMs);
  const usages = await trio.usage({ isCollecting: true });
  return {
    second: Math.round((performance.now() - begin) / 1000),
    rss_mb: usages.map(({ rssMb }) => round(rssMb, 1)),
    heap_mb: usages.map(({ heapMb }) => round(heapMb, 1)),
    disk_mb: most.map((mb) => round(mb, 1)),
  };
}

/** The most that anything grew from the second sample to the last, as a ratio; NaN with fewer than three. */
export function growthOf(samples: readonly Sample[]): number {
  const [, early] = samples;
  const late = samples.at(-1);
  if (early === undefined || late === undefined || samples.length < 3) {
    return NaN;
  }
  const ratios = (["rss_mb", "heap_mb", "disk_mb"] as const).flatMap((key) =>
    late[key].map((value, i) => value / early[key][i]!)
  );
  return Math.max(...ratios);
}

/** Writes for as long as asked, and looks at memory and disk each fifth of it (each minute of the default five). */
export async function measureSoak(
  makeDir: () => string,
  options: BenchOptions,
): Promise<BenchResult> {
  const trio = await Trio.start(makeDir(), { ...options, canCollect: true });
  try {
    await trio.placeLeaders();
    await warmUp(trio, options);
    const placed = await trio.placeLeaders();
    const before = await trio.usage();
    const begin = performance.now();
    const load = loopOnLeaders(trio, placed, {
      isRead: false,
      sessions: sessionsOf(options),
      outstanding: options.outstanding,
      payload: options.payload,
      seconds: options.seconds,
    });
    load.catch(() => {}); // It is awaited below; until then its failure is not unhandled.
    const samples: Sample[] = [];
    for (let i = 1; i <= 5; i++) {
      // The last sample is taken just before the end, while the load still runs.
      const dueMs = options.seconds * 1000 * i / 5 - (i === 5 ? 500 : 0);
      samples.push(await sampleAt(trio, begin, dueMs));
    }
    const reports = await load;
    const after = await trio.usage();
    requireNoErrors(reports);
    await trio.verify();
    await trio.reopenAndVerify();
    await trio.close();
    const growth = growthOf(samples);
    return makeResult(options, { reports, before, after }, {
      growth: round(growth, 3),
      is_flat: growth <= flatRatio,
      samples,
    });
  } finally {
    await trio.kill();
  }
}
