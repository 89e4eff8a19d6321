/** Mode `failover`: how long nothing succeeds after the leader's process was killed. */
import { median, round } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import type { LoadReport, Usage } from "./protocol.ts";
import { type BenchResult, makeResult } from "./result.ts";
import { nodeIds, Trio } from "./trio.ts";
import { pause } from "./system.ts";

const tickMs = 10;
const steadySuccesses = 200;
const limitMs = 30_000;
const clusterId = 1;

/** Waits until `isDone`, asking often. */
async function until(
  what: string,
  isDone: () => Promise<boolean>,
): Promise<void> {
  for (const end = performance.now() + limitMs; performance.now() < end;) {
    if (await isDone()) return;
    await pause(10);
  }
  throw new Error(`Waited ${limitMs} ms in vain for ${what}`);
}

/** One kill, as a survivor saw it. */
interface Kill {
  readonly victim: number;
  /** The longest time without a success. */
  readonly gapMs: number;
  readonly report: LoadReport;
  /** What the victim had used. */
  readonly cpuSeconds: number;
}

/** The leader, once there is one. */
async function findLeader(trio: Trio): Promise<number> {
  let leader = 0;
  await until("a leader", async () => {
    leader = (await trio.leaders())[0] ?? 0;
    return leader !== 0;
  });
  return leader;
}

/** Kills the leader under load from a survivor; undefined if leadership moved before that. */
async function killLeader(
  trio: Trio,
  options: BenchOptions,
  cycle: number,
): Promise<Kill | undefined> {
  const leader = await findLeader(trio);
  const survivors = nodeIds.filter((nodeId) => nodeId !== leader);
  const client = trio.host(survivors[cycle % survivors.length]!);
  const status = () => client.call("steadyStatus", null);
  await client.call("steadyStart", {
    clusterId,
    outstanding: options.outstanding,
    payload: options.payload,
  });
  await until(
    "a steady load",
    async () => (await status()).successes >= steadySuccesses,
  );
  await pause(options.seconds * 1_000);
  if (await findLeader(trio) !== leader) {
    trio.account(await client.call("steadyStop", null));
    return undefined;
  }
  const { cpuSeconds } = await trio.host(leader).call("usage", {
    isCollecting: false,
  });
  await client.call("steadyMark", null);
  await trio.killHost(leader);
  // Answers of the dead leader may still arrive, so a success counts only once the survivor follows another.
  await until("another leader", async () => {
    const [known] = await client.call("leaders", null);
    return known !== 0 && known !== leader;
  });
  const { successes } = await status();
  await until(
    "proposals to succeed again",
    async () => (await status()).successes >= successes + steadySuccesses,
  );
  const { longestGapMs } = await status();
  const report = await client.call("steadyStop", null);
  return { victim: leader, gapMs: longestGapMs, report, cpuSeconds };
}

/** Kills leaders as often as asked, and returns the median and the longest time without a success. */
export async function measureFailover(
  makeDir: () => string,
  options: BenchOptions,
): Promise<BenchResult> {
  const trio = await Trio.start(makeDir(), { ...options, clusters: 1, tickMs });
  try {
    const before = await trio.usage();
    const gaps: number[] = [];
    const reports: LoadReport[] = [];
    let killedCpuSeconds = 0;
    const begin = performance.now();
    while (gaps.length < options.repeat) {
      const kill = await killLeader(trio, options, gaps.length);
      if (kill === undefined) continue;
      const { victim, report } = kill;
      trio.account(report);
      reports.push(report);
      gaps.push(round(kill.gapMs, 1));
      killedCpuSeconds += kill.cpuSeconds;
      await trio.startHost(victim);
      // A linearizable read on the restarted one: it has caught up.
      await trio.host(victim).call("states", null);
    }
    const seconds = (performance.now() - begin) / 1000;
    await trio.verify();
    const after = await trio.usage();
    await trio.reopenAndVerify();
    await trio.close();
    const used = (usages: readonly Usage[]) =>
      usages.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
    return {
      ...makeResult(options, { reports, before, after }),
      clusters: 1,
      ops: Math.round(trio.acknowledgedCount(clusterId) / seconds),
      cpu_s: round(used(after) - used(before) + killedCpuSeconds, 2),
      tick_ms: tickMs,
      kills: gaps.length,
      median_ms: round(median(gaps), 1),
      max_ms: Math.max(...gaps),
      gaps_ms: gaps,
    };
  } finally {
    await trio.kill();
  }
}
