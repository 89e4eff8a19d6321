/** What a master shows: for people, never to decide by, since it is read in pieces and may be a little old. */
import type { KvAccess } from "./kv_access.ts";
import type {
  AddressRecord,
  ClusterLife,
  HostRecord,
  HostState,
  MemberRecord,
  SliceRecord,
} from "./schema.ts";
import { clockKey, readClock, readCluster, readHost } from "./schema.ts";
import { type NodeRow, unpackRows } from "./wire/mod.ts";

/** A NodeHost as last reported. */
export interface NodeHostSummary {
  /** Its identity. */
  nodeHostId: string;
  /** Where it listens for Raft traffic. */
  nodeHostAddress: string;
  /** Where its application listens, or `""`. */
  nodeHostApiAddress: string;
  /** Region it runs in, or `""`. */
  region: string;
  /** Milliseconds since its last report. */
  ageMs: number;
  /** When it last reported, in milliseconds since 1970. */
  lastHeardMs: number;
  /** How often its directory was opened, 0 if it does not say. */
  boot: number;
  /** `expectedGen` of an order about it that is to rest on this. */
  gen: number;
  /** Clusters it carries a node of. */
  clusters: number[];
  /** Those among them that its node leads. */
  leaders: number[];
  /** Another NodeHost reports from its address since: its directory was replaced, or lost. */
  replacedBy?: string;
  /** What the masters think of it; absent while it is well. */
  state?: "failing" | "failed" | "gone";
  /** Nothing more is placed there. */
  cordon?: true;
  /** Leaders and nodes move away. */
  drain?: true;
  /** They did: nothing is left on it. */
  drained?: true;
  /** It is refused. */
  revoked?: true;
  /** Another process reports under its id, opened that many times: a copy of its directory. */
  rivalBoot?: number;
}

/** One node of a cluster, as its NodeHost last reported. */
export interface NodeSummary {
  /** The NodeHost that runs it. */
  nodeHostId: string;
  /** The node, or 0 if the report did not say. */
  nodeId: number;
  /** Whether it led. */
  isLeader: boolean;
  /** Whether it did not know its membership yet. */
  pending: boolean;
  /** Whether it was too far behind to be counted on: by more than 1,000 entries, or without a leader. */
  isLagging: boolean;
  /** Index of the last membership change it had applied. */
  configChangeIndex: number;
  /** Milliseconds since that report. */
  ageMs: number;
}

/** A cluster as far as it is known. */
export interface ClusterSummary {
  /** The cluster. */
  clusterId: number;
  /** `"unmanaged"`, or `"quarantine"` if two memberships were reported under one index. */
  life: ClusterLife;
  /** Index of the membership change that made `members`. */
  configChangeIndex: number;
  /** Raft address of each member; empty if none was reported yet. */
  members: Record<number, string>;
  /** The node that last said that it leads, or `null`. */
  leader: { nodeId: number; nodeHostId: string } | null;
  /** The nodes that NodeHosts report. */
  nodes: NodeSummary[];
}

async function readHosts(access: KvAccess): Promise<Map<string, HostRecord>> {
  const hosts = new Map<string, HostRecord>();
  for await (const { key, value } of access.list(["h"], 1_000)) {
    hosts.set(String(key[1]), readHost(value)!);
  }
  return hosts;
}

/** The rows of every NodeHost. */
async function readRows(access: KvAccess): Promise<Map<string, NodeRow[]>> {
  const rows = new Map<string, NodeRow[]>();
  for await (const { key, value } of access.list(["hl"], 100)) {
    const host = String(key[1]);
    const known = rows.get(host) ?? [];
    for (const row of unpackRows((value as SliceRecord).rows)) known.push(row);
    rows.set(host, known);
  }
  return rows;
}

function ageOf(host: HostRecord, nowMs: number): number {
  return Math.max(0, Math.round(nowMs - host.atMs)); // Clocks of two masters differ.
}

/** All NodeHosts, by id. */
export async function listNodeHosts(
  access: KvAccess,
): Promise<NodeHostSummary[]> {
  const hosts = await readHosts(access);
  const rows = await readRows(access);
  const atAddress = new Map<string, string>();
  for await (const { key, value } of access.list(["addr"], 1_000)) {
    atAddress.set(String(key[1]), (value as AddressRecord).host);
  }
  const nowMs = access.now();
  return [...hosts].map(([nodeHostId, host]) => {
    const nodes = rows.get(nodeHostId) ?? [];
    const status: NodeHostSummary = {
      nodeHostId,
      nodeHostAddress: host.addr,
      nodeHostApiAddress: host.api,
      region: host.region,
      ageMs: ageOf(host, nowMs),
      lastHeardMs: host.atMs,
      boot: host.boot,
      gen: host.gen ?? 0,
      clusters: nodes.map((row) => row.clusterId),
      leaders: nodes.filter((row) => row.isLeader).map((row) => row.clusterId),
    };
    const current = atAddress.get(host.addr);
    if (current !== undefined && current !== nodeHostId) {
      status.replacedBy = current;
    }
    return { ...status, ...marksOf(host) };
  });
}

