/** What people want to know of NodeHosts and clusters, in a word each. Pure. */
import { quorumOf, votersOf } from "../cluster_image.ts";
import type { ClusterImage } from "../cluster_image.ts";
import { isUnreported } from "../liveness.ts";
import { startsMax } from "../scheduler/view.ts";
import type { HostRecord, MemberRecord } from "../schema.ts";
import type { NodeRow } from "../wire/mod.ts";
import type {
  ClusterGroup,
  ClusterState,
  HostStanding,
  MemberStanding,
} from "./types.ts";

/** Worst first: so clusters are sorted. */
export const statesBySeverity: readonly ClusterState[] = [
  "quarantine",
  "lost",
  "leaderless",
  "unstarted",
  "recovering",
  "degraded",
  "lagging",
  "waiting",
  "repairing",
  "draining",
  "moving",
  "growing",
  "shrinking",
  "launching",
  "deleting",
  "paused",
  "unmanaged",
  "ok",
];

const trouble: ReadonlySet<ClusterState> = new Set(
  statesBySeverity.slice(0, statesBySeverity.indexOf("waiting")),
);
const well: ReadonlySet<ClusterState> = new Set(
  statesBySeverity.slice(statesBySeverity.indexOf("paused")),
);

/** What a cluster in this state asks of people. */
export function groupOf(state: ClusterState): ClusterGroup {
  return trouble.has(state) ? "trouble" : well.has(state) ? "well" : "working";
}

/** By what a NodeHost's silence is judged. */
export interface Ears {
  /** All NodeHosts. */
  readonly hosts: ReadonlyMap<string, HostRecord>;
  /** The tick. */
  readonly tick: number;
  /** Ticks of silence after which a NodeHost is dead. */
  readonly ttl: number;
  /** By this master's clock. */
  readonly nowMs: number;
  /** So long a silence is worth a word, whatever the ticks say: they stand while nobody reports. */
  readonly silentAfterMs: number;
}

/** What a NodeHost is for people. */
export function standingOf(
  hostId: string,
  host: HostRecord,
  ears: Ears,
): HostStanding {
  if (host.revoked === true) return "revoked";
  if (host.state === "gone") return "gone";
  if (host.state === "failing" || host.state === "failed") return "dead";
  if (host.conflict !== undefined) return "conflict";
  const { hosts, tick, ttl, nowMs, silentAfterMs } = ears;
  const isSilent = tick - host.tick > 1 || nowMs - host.atMs > silentAfterMs;
  if (!isSilent) return "ok";
  return isUnreported(hostId, hosts, tick, ttl) ? "unreported" : "silent";
}

/** What is known of who runs what. */
export interface Surroundings {
  /** What each NodeHost is for people. */
  readonly standings: ReadonlyMap<string, HostStanding>;
  /** The NodeHost at a Raft address. */
  readonly atAddress: ReadonlyMap<string, string>;
  /** What a NodeHost last said of the node that it runs for a cluster. */
  rowOf(hostId: string, clusterId: number): NodeRow | undefined;
}

/** The NodeHost that carries a member: of a cluster that is nobody's, the record need not say it. */
export function hostOfMember(
  member: MemberRecord,
  around: Surroundings,
): string | undefined {
  return member.host ?? around.atAddress.get(member.address);
}

/** What a member is for people. */
export function standingOfMember(
  clusterId: number,
  node: number,
  member: MemberRecord,
  around: Surroundings,
): MemberStanding {
  const host = hostOfMember(member, around);
  if (host === undefined) return "unknown";
  const standing = around.standings.get(host);
  if (standing === "dead" || standing === "gone" || member.isLost === true) {
    return "dead";
  }
  if (standing === undefined) return "unknown";
  if (standing === "silent") return "silent";
  const row = around.rowOf(host, clusterId);
  if (row === undefined || (row.nodeId !== node && row.nodeId !== 0)) {
    return member.since === undefined ? "starting" : "stopped";
  }
  if (row.isLeader) return "leader";
  return row.isLagging ? "lagging" : "ok";
}

/** Whether a member in this standing does its part. */
export function isUp(standing: MemberStanding): boolean {
  return standing === "leader" || standing === "ok" || standing === "lagging";
}

/** The worst that can be said of a cluster. */
export function stateOf(
  clusterId: number,
  image: ClusterImage,
  around: Surroundings,
): ClusterState {
  const { life, plan } = image;
  if (life === "quarantine" || life === "recovering" || life === "deleting") {
    return life;
  }
  if (life === "defined") return "launching";
  if (life === "launching") {
    return mayStart(clusterId, image, around) ? "launching" : "unstarted";
  }
  const voters = votersOf(image);
  const standings = voters.map((node) =>
    standingOfMember(clusterId, node, image.members[node]!, around)
  );
  const up = standings.filter(isUp).length;
  if (up < quorumOf(voters.length)) return "lost";
  if (!standings.includes("leader")) return "leaderless";
  if (plan !== undefined) return stateOfPlan(plan);
  if (up < voters.length) return "degraded";
  if (standings.includes("lagging")) return "lagging";
  if (image.isPaused === true) return "paused";
  return life === "unmanaged" ? "unmanaged" : "ok";
}

/** Whether a majority of the first nodes can still be expected to run: nobody can take their places (M8). */
function mayStart(
  clusterId: number,
  image: ClusterImage,
  around: Surroundings,
): boolean {
  const voters = votersOf(image);
  const expected = voters.filter((node) => {
    const member = image.members[node]!;
    const standing = standingOfMember(clusterId, node, member, around);
    if (isUp(standing)) return true;
    const host = around.standings.get(hostOfMember(member, around) ?? "");
    return standing !== "dead" && host !== "revoked" &&
      (member.starts?.count ?? 0) < startsMax;
  });
  return expected.length >= quorumOf(voters.length);
}

function stateOfPlan(
  { kind, in: comes }: NonNullable<ClusterImage["plan"]>,
): ClusterState {
  switch (kind) {
    case "repair":
      return comes === undefined ? "waiting" : "repairing";
    case "drain":
      return "draining";
    case "move":
      return "moving";
    case "grow":
      return "growing";
    case "shrink":
      return "shrinking";
  }
}
