/** Mode `idle`: what clusters cost that have nothing to do, and how long they are without a leader after a kill. */
import { round } from "./figures.ts";
import { recoverBoundMs, targetsFor } from "./idle_targets.ts";
import type { BenchOptions } from "./options.ts";
import type { BenchResult } from "./result.ts";
import { pause } from "./system.ts";
import { Trio } from "./trio.ts";

const tickMs = 200;
/** The library's default. */
const electionTimeoutTicks = 10;
const pollMs = 100;
const limitMs = 120_000;
/** After the last election, for what follows it: the members' identities are recorded, leaders spread. */
const settleMs = 10_000;
/**
 * For what the collector does once the start is over: when it saw little of its kind for some ten seconds, it collects all
 * of it once more, for a tenth of a second of processor time.
 */
const sweepMs = 30_000;
/** What one kind of clusters cost. */
interface IdleFigures {
  /** Until every cluster had a leader, from the first call. */
  readonly "start_s": number;
  /** CPU used until then, of each process. */
  readonly "start_cpu_s": number[];
  /** From then on until every node of clusters that may fall quiet was quiet; 0 for others. */
  readonly "quiet_s": number;
  /** Nodes on all three that were not quiet when the measurement was over. */
  readonly awake: number;
  /** Percent of one core, of each process, while idle. */
  readonly "cpu_percent": number[];
  /** Resident memory of each process after that. */
  readonly "rss_mb": number[];
  /** Of these, live JavaScript objects. */
  readonly "heap_mb": number[];
  /** How many clusters each led. */
  readonly led: number[];
  /** Clusters that lost their leader with the killed process. */
  readonly lost: number;
  /** Until every cluster had a leader again. */
  readonly "recover_s": number;
  /** Within which that must be, with these settings. */
  readonly "recover_bound_s": number;
}

/** Waits until every cluster has a leader; returns how many each NodeHost leads. */
async function untilLed(trio: Trio, clusters: number): Promise<number[]> {
  for (const end = performance.now() + limitMs; performance.now() < end;) {
    const counts = await trio.ledCounts();
    if (counts.reduce((sum, count) => sum + count, 0) >= clusters) {
      return counts;
    }
    await pause(pollMs);
  }
  throw new Error(`Waited ${limitMs} ms in vain for leaders`);
}

/** Waits until every node is quiet. */
async function untilQuiet(trio: Trio): Promise<void> {
  for (const end = performance.now() + limitMs; performance.now() < end;) {
    if (await trio.awakeCount() === 0) return;
    await pause(1_000);
  }
  throw new Error(`Waited ${limitMs} ms in vain for quiet`);
}

async function measureOne(
  dir: string,
  options: BenchOptions,
  isQuiet: boolean,
): Promise<IdleFigures> {
  const { clusters, seconds } = options;
  const trio = await Trio.open(dir, {
    clusters,
    snapshotEntries: undefined,
    tickMs,
    canCollect: true,
  });
  try {
    const opened = await trio.usage();
    const begin = performance.now();
    await trio.startIdle(isQuiet);
    await untilLed(trio, clusters);
    const startedAt = performance.now();
    const startMs = startedAt - begin;
    const started = await trio.usage();
    await pause(settleMs);
    if (isQuiet) await untilQuiet(trio);
    const quietMs = isQuiet ? performance.now() - startedAt : 0;
    await trio.usage({ isCollecting: true });
    await pause(sweepMs);
    const before = await trio.usage();
    const from = performance.now();
    await pause(seconds * 1_000);
    const after = await trio.usage();
    const windowS = (performance.now() - from) / 1_000;
    const awake = await trio.awakeCount();
    const led = await trio.ledCounts();
    const victim = led.indexOf(Math.max(...led));
    const lost = led[victim]!;
    const boundMs = recoverBoundMs({
      tickMs,
      electionTimeoutTicks,
      isQuiet,
      lost,
    });
    const killedAt = performance.now();
    await trio.killHost(victim + 1);
    await untilLed(trio, clusters);
    const recoverMs = performance.now() - killedAt;
    return {
      "start_s": round(startMs / 1_000, 2),
      "start_cpu_s": started.map((one, i) =>
        round(one.cpuSeconds - opened[i]!.cpuSeconds, 2)
      ),
      "quiet_s": round(quietMs / 1_000, 1),
      awake,
      "cpu_percent": after.map((one, i) =>
        round((one.cpuSeconds - before[i]!.cpuSeconds) / windowS * 100, 2)
      ),
      "rss_mb": after.map(({ rssMb }) => Math.round(rssMb)),
      "heap_mb": after.map(({ heapMb }) => Math.round(heapMb)),
      led,
      lost,
      "recover_s": round(recoverMs / 1_000, 2),
      "recover_bound_s": round(boundMs / 1_000, 2),
    };
  } finally {
    await trio.kill();
  }
}

/** Measures clusters that heartbeat for ever, then as many that may fall quiet. */
export async function measureIdle(
  makeDir: () => string,
  options: BenchOptions,
): Promise<BenchResult> {
  const plain = await measureOne(makeDir(), options, false);
  const quiet = await measureOne(makeDir(), options, true);
  const isRecovered = [plain, quiet].every((one) =>
    one.recover_s <= one.recover_bound_s
  );
  return {
    system: "drakkar",
    mode: options.mode,
    clusters: options.clusters,
    "tick_ms": tickMs,
    seconds: options.seconds,
    ops: 0,
    "p50_ms": 0,
    plain,
    quiet,
    targets: targetsFor(options.clusters, { plain, quiet }),
    "is_recovered": isRecovered,
  };
}
