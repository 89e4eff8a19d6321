/** Where the master has put the nodes of each cluster. */
import { DemoFailure } from "./failure.ts";
import { clusterIds } from "./fleet.ts";
import type { Host } from "./fleet.ts";
import type { ClusterRecord, MasterApi } from "./master_api.ts";

/** The NodeHosts that carry a node, by cluster. */
export type Places = ReadonlyMap<number, readonly Host[]>;

/** What to wait for. */
export interface Wanted {
  /** How long, in milliseconds. */
  readonly patienceMs: number;
  /** The clusters may have no node on this NodeHost any more. */
  readonly without?: Host;
  /** Called now and then while waiting. */
  readonly meanwhile?: () => Promise<void>;
}

/** Nodes of a cluster. */
export const clusterSize = 3;

const pollMs = 200;

/**
 * Waits until every cluster has all its nodes, all of them run, and nothing more is being done about it.
 *
 * @throws {DemoFailure} if that takes too long.
 */
export async function untilWhole(
  master: MasterApi,
  hosts: readonly Host[],
  wanted: Wanted,
): Promise<Places> {
  const deadline = performance.now() + wanted.patienceMs;
  while (true) {
    const records = new Map<number, ClusterRecord>();
    for (const id of clusterIds) records.set(id, await master.cluster(id));
    await wanted.meanwhile?.();
    const lacks = [...records].flatMap(([id, record]) => {
      const why = lackOf(record, wanted.without?.nodeHostId);
      return why === undefined ? [] : [`cluster ${id}: ${why}`];
    });
    if (lacks.length === 0) return placesOf(records, hosts);
    if (performance.now() > deadline) {
      const seconds = wanted.patienceMs / 1_000;
      throw new DemoFailure(`Stuck after ${seconds} s: ${lacks.join("; ")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Why a cluster is not whole; undefined if it is. */
export function lackOf(
  { life, plan, step, members }: ClusterRecord,
  withoutHostId?: string,
): string | undefined {
  if (life !== "ok") return `it is ${life}`;
  const all = Object.entries(members);
  for (const [nodeId, { role, host, since, missingSince }] of all) {
    if (host === withoutHostId && host !== undefined) {
      return `node ${nodeId} is on a NodeHost that is dead`;
    }
    if (role !== "voter") return `node ${nodeId} has no vote yet`;
    if (
      host === undefined || since === undefined || missingSince !== undefined
    ) {
      return `node ${nodeId} does not run`;
    }
  }
  if (all.length !== clusterSize) return `it has ${all.length} nodes`;
  const underWay = plan?.kind ?? step?.kind;
  return underWay === undefined ? undefined : `${underWay} is under way`;
}

function placesOf(
  records: ReadonlyMap<number, ClusterRecord>,
  hosts: readonly Host[],
): Places {
  const places = new Map<number, Host[]>();
  for (const [clusterId, { members }] of records) {
    const ids = Object.values(members).map(({ host }) => host);
    places.set(
      clusterId,
      hosts.filter(({ nodeHostId }) => ids.includes(nodeHostId)),
    );
  }
  return places;
}

/** The clusters that have a node on a NodeHost. */
export function carriedBy(host: Host, places: Places): number[] {
  return [...places].filter(([, carriers]) => carriers.includes(host))
    .map(([clusterId]) => clusterId);
}

/** `1, 2, 4`. */
export function numbersOf(hosts: readonly Host[]): string {
  return hosts.map(({ number }) => number).join(", ");
}
