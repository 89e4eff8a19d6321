/** Mode `overload`: what happens when three times the capacity is offered. */
import { round } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import { type BenchResult, makeResult, requireNoErrors } from "./result.ts";
import { memoryOf } from "./system.ts";
import { loopOnLeaders } from "./throughput.ts";
import { nodeIds, Trio } from "./trio.ts";

const overloadRatio = 3;
const warmUpSeconds = 2;
const capacitySeconds = 5;
/** The closed loop is tried at these multiples of `outstanding`: a shallow one leaves some of the capacity unused. */
const depths = [1, 2, 3];
const sampleMs = 1_000;

/** Keeps the most that each process holds while `task` runs. */
async function watchMemory<T>(
  trio: Trio,
  task: Promise<T>,
): Promise<{ result: T; peaks: number[] }> {
  const peaks = nodeIds.map(() => 0);
  const sample = () =>
    nodeIds.forEach((nodeId, i) => {
      const { rssMb } = memoryOf(trio.host(nodeId).pid);
      peaks[i] = Math.max(peaks[i]!, Math.round(rssMb));
    });
  const timer = setInterval(sample, sampleMs);
  try {
    return { result: await task, peaks };
  } finally {
    clearInterval(timer);
  }
}

/** The most that closed loops of several depths get done, in operations per second. */
async function capacityOf(
  trio: Trio,
  placed: Awaited<ReturnType<Trio["placeLeaders"]>>,
  { outstanding, payload }: BenchOptions,
): Promise<number> {
  let most = 0;
  for (const depth of depths) {
    const loop = { isRead: false, outstanding: depth * outstanding, payload };
    const [report] = await loopOnLeaders(trio, placed, {
      ...loop,
      seconds: capacitySeconds,
    });
    requireNoErrors([report!]);
    most = Math.max(most, report!.ops);
  }
  return most;
}

/** Measures the capacity in closed loops, then offers three times as much in an open one on the leader of cluster 1. */
export async function measureOverload(
  makeDir: () => string,
  options: BenchOptions,
): Promise<BenchResult> {
  const { outstanding, payload } = options;
  const trio = await Trio.start(makeDir(), { ...options, clusters: 1 });
  try {
    const placed = await trio.placeLeaders();
    const loop = { isRead: false, outstanding, payload };
    await loopOnLeaders(trio, placed, { ...loop, seconds: warmUpSeconds });
    const capacity = await capacityOf(trio, placed, options);
    const before = await trio.usage();
    const { result: report, peaks } = await watchMemory(
      trio,
      trio.host(1).call("flood", {
        clusterId: 1,
        payload,
        rate: overloadRatio * capacity,
        seconds: options.seconds,
      }),
    );
    trio.account(report);
    const after = await trio.usage();
    await trio.verify();
    await trio.reopenAndVerify();
    await trio.close();
    return makeResult(options, { reports: [report], before, after }, {
      clusters: 1,
      capacity: Math.round(capacity),
      offered: Math.round(report.offered / options.seconds),
      ratio: round(report.ops / capacity, 3),
      errors: report.errors,
      most_pending: report.mostPending,
      peak_rss_mb: peaks,
    });
  } finally {
    await trio.kill();
  }
}
