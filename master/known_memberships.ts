/** Which memberships need not be told: the master knows them, or newer ones. */
import type { ClusterInfo, NodeHostInfo } from "./protocol.ts";

/**
 * Remembers what the master knows, so that it is asked only when a NodeHost is ahead of that. What a master knows only
 * grows; should it have lost it, it asks for it in its reply.
 */
export class KnownMemberships {
  #indexes = new Map<number, number>();

  /** Whether some membership is newer than what the master is known to know, so that it is worth asking again. */
  isBehind(info: NodeHostInfo): boolean {
    return info.clusterInfoList.some((cluster) =>
      !cluster.pending && !cluster.incomplete &&
      !this.#covers(cluster.clusterId, cluster.configChangeIndex)
    );
  }

  /** Takes the master's answer: index of the last known membership change, by cluster. */
  learn(indexes: ReadonlyMap<number, number>): void {
    this.#indexes = new Map(indexes);
  }

  /** The report without the memberships that the master knows: those records are incomplete. */
  strip(info: NodeHostInfo): NodeHostInfo {
    return {
      ...info,
      clusterInfoList: info.clusterInfoList.map((cluster) =>
        cluster.pending || cluster.incomplete ||
          !this.#covers(cluster.clusterId, cluster.configChangeIndex)
          ? cluster
          : withoutMembership(cluster)
      ),
    };
  }

  /** Notes that the master took `info`, and lacks the memberships of the clusters in `want`. */
  delivered(info: NodeHostInfo, want: readonly number[]): void {
    for (const cluster of info.clusterInfoList) {
      if (cluster.pending || cluster.incomplete) continue;
      if (this.#covers(cluster.clusterId, cluster.configChangeIndex)) continue;
      this.#indexes.set(cluster.clusterId, cluster.configChangeIndex);
    }
    for (const clusterId of want) this.#indexes.delete(clusterId);
  }

  #covers(clusterId: number, configChangeIndex: number): boolean {
    const known = this.#indexes.get(clusterId);
    return known !== undefined && known >= configChangeIndex;
  }
}

function withoutMembership(cluster: ClusterInfo): ClusterInfo {
  const { observers: _, witnesses: __, nodeHostIds: ___, ...more } = cluster;
  const { app: ____, ...rest } = more;
  return { ...rest, nodes: {}, incomplete: true };
}
