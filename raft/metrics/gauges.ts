/** Gathers what is true of a NodeHost at one moment. */
import type { IgnoredCounts } from "../core/peer.ts";
import type { HealthWatch } from "../health.ts";
import type { Node } from "../node.ts";
import type { Link } from "../transport/link_pool.ts";
import type { LogStore } from "../../storage/log_store.ts";
import type { Gauges } from "./host_metrics.ts";

/** Counts of nothing. */
export function noIgnored(): IgnoredCounts {
  return { misrouted: 0, notMember: 0, stale: 0, leased: 0, broken: 0 };
}

/** Adds the counts of one node to a sum. */
export function addIgnored(
  sum: IgnoredCounts,
  more: Readonly<IgnoredCounts>,
): void {
  sum.misrouted += more.misrouted;
  sum.notMember += more.notMember;
  sum.stale += more.stale;
  sum.leased += more.leased;
  sum.broken += more.broken;
}

/** What a NodeHost is made of. */
export interface GaugeSources {
  /** Its nodes. */
  readonly nodes: Iterable<Node>;
  /** What the cores of nodes that are gone ignored. */
  readonly ignoredBefore: Readonly<IgnoredCounts>;
  /** Its links; none before it is open. */
  readonly links: readonly Link[];
  /** Its log; undefined before it is open. */
  readonly log: LogStore | undefined;
  /** What watches its disk. */
  readonly health: HealthWatch;
  /** How often its folder was opened. */
  readonly incarnation: number;
}

/** What is true now. */
export function gatherGauges(sources: GaugeSources): Gauges {
  const ignored = noIgnored();
  addIgnored(ignored, sources.ignoredBefore);
  let nodes = 0;
  let leaders = 0;
  let leaderless = 0;
  let applyBacklog = 0;
  for (const node of sources.nodes) {
    const { peer } = node;
    addIgnored(ignored, peer.ignoredMessages());
    if (node.failure !== undefined) continue;
    nodes++;
    if (peer.isLeader()) leaders++;
    if (peer.leaderId === 0) leaderless++;
    applyBacklog += Math.max(0, peer.commit - node.applier.applied);
  }
  let links = 0;
  let queuedBytes = 0;
  for (const link of sources.links) {
    if (link.isUp) links++;
    queuedBytes += link.queuedBytes;
  }
  const usage = sources.log?.usage();
  return {
    nodes,
    leaders,
    leaderless,
    applyBacklog,
    links,
    queuedBytes,
    diskBytes: usage?.diskBytes ?? 0,
    indexBytes: usage?.indexBytes ?? 0,
    segments: usage?.segmentCount ?? 0,
    isDiskFull: sources.log?.isDiskFull ?? false,
    writingMs: sources.health.writingMs,
    incarnation: sources.incarnation,
    ignored,
  };
}
