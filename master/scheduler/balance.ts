/**
 * Spreads nodes and leaders when nothing else is to be done (M14): only for a difference of two or more, so that it
 * comes to an end, and only one move at a time.
 */
import { type ClusterImage, votersOf } from "../cluster_image.ts";
import type { HostRecord } from "../schema.ts";
import { loadOf, obstacle } from "./placement.ts";
import { begin } from "./plan.ts";
import { change, withStep } from "./step.ts";
import {
  type Decision,
  isAlive,
  isAvoided,
  isRunning,
  nothing,
  type View,
} from "./view.ts";

/** From where to where something should go. */
export interface Imbalance {
  /** The NodeHost that has too much. */
  readonly from: string;
  /** The one that has too little. */
  readonly to: string;
}

/**
 * Whether everything is as quiet as it must be before anything is moved for balance; nothing may be on the to-do list
 * either, so what failed or is drained carries nothing any more.
 */
export function isCalm(view: View): boolean {
  if (view.isBraked) return false;
  return [...view.hosts].every(([id, host]) =>
    host.state === "gone" || host.state === "failed" ||
    (isAlive(view, id) && view.tick - host.since >= view.limits.settleTicks)
  );
}

/** The NodeHosts among which nodes should move, if any. */
export function nodeImbalance(view: View): Imbalance | undefined {
  const hosts = [...view.hosts].filter(([, host]) => isTarget(view, host));
  return extremes(hosts, (host) => view.load.get(host[0]) ?? host[1].n);
}

/** The NodeHosts among which leaders should move, if any. */
export function leaderImbalance(view: View): Imbalance | undefined {
  const hosts = [...view.hosts].filter(([id]) => isAlive(view, id));
  return extremes(hosts, ([, host]) => host.leads);
}

/** Whatever its apps: that is looked at with the cluster. */
function isTarget(view: View, host: HostRecord): boolean {
  const app = host.apps?.[0];
  return app !== undefined && obstacle(view, host, app) === undefined;
}

function extremes(
  hosts: readonly [string, HostRecord][],
  countOf: (host: [string, HostRecord]) => number,
): Imbalance | undefined {
  const [first] = hosts;
  if (first === undefined) return undefined;
  let most = first;
  let least = first;
  for (const one of hosts) {
    const rank = share(one, countOf);
    if (rank > share(most, countOf)) most = one;
    if (rank < share(least, countOf)) least = one;
  }
  // After the move the one that had less must not have more: else it would go back and forth.
  const isWorth = (countOf(least) + 1) * capacityOf(most[1]) <=
    (countOf(most) - 1) * capacityOf(least[1]);
  return isWorth ? { from: most[0], to: least[0] } : undefined;
}

function capacityOf(host: HostRecord): number {
  return Math.max(1, host.capacity ?? 1);
}

function share(
  host: [string, HostRecord],
  countOf: (host: [string, HostRecord]) => number,
): number {
  return countOf(host) / capacityOf(host[1]);
}

/** Moves a node of the cluster from one NodeHost to another, if it may be there as well as where it is. */
export function moveNode(
  view: View,
  image: ClusterImage,
  { from, to }: Imbalance,
): Decision {
  const out = nodeOn(image, from);
  const target = view.hosts.get(to);
  if (!isIdle(view, image) || out === undefined || target === undefined) {
    return nothing("it is not the time to move it");
  }
  if (image.members[out]?.role !== "voter") return nothing("it has no vote");
  const reason = obstacle(view, target, image.def?.app ?? "");
  if (reason !== undefined) return nothing(`not to ${to}: ${reason}`);
  if (isAvoided(view, image, to)) {
    return nothing(`a node of it was given up on ${to}`);
  }
  if (nodeOn(image, to) !== undefined) return nothing(`${to} has a node of it`);
  const source = view.hosts.get(from);
  if (source === undefined || !isAsGood(view, image, { out, source, target })) {
    return nothing(`its nodes would be less well spread with one on ${to}`);
  }
  const load = loadOf(view, from, source);
  return begin(view, image, {
    kind: "move",
    out,
    host: to,
    why: `${from} has ${load / 1_000} nodes for its capacity, ${to} fewer`,
  });
}

/** Whether a node is no worse on the target: in a region that is as wished, beside no more of the others. */
function isAsGood(
  view: View,
  image: ClusterImage,
  { out, source, target }: {
    out: number;
    source: HostRecord;
    target: HostRecord;
  },
): boolean {
  const others = Object.entries(image.members)
    .filter(([id]) => Number(id) !== out)
    .map(([, { host }]) => view.hosts.get(host ?? ""));
  const inRegion = (region: string) =>
    others.filter((host) => host?.region === region).length;
  const inDomain = ({ region, domain }: HostRecord) =>
    domain === undefined
      ? 0
      : others.filter((host) =>
        host?.region === region && host.domain === domain
      ).length;
  if (source.region !== target.region) {
    if (image.def?.regions.length !== 0) return false;
    if (inRegion(target.region) > inRegion(source.region)) return false;
  }
  return inDomain(target) <= inDomain(source);
}

/** Hands leadership of the cluster over from one NodeHost to another. */
export function moveLeader(
  view: View,
  image: ClusterImage,
  { from, to }: Imbalance,
): Decision {
  const node = nodeOn(image, from);
  const target = nodeOn(image, to);
  if (!isIdle(view, image) || node === undefined || target === undefined) {
    return nothing("it has no node on both");
  }
  if ([node, target].some((id) => image.members[id]?.role !== "voter")) {
    return nothing("it cannot lead");
  }
  const step = {
    kind: "transfer" as const,
    node: target,
    hosts: { [from]: node },
  };
  return change(withStep(view, image, step), {
    hosts: [],
    what: "transfer",
    why: `${from} leads more clusters than ${to}`,
  });
}

/** Nothing is being done about the cluster, and all its voters run. */
function isIdle(view: View, image: ClusterImage): boolean {
  return !view.isBraked && image.life === "ok" && image.isPaused !== true &&
    image.plan === undefined && image.step === undefined &&
    votersOf(image).length === image.def?.size &&
    votersOf(image).every((id) => isRunning(view, image.members[id]));
}

function nodeOn(image: ClusterImage, host: string): number | undefined {
  const found = Object.entries(image.members)
    .find(([, member]) => member.host === host);
  return found === undefined ? undefined : Number(found[0]);
}
