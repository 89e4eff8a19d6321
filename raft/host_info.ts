/** What a NodeHost tells about itself. */
import type { Member, MemberKind, Membership } from "./core/types.ts";
import { crc32 } from "./deps.ts";
import type { ResolvedNodeHostConfig } from "./config.ts";
import type { DamagedNode } from "./mending.ts";
import type { Node } from "./node.ts";
import type { NodeHost } from "./nodehost.ts";
import type {
  ClusterInfo,
  LogPosition,
  NodeHostInfo,
  NodeInfo,
} from "../master/protocol.ts";
import type { LogStore } from "../storage/log_store.ts";
import type { Link } from "./transport/link_pool.ts";

/** One cluster, as the node of it on this NodeHost sees it. */
export interface ClusterStatus {
  /** The cluster. */
  clusterId: number;
  /** The node of it on this NodeHost. */
  nodeId: number;
  /** What that node is as of the last applied change; `none` before it was added, or after it was removed. */
  kind: MemberKind | "none";
  /** The leader as far as known, or 0. */
  leaderId: number;
  /** The node's term. */
  term: number;
  /** Highest index known to be committed. */
  commit: number;
  /** Highest index applied to the state machine. */
  applied: number;
  /** First index of the node's log: what was before it is compacted. */
  firstIndex: number;
  /** Last index of the node's log. */
  lastIndex: number;
  /** Term of the last durable entry of the node's log, or 0. */
  lastTerm: number;
  /** Index of the latest snapshot, or 0. */
  snapshotIndex: number;
  /** The node knows a leader and has applied all that it knows to be committed. */
  isReady: boolean;
  /** The cluster has nothing to do and sends no heartbeats, see `quiesce`; it wakes by itself. */
  isQuiet: boolean;
  /** The membership as last applied. */
  membership: Membership;
  /** Why the node stopped; absent while it runs. */
  failure?: string;
  /** The state machine's hash at `applied`, if it has one; with that of the clients' sessions, if there are any. */
  hash?: bigint;
  /** Why there is no hash: what the state machine's `hash()` threw, or returned instead of a `bigint`. */
  hashError?: string;
}

/** A NodeHost. `JSON.stringify` writes it with `deploymentId` and `hash` as decimal texts, since JSON has no `bigint`. */
export interface HostInfo {
  /** Its identity. */
  nodeHostId: string;
  /** How often its folder was opened. */
  incarnation: number;
  /** Where others reach it. */
  raftAddress: string;
  /** Its deployment. */
  deploymentId: bigint;
  /** Its region; `"unknown"` if none is named. */
  region: string;
  /** Where its application listens, or `""`. */
  apiAddress: string;
  /** Its nodes, by cluster id. */
  clusters: ClusterStatus[];
  /** Its log. */
  storage: {
    /** Bytes on disk. */
    diskBytes: number;
    /** Bytes of the index in memory. */
    indexBytes: number;
    /** Files of the log. */
    segmentCount: number;
    /** Proposals are refused until there is space again. */
    isDiskFull: boolean;
    /** Bytes of a torn tail that were cut off when the folder was opened. */
    tornBytes: number;
  };
  /** The nodes that damage in the log took something from; see `onDamage`. */
  damaged: DamagedNode[];
  /** Its connections to other NodeHosts. */
  links: LinkStatus[];
}

/** A connection to another NodeHost. */
export interface LinkStatus {
  /** Its address. */
  address: string;
  /** Its identity, or `""` before it was reached. */
  nodeHostId: string;
  /** Whether it is connected. */
  isUp: boolean;
  /** Bytes waiting to be sent. */
  queuedBytes: number;
}

/** Describes one node. */
export function clusterStatus(node: Node): ClusterStatus {
  const { peer, applier } = node;
  return forJson({
    clusterId: node.clusterId,
    nodeId: node.nodeId,
    kind: peer.memberKind() ?? "none",
    leaderId: peer.leaderId,
    term: peer.term,
    commit: peer.commit,
    applied: applier.applied,
    firstIndex: node.log.firstIndex(),
    lastIndex: peer.lastIndex,
    lastTerm: node.log.termOf(node.log.lastIndex()) ?? 0,
    snapshotIndex: node.log.snapshot()?.index ?? 0,
    isReady: node.refusal === undefined && peer.leaderId !== 0 &&
      applier.applied >= peer.commit,
    isQuiet: peer.isQuiet,
    membership: peer.membership(),
    ...(node.refusal === undefined ? {} : { failure: node.refusal.message }),
    ...(node.refusal === undefined && !applier.isPaused && applier.isSettled
      ? stateHash(node)
      : {}),
  });
}

/** Has `JSON.stringify` write a `bigint` of `value` as a decimal text. Whatever lists or compares fields does not see it. */
function forJson<T extends object>(value: T): T {
  return Object.defineProperty(value, "toJSON", { value: withTexts });
}

function withTexts(this: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(this).map(([name, field]) => [
      name,
      typeof field === "bigint" ? field.toString() : field,
    ]),
  );
}

/**
 * The hash of all that follows from the entries applied (rule R2), or why there is none: a mistake of the state machine
 * must not hide everything else.
 */
