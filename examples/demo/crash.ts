/** The input is written, and the NodeHost that leads most is killed in the midst of it and started again. */
import type { KvClient } from "./client.ts";
import { clusterIds } from "./fleet.ts";
import type { Fleet, Host } from "./fleet.ts";
import type { Input } from "./input.ts";
import { say, showProgress } from "./progress.ts";
import { findLeaders } from "./verifier.ts";
import type { Leaders } from "./verifier.ts";
import type { Writer } from "./writer.ts";

/** At the moment of the kill, at least this many puts must be on their way. */
const outstandingAtKill = 64;

/** What is written, and where. */
export interface Writing {
  /** The processes. */
  readonly fleet: Fleet;
  /** Asks who leads. */
  readonly client: KvClient;
  /** What is written. */
  readonly input: Input;
  /** Writes it. */
  readonly writer: Writer;
}

/** How it went. */
export interface Crash {
  /** The NodeHost that was killed; it runs again. */
  readonly victim: Host;
  /** Longest time for which puts waited for a cluster that it had led. */
  readonly failoverMs: number;
  /** Proposals per second until the kill. */
  readonly rateBefore: number;
}

/** Writes everything; meanwhile one NodeHost is killed and started again. */
export async function writeThroughCrash(writing: Writing): Promise<Crash> {
  const { input, writer } = writing;
  const startedAt = performance.now();
  const finish = showProgress("   put ", () => ({
    doneBytes: writer.doneBytes,
    totalBytes: input.bytes,
    note: `${writer.acknowledged.length} acknowledged, ` +
      `${writer.outstanding} on their way`,
  }));
  try {
    const [crash] = await Promise.all([killAndRestart(writing), writer.run()]);
    return {
      victim: crash.victim,
      rateBefore: Math.round(
        crash.acknowledged * 1_000 / (crash.killedAt - startedAt),
      ),
      failoverMs: Math.round(writer.longestGapMs(crash.clusters)),
    };
  } finally {
    finish();
  }
}

interface Kill {
  readonly victim: Host;
  /** The clusters that it led. */
  readonly clusters: readonly number[];
  readonly killedAt: number;
  /** Puts acknowledged until then. */
  readonly acknowledged: number;
}

async function killAndRestart(
  { fleet, client, writer }: Writing,
): Promise<Kill> {
  await writer.half;
  let leaders: Leaders;
  do {
    leaders = await findLeaders(client, fleet.hosts);
  } while (writer.outstanding < outstandingAtKill);
  const victim = busiest(fleet.hosts, leaders);
  const clusters = clusterIds.filter((id) => leaders.get(id) === victim);
  const { outstanding, outstandingFiller: filler } = writer;
  const acknowledged = writer.acknowledged.length;
  const killedAt = performance.now();
  victim.child.kill();
  writer.crashed(clusters);
  say(
    `   Killed NodeHost ${victim.number} with SIGKILL: it led cluster ${
      clusters.join(", ")
    }, ${outstanding} puts were on their way` +
      (filler > 0 ? `, ${filler} of them filler: the input is small` : ""),
  );
  await writer.back;
  say(`   The others lead now; starting NodeHost ${victim.number} again`);
  await fleet.restart(victim);
  return { victim, clusters, killedAt, acknowledged };
}

function busiest(hosts: readonly Host[], leaders: Leaders): Host {
  const leads = (host: Host) =>
    [...leaders.values()].filter((leader) => leader === host).length;
  return hosts.reduce((most, host) => leads(host) > leads(most) ? host : most);
}
