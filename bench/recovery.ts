/** Mode `recovery`: how long a restarted NodeHost takes to answer, with its whole log to apply. */
import { median, round } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import { type BenchResult, makeResult, requireNoErrors } from "./result.ts";
import { diskMb, memoryOf } from "./system.ts";
import { loopOnLeaders } from "./throughput.ts";
import { Trio } from "./trio.ts";

const victim = 3;

/** Kills a follower, starts it, and waits for a linearizable read of the last entry. */
async function restart(
  trio: Trio,
  clusters: number,
): Promise<{ readyMs: number; peakMb: number }> {
  await trio.killHost(victim);
  const begin = performance.now();
  await trio.startHost(victim);
  const states = await trio.host(victim).call("states", null);
  const readyMs = performance.now() - begin;
  for (let clusterId = 1; clusterId <= clusters; clusterId++) {
    const expected = trio.acknowledgedCount(clusterId);
    const found = states[clusterId - 1]!.count;
    if (found !== expected) {
      throw new Error(
        `A linearizable read of cluster ${clusterId} gave ${found} of ${expected} commands`,
      );
    }
  }
  return { readyMs, peakMb: memoryOf(trio.host(victim).pid).peakMb };
}

/** Writes `count` entries over the clusters, then kills and restarts one NodeHost as often as asked. */
export async function measureRecovery(
  makeDir: () => string,
  options: BenchOptions,
): Promise<BenchResult> {
  const trio = await Trio.start(makeDir(), options);
  try {
    const placed = await trio.placeLeaders();
    const before = await trio.usage();
    const reports = await loopOnLeaders(trio, placed, {
      isRead: false,
      outstanding: options.outstanding,
      payload: options.payload,
      seconds: 3_600,
      count: Math.ceil(options.count / placed.size),
    });
    const after = await trio.usage();
    requireNoErrors(reports);
    await trio.verify();
    const logMb = diskMb(trio.dirOf(victim));
    const restarts = [];
    for (let i = 0; i < options.repeat; i++) {
      restarts.push(await restart(trio, options.clusters));
    }
    await trio.verify();
    await trio.reopenAndVerify();
    await trio.close();
    return makeResult(options, { reports, before, after }, {
      count: options.count,
      log_mb: Math.round(logMb),
      ready_ms: Math.round(median(restarts.map(({ readyMs }) => readyMs))),
      ready_ms_of_restarts: restarts.map(({ readyMs }) => Math.round(readyMs)),
      peak_rss_mb: round(
        Math.max(...restarts.map(({ peakMb }) => peakMb)),
        1,
      ),
    });
  } finally {
    await trio.kill();
  }
}
