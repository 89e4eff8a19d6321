/** Whether what runs is what the masters want to run. */
import type { ClusterRecord } from "../../../examples/demo/master_api.ts";
import type { Fleet, HostMember, RunningNode } from "./fleet.ts";
import type { Operator } from "./operator.ts";

/** What is wrong at this moment; empty if nothing is. */
export interface Survey {
  /** Clusters that lack a node that runs. */
  readonly lacks: readonly string[];
  /** Nodes that run although they are members of nothing. */
  readonly zombies: readonly string[];
}

const clusterSize = 3;
/** How a node says it (`removedError` in `raft/membership_watch.ts`). */
const wasRemoved = "was removed from it";
const lanes = 8;

/** Looks at every cluster and every NodeHost; those in `dead` do not run. */
export async function survey(
  fleet: Fleet,
  operator: Operator,
  clusterIds: readonly number[],
  dead: readonly HostMember[],
): Promise<Survey> {
  const alive = fleet.hosts.filter((host) => !dead.includes(host));
  const before = await nodesOn(fleet, alive);
  const records = await recordsOf(operator, clusterIds);
  const after = await nodesOn(fleet, alive);
  const lacks: string[] = [];
  for (const [clusterId, record] of records) {
    const why = lackOf(clusterId, record, after);
    if (why !== undefined) lacks.push(`cluster ${clusterId}: ${why}`);
  }
  // What is being started or stopped just now is only seen once.
  const zombies = [...before].flatMap(([hostId, nodes]) =>
    // One that heard by itself that it was removed does not run any more.
    nodes.filter(({ failure }) => failure?.endsWith(wasRemoved) !== true)
      .filter((node) => isZombie(node, records.get(node.clusterId)))
      .filter(({ clusterId, nodeId }) =>
        after.get(hostId)?.some((one) =>
          one.clusterId === clusterId && one.nodeId === nodeId
        )
      )
      .map(({ clusterId, nodeId }) =>
        `node ${nodeId} of cluster ${clusterId} on ${nameOf(fleet, hostId)}`
      )
  );
  return { lacks, zombies };
}

function nameOf(fleet: Fleet, hostId: string): string {
  return fleet.hosts.find((host) => host.nodeHostId === hostId)?.name ?? hostId;
}

async function nodesOn(
  fleet: Fleet,
  hosts: readonly HostMember[],
): Promise<Map<string, RunningNode[]>> {
  const all = await Promise.all(
    hosts.map(async (host) =>
      [host.nodeHostId, await fleet.nodesOn(host)] as const
    ),
  );
  return new Map(all);
}

async function recordsOf(
  operator: Operator,
  clusterIds: readonly number[],
): Promise<Map<number, ClusterRecord>> {
  const records = new Map<number, ClusterRecord>();
  const rest = [...clusterIds];
  const lane = async () => {
    for (let id = rest.pop(); id !== undefined; id = rest.pop()) {
      records.set(id, await operator.cluster(id));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return records;
}

/** Why a cluster is not whole. One that is moved for balance is, as long as all of its voters run. */
function lackOf(
  clusterId: number,
  { life, plan, members }: ClusterRecord,
  running: ReadonlyMap<string, readonly RunningNode[]>,
): string | undefined {
  if (life !== "ok") return `it is ${life}`;
  if (plan !== undefined && plan.kind !== "move") return `${plan.kind} goes on`;
  const voters = Object.entries(members)
    .filter(([, { role }]) => role === "voter");
  if (voters.length < clusterSize) return `it has ${voters.length} voters`;
  for (const [id, { host }] of voters) {
    const node = running.get(host ?? "")?.find((one) =>
      one.clusterId === clusterId && one.nodeId === Number(id)
    );
    if (node === undefined) return `node ${id} does not run`;
    if (node.failure !== undefined) return `node ${id}: ${node.failure}`;
  }
  return undefined;
}

function isZombie(
  { nodeId }: RunningNode,
  record: ClusterRecord | undefined,
): boolean {
  return record?.members[nodeId] === undefined;
}
