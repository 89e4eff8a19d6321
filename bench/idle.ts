/** Mode `idle`: what clusters cost that have nothing to do, and how long they are without a leader after a kill. */
import { round } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import type { BenchResult } from "./result.ts";
import { pause } from "./system.ts";
import { Trio } from "./trio.ts";

const tickMs = 200;
const pollMs = 100;
const limitMs = 120_000;
/** After the last election, for what follows it: the members' identities are recorded, leaders spread. */
const settleMs = 10_000;
const sweepMs = 15_000;
/** Nodes that may still be awake when clusters that may fall quiet are measured: one in a hundred. */
const awakeParts = 100;

/** What one kind of clusters cost. */
interface IdleFigures {
  /** Until every cluster had a leader, from the first call. */
  readonly "start_s": number;
  /** CPU used until then, of each process. */
  readonly "start_cpu_s": number[];
  /** Nodes on all three that still had ticks when that was measured. */
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

/** Waits until nearly all nodes are quiet, and returns how many are not. */
async function untilQuiet(trio: Trio, clusters: number): Promise<number> {
  for (const end = performance.now() + limitMs; performance.now() < end;) {
    const awake = await trio.awakeCount();
    if (awake <= 3 * clusters / awakeParts) return awake;
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
    const startMs = performance.now() - begin;
    const started = await trio.usage();
    await pause(settleMs);
    const awake = isQuiet ? await untilQuiet(trio, clusters) : 3 * clusters;
    await trio.usage({ isCollecting: true });
    await pause(sweepMs); // What the collector does behind the scenes is not the clusters' cost.
    const before = await trio.usage();
    const from = performance.now();
    await pause(seconds * 1_000);
    const after = await trio.usage();
    const windowS = (performance.now() - from) / 1_000;
    const led = await trio.ledCounts();
    const victim = led.indexOf(Math.max(...led));
    const killedAt = performance.now();
    await trio.killHost(victim + 1);
    await untilLed(trio, clusters);
    const recoverMs = performance.now() - killedAt;
    return {
      "start_s": round(startMs / 1_000, 2),
      "start_cpu_s": started.map((one, i) =>
        round(one.cpuSeconds - opened[i]!.cpuSeconds, 2)
      ),
      awake,
      "cpu_percent": after.map((one, i) =>
        round((one.cpuSeconds - before[i]!.cpuSeconds) / windowS * 100, 2)
      ),
      "rss_mb": after.map(({ rssMb }) => Math.round(rssMb)),
      "heap_mb": after.map(({ heapMb }) => Math.round(heapMb)),
      led,
      lost: led[victim]!,
      "recover_s": round(recoverMs / 1_000, 2),
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
  };
}
