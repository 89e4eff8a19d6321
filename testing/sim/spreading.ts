/** Where leaders are when nothing happens any more: spread evenly, by the rule of `raft/spread.ts`. */
import { isEven } from "../../raft/spread.ts";
import type { SpreadCluster } from "../../raft/spread.ts";
import type { Machine } from "./machine.ts";
import type { World } from "./world.ts";

/**
 * Whether no machine leads two more of the clusters that it shares with another than that one does. Only machines count
 * that could lead: their nodes are voters, and run.
 */
export function isSpread(world: World): boolean {
  // Of one cluster nothing can be spread.
  return world.plan.clusters.length < 2 || world.machines.every((machine) => {
    const clusters = world.plan.clusters.flatMap(({ clusterId }) =>
      clusterOf(world, machine, clusterId) ?? []
    );
    return isEven(machine.address, clusters);
  });
}

/** A cluster as one of its machines sees it; undefined if it has no node of it. */
function clusterOf(
  world: World,
  machine: Machine,
  clusterId: number,
): SpreadCluster | undefined {
  const status = machine.info()?.clusters.find((one) =>
    one.clusterId === clusterId
  );
  if (status === undefined || status.failure !== undefined) return undefined;
  const addressOf = (nodeId: number) =>
    world.machineOf(clusterId, nodeId)?.address ?? "";
  const carriers = new Set(world.membership.fullCarriers(clusterId));
  const others = status.membership.members.flatMap(({ nodeId }) => {
    const other = world.machineOf(clusterId, nodeId);
    const isOther = other !== undefined && other !== machine;
    return isOther && carriers.has(other) ? [other.address] : [];
  });
  return { clusterId, leader: addressOf(status.leaderId), others };
}
