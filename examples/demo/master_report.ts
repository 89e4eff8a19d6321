/** What the master knows, as it tells anybody who asks. */
import { DemoFailure } from "./failure.ts";
import { say } from "./progress.ts";

/** A NodeHost as `GET /v1/nodehosts` shows it; the part that the demo prints. */
export interface KnownHost {
  /** Its identity. */
  readonly nodeHostId: string;
  /** Where it talks to the others. */
  readonly nodeHostAddress: string;
  /** Where it runs. */
  readonly region: string;
  /** How old its last report is. */
  readonly ageMs: number;
  /** The clusters it carries. */
  readonly clusters: readonly number[];
  /** Those of them that it leads. */
  readonly leaders: readonly number[];
}

/** A cluster as `GET /v1/clusters` shows it; the part that the demo prints. */
export interface KnownCluster {
  /** Its id. */
  readonly clusterId: number;
  /** Addresses by node id. */
  readonly members: Readonly<Record<string, string>>;
  /** Who leads it. */
  readonly leader: {
    readonly nodeId: number;
    readonly nodeHostId: string;
  } | null;
}

/** What the master must know in the end. */
export interface Expected {
  /** How many NodeHosts. */
  readonly hosts: number;
  /** The clusters that each of them carries. */
  readonly clusterIds: readonly number[];
  /** How old the last report of each NodeHost may be. */
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
  masterUrl: string,
  expected: Omit<Expected, "maxAgeMs">,
  signal: AbortSignal,
): Promise<void> {
  const startedAt = performance.now();
  for (let attempt = 1;; attempt++) {
    const maxAgeMs = performance.now() - startedAt;
    const { nodeHosts } = await ask<{ nodeHosts: KnownHost[] }>(
      `${masterUrl}/v1/nodehosts`,
      signal,
    );
    const { clusters } = await ask<{ clusters: KnownCluster[] }>(
      `${masterUrl}/v1/clusters`,
      signal,
    );
    const missing = missingFrom(nodeHosts, clusters, {
      ...expected,
      maxAgeMs,
    });
    if (missing.length === 0 || attempt === attempts) {
      print(nodeHosts, clusters);
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
  if (hosts.length !== expected.hosts) {
    missing.push(`${hosts.length} of ${expected.hosts} NodeHosts`);
  }
  const carried = list(expected.clusterIds);
  for (const host of hosts) {
    if (host.ageMs > expected.maxAgeMs) {
      missing.push(
        `nothing new of NodeHost ${host.nodeHostId}, last heard ${age(host)}`,
      );
    }
    const known = list(host.clusters.toSorted((a, b) => a - b));
    if (known !== carried) {
      missing.push(
        `clusters ${known} of ${carried} on NodeHost ${host.nodeHostId}`,
      );
    }
  }
  for (const clusterId of expected.clusterIds) {
    const cluster = clusters.find((one) => one.clusterId === clusterId);
    const leader = cluster?.leader ?? undefined;
    const leading = hosts.filter((host) => host.leaders.includes(clusterId));
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

async function ask<T>(url: string, signal: AbortSignal): Promise<T> {
  const timeout = AbortSignal.timeout(5_000);
  const response = await fetch(url, {
    headers: { accept: "application/json" },
    signal: AbortSignal.any([signal, timeout]),
  });
  if (response.ok) return await response.json();
  throw new DemoFailure(
    `The master answered ${response.status} to ${url}: ${await response
      .text()}`,
  );
}

function print(
  hosts: readonly KnownHost[],
  clusters: readonly KnownCluster[],
): void {
  for (const host of hosts) {
    say(
      `   NodeHost ${host.nodeHostId} at ${host.nodeHostAddress}, region ${host.region}: ` +
        `clusters ${list(host.clusters)}, leads ${list(host.leaders)}, ` +
        `last heard ${age(host)}`,
    );
  }
  for (const { clusterId, members, leader } of clusters) {
    say(
      `   Cluster ${clusterId}: nodes ${list(Object.keys(members))}, ` +
        `leader ${leader?.nodeId ?? "unknown"}`,
    );
  }
}

function age({ ageMs }: KnownHost): string {
  return `${(ageMs / 1_000).toFixed(1)} s ago`;
}

function list(items: readonly (number | string)[]): string {
  return items.length === 0 ? "none" : items.join(", ");
}
