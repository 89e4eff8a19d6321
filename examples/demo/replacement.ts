/** One NodeHost is killed and never comes back; the master replaces its nodes on another one, by itself. */
import type { Host } from "./fleet.ts";
import { hostRegions } from "./fleet.ts";
import type { Decision, MasterApi } from "./master_api.ts";
import { carriedBy, untilWhole } from "./placement.ts";
import type { Places } from "./placement.ts";
import { say } from "./progress.ts";

/** Within this time everything must be replaced, in milliseconds. */
export const replacedWithinMs = 60_000;

/** What is replaced. */
export interface Loss {
  /** Decides. */
  readonly master: MasterApi;
  /** All NodeHosts. */
  readonly hosts: readonly Host[];
  /** The one that is killed. */
  readonly victim: Host;
  /** Where the nodes are before. */
  readonly places: Places;
}

/** How it went. */
export interface Replacement {
  /** Where the nodes are now. */
  readonly places: Places;
  /** From the kill until the last of the dead nodes was replaced. */
  readonly repairedMs: number;
}

/**
 * The NodeHost that is to go: of those with a neighbour in their region the one that carries most. Its nodes have one
 * place where they belong, so it is known beforehand where they will be.
 */
export function chooseVictim(hosts: readonly Host[], places: Places): Host {
  const candidates = hosts.filter(({ region }) =>
    hostRegions.filter((one) => one === region).length > 1
  );
  const carries = (host: Host) => carriedBy(host, places).length;
  return candidates.reduce((most, host) =>
    carries(host) > carries(most) ? host : most
  );
}

/**
 * Kills it, and shows what the master decides until every cluster is whole again.
 *
 * @throws {DemoFailure} if that takes longer than `replacedWithinMs`.
 */
export async function killForGood(loss: Loss): Promise<Replacement> {
  const { master, hosts, victim, places } = loss;
  const carried = carriedBy(victim, places);
  const killedAt = performance.now();
  const killedAtMs = Date.now();
  victim.child.kill();
  say(
    `   Killed NodeHost ${victim.number} with SIGKILL: it carried cluster ${
      carried.join(", ") || "none"
    }. Nobody starts it again`,
  );
  let shown = 0;
  const showDecisions = async () => {
    const news = (await master.decisions())
      .filter(({ atMs }) => atMs >= killedAtMs);
    for (const one of news.slice(shown)) {
      // That it is over is told by what comes after this.
      if (one.what !== "done") sayDecision(one, killedAtMs, hosts);
    }
    shown = Math.max(shown, news.length);
  };
  const now = await untilWhole(master, hosts, {
    patienceMs: replacedWithinMs,
    without: victim,
    meanwhile: showDecisions,
  });
  const repairedMs = Math.round(performance.now() - killedAt);
  await showDecisions();
  for (const clusterId of carried) {
    const [newcomer] = now.get(clusterId)!.filter((host) =>
      !places.get(clusterId)!.includes(host)
    );
    say(
      `   Cluster ${clusterId}: NodeHost ${newcomer?.number} now carries the node that NodeHost ${victim.number} had`,
    );
  }
  say(`   Replaced after ${(repairedMs / 1_000).toFixed(1)} s`);
  return { places: now, repairedMs };
}

function sayDecision(
  { cluster, host, what, why, atMs }: Decision,
  sinceMs: number,
  hosts: readonly Host[],
): void {
  const seconds = ((atMs - sinceMs) / 1_000).toFixed(1).padStart(5);
  const about = cluster !== undefined
    ? `cluster ${cluster}: `
    : host !== undefined
    ? `${host}: `
    : "";
  let text = `${about}${what}: ${why}`;
  for (const { number, nodeHostId } of hosts) {
    text = text.replaceAll(nodeHostId, `NodeHost ${number}`);
  }
  say(`   ${seconds} s  ${text}`);
}