function stateHash(node: Node): Pick<ClusterStatus, "hash" | "hashError"> {
  const { sessions } = node.applier;
  try {
    const hash: unknown = node.machine.hash?.();
    if (hash === undefined) return {};
    if (typeof hash !== "bigint") {
      return {
        hashError: `hash() returned a ${typeof hash}; it must return a bigint`,
      };
    }
    if (sessions.isPristine) return { hash };
    const both = hash * 0x1_0000_0001n + sessions.hash(crc32);
    return { hash: BigInt.asUintN(64, both) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { hashError: `hash() threw: ${why}` };
  }
}

/** Describes a NodeHost. */
export function hostInfo(
  host: NodeHost,
  parts: {
    region: string;
    apiAddress: string;
    nodes: readonly Node[];
    log: LogStore;
    damaged: DamagedNode[];
    links: readonly Link[];
  },
): HostInfo {
  const { nodes, log, links } = parts;
  return forJson({
    nodeHostId: host.nodeHostId,
    incarnation: host.incarnation,
    raftAddress: host.raftAddress,
    deploymentId: host.deploymentId,
    region: parts.region,
    apiAddress: parts.apiAddress,
    clusters: nodes.map(clusterStatus),
    storage: {
      ...log.usage(),
      isDiskFull: log.isDiskFull,
      tornBytes: log.recovery.tornBytes,
    },
    damaged: parts.damaged,
    links: links.map((link) => ({
      address: link.address,
      nodeHostId: link.remote?.nodeHostId ?? "",
      isUp: link.isUp,
      queuedBytes: link.queuedBytes,
    })),
  });
}

/** What is reported to a master. */
export function reportOf(
  host: NodeHost,
  parts: {
    region: string;
    apiAddress: string;
    nodes: readonly Node[];
    log: LogStore;
    includeLog: boolean;
    config: Pick<
      ResolvedNodeHostConfig,
      "stateMachines" | "failureDomain" | "capacity"
    >;
  },
): NodeHostInfo {
  const { stateMachines, failureDomain, capacity } = parts.config;
  const running = parts.nodes.filter((node) => node.refusal === undefined);
  const kept = parts.includeLog ? nodesWithData(parts.log) : [];
  const runs = new Map(running.map((node) => [node.clusterId, node.nodeId]));
  const leftovers = kept.filter(({ clusterId, nodeId }) =>
    runs.get(clusterId) !== nodeId
  );
  return {
    nodeHostId: host.nodeHostId,
    boot: host.incarnation,
    deploymentId: host.deploymentId,
    nodeHostAddress: host.raftAddress,
    nodeHostApiAddress: parts.apiAddress,
    region: parts.region,
    apps: Object.keys(stateMachines).sort(),
    ...(failureDomain === "" ? {} : { failureDomain }),
    ...(capacity === 1 ? {} : { capacity }),
    ...(parts.log.isDiskFull ? { isDiskLow: true } : {}),
    clusterInfoList: running.map(clusterInfo),
    clusterIdList: running.map((node) => node.clusterId),
    logInfoIncluded: parts.includeLog,
    logInfo: kept,
    ...(leftovers.length === 0 ? {} : { leftovers }),
  };
}

function nodesWithData(log: LogStore): NodeInfo[] {
  return log.nodes().filter(({ clusterId, nodeId }) =>
    log.node(clusterId, nodeId).bootstrap()?.isRemoved !== true
  ).map(({ clusterId, nodeId }) => ({ clusterId, nodeId }));
}

function clusterInfo(node: Node): ClusterInfo {
  const membership = node.peer.membership();
  // Nothing was applied yet: the membership is that of the start, and may be long out of date.
  const pending = node.applier.applied === 0;
  return {
    clusterId: node.clusterId,
    nodeId: node.nodeId,
    isLeader: node.peer.isLeader(),
    nodes: pending ? {} : addressesOf(membership.members),
    ...(pending || membership.observers.length === 0
      ? {}
      : { observers: addressesOf(membership.observers) }),
    ...(pending || membership.witnesses.length === 0
      ? {}
      : { witnesses: addressesOf(membership.witnesses) }),
    configChangeIndex: pending ? 0 : membership.configChangeIndex,
    pending,
    incomplete: false,
    ...(pending ? {} : carriersOf(membership)),
    ...(isLagging(node) ? { isLagging: true } : {}),
    ...(haveObserversCaughtUp(node) ? { areObserversReady: true } : {}),
    ...(node.peer.leaderId === 0 ? { position: positionOf(node) } : {}),
    ...(pending || typeof node.config.stateMachine !== "string"
      ? {}
      : { app: node.config.stateMachine }),
  };
}

/** Without a leader nothing is added to the log, so this stays as it is from one report to the next. */
function positionOf({ log, applier }: Node): LogPosition {
  const lastIndex = log.lastIndex();
  return {
    lastTerm: log.termOf(lastIndex) ?? 0,
    lastIndex,
    appliedIndex: applier.applied,
  };
}

/** With more committed entries than this that it has not applied, a node is too far behind to be counted on. */
const lagMax = 1_000;

function isLagging({ peer, applier }: Node): boolean {
  return peer.leaderId === 0 || peer.commit - applier.applied > lagMax;
}

/** Only the leader knows how far the others are. */
function haveObserversCaughtUp({ peer, log }: Node): boolean {
  const { observers } = peer.membership();
  if (observers.length === 0 || !peer.isLeader()) return false;
  const ids = new Set(observers.map((observer) => observer.nodeId));
  const known = peer.progress().filter(({ nodeId }) => ids.has(nodeId));
  return known.length === ids.size &&
    known.every(({ state, isActive, match }) =>
      isActive && state === "replicate" && log.lastIndex() - match <= lagMax
    );
}

/** Which NodeHost carries which member, where the membership says so. */
function carriersOf(
  { members, observers, witnesses }: Membership,
): Pick<ClusterInfo, "nodeHostIds"> {
  const known = [...members, ...observers, ...witnesses]
    .filter((member) => member.nodeHostId !== "")
    .map((member) => [member.nodeId, member.nodeHostId]);
  return known.length === 0 ? {} : { nodeHostIds: Object.fromEntries(known) };
}

function addressesOf(members: readonly Member[]): Record<number, string> {
  return Object.fromEntries(
    members.map((member) => [member.nodeId, member.address]),
  );
}
