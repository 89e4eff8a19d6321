/** What the master knows, as it tells anybody who asks. */
import { DemoFailure } from "./failure.ts";
import type { Host } from "./fleet.ts";
import type { KnownCluster, KnownHost, MasterApi } from "./master_api.ts";
import { say } from "./progress.ts";

/** What the master must know in the end. */
export interface Expected {
  /** The clusters that each NodeHost carries, by its identity; undefined for one that is dead. */
  readonly carried: ReadonlyMap<string, readonly number[] | undefined>;
  /** All clusters. */
  readonly clusterIds: readonly number[];
  /** How old the last report of each NodeHost that lives may be. */
  readonly maxAgeMs: number;
}

/** Reports come each second; what counts is what comes from here on, and not what was true before. */
const attempts = 20;
const attemptPauseMs = 500;

/**
 * Prints NodeHosts, clusters and leaders, as they were reported after this was called: waits a few report periods.
 *
 * @throws {DemoFailure} if by then the master does not know every NodeHost with all it carries, and every leader.
 */
export async function tellWhatTheMasterKnows(
  master: MasterApi,
  hosts: readonly Host[],
  expected: Omit<Expected, "maxAgeMs">,
): Promise<void> {
  const startedAt = performance.now();
  for (let attempt = 1;; attempt++) {
    const maxAgeMs = performance.now() - startedAt;
    const nodeHosts = await master.nodeHosts();
    const clusters = await master.clusters();
    const missing = missingFrom(nodeHosts, clusters, {
      ...expected,
      maxAgeMs,
    });
    if (missing.length === 0 || attempt === attempts) {
      print(nodeHosts, clusters, hosts);
    }
    if (missing.length === 0) return;
    if (attempt === attempts) {
      throw new DemoFailure(`Stuck: the master knows ${missing.join("; ")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, attemptPauseMs));
  }
}

/**
 * What keeps the answers of a master from being the whole and present truth, for people; empty if they are. A
 * NodeHost that has just been started may have reported before it had started its clusters, and one that was killed
 * goes on being known as what it last said.
 */
export function missingFrom(
  hosts: readonly KnownHost[],
  clusters: readonly KnownCluster[],
  expected: Expected,
): string[] {
  const missing: string[] = [];
  if (hosts.length !== expected.carried.size) {
    missing.push(`${hosts.length} of ${expected.carried.size} NodeHosts`);
  }
  const alive = hosts.filter(({ nodeHostId }) =>
    expected.carried.get(nodeHostId) !== undefined
  );
  for (const host of hosts) {
    const { nodeHostId } = host;
    if (!alive.includes(host)) {
      if (isDead(host)) continue;
      missing.push(`NodeHost ${nodeHostId} as one that is alive`);
      continue;
    }
    if (host.ageMs > expected.maxAgeMs) {
      missing.push(
        `nothing new of NodeHost ${nodeHostId}, last heard ${age(host)}`,
      );
    }
    const known = sorted(host.clusters);
    const carried = sorted(expected.carried.get(nodeHostId)!);
    if (known !== carried) {
      missing.push(`clusters ${known} of ${carried} on NodeHost ${nodeHostId}`);
    }
  }
  for (const clusterId of expected.clusterIds) {
    const cluster = clusters.find((one) => one.clusterId === clusterId);
    const leader = cluster?.leader ?? undefined;
    const leading = alive.filter((host) => host.leaders.includes(clusterId));
    if (
      leader === undefined || cluster!.members[leader.nodeId] === undefined
    ) {
      missing.push(`no member that leads cluster ${clusterId}`);
    } else if (
      leading.length !== 1 || leading[0]!.nodeHostId !== leader.nodeHostId
    ) {
      missing.push(
        `${leading.length} NodeHosts that lead cluster ${clusterId}`,
      );
    }
  }
  return missing;
}

function isDead({ state }: KnownHost): boolean {
  return state === "failed" || state === "gone";
}

function print(
  known: readonly KnownHost[],
  clusters: readonly KnownCluster[],
  hosts: readonly Host[],
): void {
  const numberOf = (isIt: (host: Host) => boolean) =>
    hosts.find(isIt)?.number ?? "unknown";
  const numbered = known.map((host) => ({
    host,
    number: numberOf(({ nodeHostId }) => nodeHostId === host.nodeHostId),
  })).sort((a, b) => Number(a.number) - Number(b.number));
  for (const { host, number } of numbered) {
    const carries = isDead(host)
      ? "dead"
      : `clusters ${sorted(host.clusters)}, leads ${sorted(host.leaders)}`;
    say(
      `   NodeHost ${number} (${host.nodeHostId}) at ${host.nodeHostAddress}, region ${host.region}: ` +
        `${carries}, last heard ${age(host)}`,
    );
  }
  for (const { clusterId, members, leader } of clusters) {
    const carriers = Object.values(members).map((address) =>
      Number(numberOf(({ raftAddress }) => raftAddress === address))
    );
    const leading = leader === null
      ? "unknown"
      : numberOf(({ nodeHostId }) => nodeHostId === leader.nodeHostId);
    say(
      `   Cluster ${clusterId}: on NodeHost ${sorted(carriers)}, ` +
        `leader on NodeHost ${leading}`,
    );
  }
}

function age({ ageMs }: KnownHost): string {
  return `${(ageMs / 1_000).toFixed(1)} s ago`;
}

function sorted(ids: readonly number[]): string {
  return ids.length === 0 ? "none" : ids.toSorted((a, b) => a - b).join(", ");
}
