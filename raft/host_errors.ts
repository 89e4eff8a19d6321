/** What a NodeHost says when it is asked for a cluster that it has no node of, or has one of already. */
import { RaftError } from "./errors.ts";

/** `asksOthers`: requests for other NodeHosts' clusters are sent on, so this was one about a node here. */
export function clusterNotFound(
  clusterId: number,
  asksOthers: boolean,
): RaftError {
  return new RaftError(
    "clusterNotFound",
    `Cannot use cluster ${clusterId}: this NodeHost has no node of it; ` +
      (asksOthers
        ? "what was asked for is about a node here, so ask a NodeHost that carries one"
        : "start one with startCluster, or name NodeHosts that have one in peers"),
  );
}

/** `running` is the node that is there; undefined while it is still being started. */
export function clusterExists(
  clusterId: number,
  nodeId: number,
  running: number | undefined,
): RaftError {
  const why = running === undefined
    ? "its node here is being started already"
    : running === nodeId
    ? `this NodeHost runs node ${nodeId} of it already; stopCluster ends it`
    : `this NodeHost runs node ${running} of it, and carries one node of a cluster at most`;
  return new RaftError(
    "clusterExists",
    `Cannot start node ${nodeId} of cluster ${clusterId}: ${why}`,
  );
}
