/** What the master knows, as it tells anybody who asks. */
import { DemoFailure } from "./failure.ts";
import { say } from "./progress.ts";

/** A NodeHost as `GET /v1/nodehosts` shows it; the part that the demo prints. */
interface KnownHost {
  readonly nodeHostId: string;
  readonly nodeHostAddress: string;
  readonly region: string;
  readonly ageMs: number;
  readonly clusters: readonly number[];
  readonly leaders: readonly number[];
}

/** A cluster as `GET /v1/clusters` shows it; the part that the demo prints. */
interface KnownCluster {
  readonly clusterId: number;
  readonly members: Record<string, string>;
  readonly leader: { readonly nodeId: number } | null;
}

/** Reports come each second; this many are waited for until every cluster's new leader is known. */
const attempts = 10;
const attemptPauseMs = 500;

/**
 * Prints NodeHosts, clusters and leaders. Waits a few report periods for news that is on its way.
 *
 * @throws {DemoFailure} if the master does not know every NodeHost and every cluster's leader by then.
 */
export async function tellWhatTheMasterKnows(
  masterUrl: string,
  expected: { readonly hosts: number; readonly clusters: number },
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1;; attempt++) {
    const { nodeHosts } = await ask<{ nodeHosts: KnownHost[] }>(
      `${masterUrl}/v1/nodehosts`,
      signal,
    );
    const { clusters } = await ask<{ clusters: KnownCluster[] }>(
      `${masterUrl}/v1/clusters`,
      signal,
    );
    const led = clusters.filter((cluster) => cluster.leader !== null);
    const isComplete = nodeHosts.length === expected.hosts &&
      led.length === expected.clusters;
    if (isComplete || attempt === attempts) print(nodeHosts, clusters);
    if (isComplete) return;
    if (attempt === attempts) {
      throw new DemoFailure(
        `Stuck: the master knows ${nodeHosts.length} of ${expected.hosts} NodeHosts ` +
          `and ${led.length} of ${expected.clusters} leaders`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, attemptPauseMs));
  }
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
        `last heard ${(host.ageMs / 1_000).toFixed(1)} s ago`,
    );
  }
  for (const { clusterId, members, leader } of clusters) {
    say(
      `   Cluster ${clusterId}: nodes ${list(Object.keys(members))}, ` +
        `leader ${leader?.nodeId ?? "unknown"}`,
    );
  }
}

function list(items: readonly (number | string)[]): string {
  return items.length === 0 ? "none" : items.join(", ");
}