/** What is out of the ordinary. A record of schema 1 has no state. */
function marksOf(
  { state = "ok", n, cordon, drain, revoked, rival }: Partial<HostRecord>,
): Partial<NodeHostSummary> {
  return {
    ...(state === "ok" ? {} : { state }),
    ...(cordon === true ? { cordon } : {}),
    ...(drain === true ? { drain } : {}),
    ...(drain === true && n === 0 ? { drained: true } : {}),
    ...(revoked === true ? { revoked } : {}),
    ...(rival?.isTold === true ? { rivalBoot: rival.boot } : {}),
  };
}

/** All clusters, by id. */
export async function listClusters(
  access: KvAccess,
): Promise<ClusterSummary[]> {
  const hosts = await readHosts(access);
  const rows = await readRows(access);
  const clusters = new Map<number, ClusterSummary>();
  for await (const { key, value } of access.list(["c"], 1_000)) {
    const clusterId = Number(key[1]);
    const { life, cci, members } = readCluster(value)!;
    clusters.set(clusterId, {
      clusterId,
      life,
      configChangeIndex: cci,
      members: addressesOf(members),
      leader: null,
      nodes: [],
    });
  }
  const nowMs = access.now();
  for (const [nodeHostId, nodes] of rows) {
    const host = hosts.get(nodeHostId);
    if (host === undefined) continue; // It reported for the first time after its record was read.
    const ageMs = ageOf(host, nowMs);
    for (const { clusterId, areObserversReady: _, ...row } of nodes) {
      const cluster = clusters.get(clusterId) ?? unknownCluster(clusterId);
      cluster.nodes.push({ nodeHostId, ...row, ageMs });
      clusters.set(clusterId, cluster);
    }
  }
  for (const cluster of clusters.values()) cluster.leader = leaderOf(cluster);
  return [...clusters.values()].sort((a, b) => a.clusterId - b.clusterId);
}

/** Raft address of each member that counts for majorities. */
function addressesOf(
  members: Record<number, MemberRecord>,
): Record<number, string> {
  const addresses: Record<number, string> = {};
  for (const [id, { role, address }] of Object.entries(members)) {
    if (role !== "observer") addresses[Number(id)] = address;
  }
  return addresses;
}

function unknownCluster(clusterId: number): ClusterSummary {
  return {
    clusterId,
    life: "unmanaged",
    configChangeIndex: 0,
    members: {},
    leader: null,
    nodes: [],
  };
}

/** Two nodes may say that they lead: one has not heard of its successor, or died leading. The later report counts. */
function leaderOf(cluster: ClusterSummary): ClusterSummary["leader"] {
  const [latest] = cluster.nodes.filter((node) => node.isLeader)
    .sort((a, b) => a.ageMs - b.ageMs);
  if (latest === undefined) return null;
  return { nodeId: latest.nodeId, nodeHostId: latest.nodeHostId };
}

/**
 * How much there is of everything. The clusters are not read one by one: those that are not as desired are counted, and
 * those that are being changed.
 */
export async function countAll(
  access: KvAccess,
): Promise<Record<string, number>> {
  const { value } = await access.get(clockKey);
  const clock = readClock(value, access.now());
  const hosts = await readHosts(access);
  const inState = (state: HostState) =>
    [...hosts.values()].filter((host) => (host.state ?? "ok") === state).length;
  let waiting = 0;
  for await (const _ of access.list(["att"], 1_000)) waiting++;
  let slots = 0;
  for await (const _ of access.list(["slot", "repair", "all"], 100)) slots++;
  let moves = 0;
  for await (const _ of access.list(["slot", "move", "all"], 100)) moves++;
  const sum = (pick: (host: HostRecord) => number) =>
    [...hosts.values()].reduce((total, host) => total + pick(host), 0);
  return {
    tick: clock.tick,
    busy: clock.busy ? 1 : 0,
    paused: clock.paused ? 1 : 0,
    brake: clock.brake !== undefined && clock.brake.isReleased !== true ? 1 : 0,
    'nodehosts{state="ok"}': inState("ok"),
    'nodehosts{state="failed"}': inState("failing") + inState("failed"),
    'nodehosts{state="gone"}': inState("gone"),
    nodes: sum((host) => host.n),
    leaders: sum((host) => host.leads),
    clusters_waiting: waiting,
    repairs: slots,
    moves,
  };
}
