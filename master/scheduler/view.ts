/** What a decision rests on. Values only: no clock, no store, no randomness. */
import { type ClusterImage, quorumOf, votersOf } from "../cluster_image.ts";
import type { HostRecord, MemberRecord, SlotName } from "../schema.ts";

/** How much may be done at once. */
export interface Limits {
  /**
   * Ticks of silence after which a NodeHost is dead: it is when more have passed. Those that report to this instance;
   * for the others that of the one that took their last report.
   */
  readonly ttl: number;
  /** Ticks within which a step has an effect, or is closed. */
  readonly stepTicks: number;
  /** Ticks that a node may take to start, before it is given up. */
  readonly startTicks: number;
  /** Ticks that a node may take to catch up, before it is given up; twice as many for each NodeHost where one was. */
  readonly catchUpTicks: number;
  /** Ticks that a NodeHost must be up before anything is moved for balance. */
  readonly settleTicks: number;
  /** Repairs at once. */
  readonly repairs: number;
  /** Repairs at once to one NodeHost. */
  readonly repairsPerTarget: number;
  /** Moves at once. */
  readonly moves: number;
  /** Moves at once from one NodeHost, and to one. */
  readonly movesPerHost: number;
}

/** A NodeHost that was asked so often to start a node is not expected to do it any more. */
export const startsMax = 3;

/** The limits unless told otherwise. */
export const defaultLimits: Limits = {
  ttl: 3,
  stepTicks: 3,
  startTicks: 12,
  catchUpTicks: 300,
  settleTicks: 10,
  repairs: 16,
  repairsPerTarget: 4,
  moves: 8,
  movesPerHost: 2,
};

/** What the master knows when it decides about one cluster. */
export interface View {
  /** The tick. */
  readonly tick: number;
  /** How much may be done at once. */
  readonly limits: Limits;
  /** The NodeHosts by id: those of the cluster, and those that could carry it. */
  readonly hosts: ReadonlyMap<string, HostRecord>;
  /** Nodes of each NodeHost, those included that were decided on in this round. */
  readonly load: ReadonlyMap<string, number>;
  /** Nothing is added, removed or killed (M5). */
  readonly isBraked: boolean;
  /** Slots that are taken, as {@link slotText}. */
  readonly slots: ReadonlySet<string>;
  /** Random ids for new nodes, never used before; as many as the cluster has members, and one more. */
  readonly newIds: readonly number[];
}

/** What to do about a cluster. */
export type Decision =
  | {
    /** Nothing now. */
    readonly do: "nothing";
    /** Why, for people. */
    readonly why: string;
  }
  | {
    /** The cluster is as desired. */
    readonly do: "settle";
  }
  | {
    /** The record becomes another one. */
    readonly do: "change";
    /** The record. */
    readonly next: ClusterImage;
    /** NodeHosts whose records it rests on: if one changes first, it is void. */
    readonly hosts: readonly string[];
    /** One word for the history; empty if it is not worth telling. */
    readonly what: string;
    /** Why, for people. */
    readonly why: string;
  };

/** Nothing, and why. */
export function nothing(why: string): Decision {
  return { do: "nothing", why };
}

/** A slot as text, to look it up. */
export function slotText([kind, scope, index]: SlotName): string {
  return `${kind} ${scope} ${index}`;
}

/** The first free slot of a kind and scope. */
export function freeSlot(
  view: View,
  kind: string,
  scope: string,
  limit: number,
): SlotName | undefined {
  for (let index = 0; index < limit; index++) {
    const name: SlotName = [kind, scope, index];
    if (!view.slots.has(slotText(name))) return name;
  }
  return undefined;
}

/** Whether a NodeHost is alive as far as is known. */
export function isAlive(view: View, hostId: string | undefined): boolean {
  const host = hostId === undefined ? undefined : view.hosts.get(hostId);
  if (host === undefined || host.state !== "ok") return false;
  const { ttl = view.limits.ttl } = host;
  return view.tick - host.tick <= ttl;
}

/** Whether a NodeHost is believed to be dead: silence alone is not enough, the masters must have said so. */
export function isDead(view: View, hostId: string | undefined): boolean {
  const host = hostId === undefined ? undefined : view.hosts.get(hostId);
  return host !== undefined &&
    (host.state === "failed" || host.state === "gone");
}

/** Whether a member is known to run. One that never started does not (M1). */
export function isRunning(
  view: View,
  member: MemberRecord | undefined,
): boolean {
  return member !== undefined && member.since !== undefined &&
    member.missingSince === undefined && member.isLost !== true &&
    isAlive(view, member.host);
}

/** Whether a voter cannot be expected to come back by itself. */
export function isDeadVoter(
  view: View,
  image: ClusterImage,
  id: number,
): boolean {
  const member = image.members[id];
  if (member === undefined || isRunning(view, member)) return false;
  if (isDead(view, member.host) || member.isLost === true) return true;
  return failsToStart(view, image, member);
}

/** Whether a NodeHost that lives could not be made to run a member, or says itself that it cannot. */
export function failsToStart(
  view: View,
  { def }: ClusterImage,
  member: MemberRecord,
): boolean {
  if (!isAlive(view, member.host) || isRunning(view, member)) return false;
  const { missingSince, starts } = member;
  const apps = view.hosts.get(member.host ?? "")?.apps;
  const isUnable = def !== undefined && apps?.includes(def.app) === false;
  if ((starts?.count ?? 0) >= (isUnable ? 1 : startsMax)) return true;
  return missingSince !== undefined &&
    view.tick - missingSince > view.limits.startTicks;
}

/** In which tick a NodeHost is to be asked again to start a member: later each time, so that other things are done. */
export function nextStart(
  view: View,
  { starts }: MemberRecord,
): number | undefined {
  if (starts === undefined) return undefined;
  const { stepTicks, startTicks } = view.limits;
  const pause = stepTicks * 2 ** Math.min(starts.count - 1, 8);
  return starts.at + Math.min(startTicks, pause);
}

/** Whether a node of the cluster was given up on a NodeHost not long ago: others are tried first. */
export function isAvoided(
  { tick }: Pick<View, "tick">,
  { avoid }: ClusterImage,
  hostId: string,
): boolean {
  return tick < (avoid?.[hostId] ?? 0);
}

/**
 * How long a new node may take to catch up: longer after each that did not, since it may be the state that is large and
 * not the NodeHost that is slow.
 */
export function catchUpTicks(view: View, image: ClusterImage): number {
  const avoided = Object.keys(image.avoid ?? {})
    .filter((id) => isAvoided(view, image, id)).length;
  return view.limits.catchUpTicks * 2 ** Math.min(avoided, 4);
}

/** The record after a node was given up on a NodeHost, which is the last to be chosen for a while. */
export function avoiding(
  view: View,
  image: ClusterImage,
  hostId: string,
): ClusterImage {
  const kept = Object.entries(image.avoid ?? {})
    .filter(([id]) => isAvoided(view, image, id));
  // Longer than the next one may take: who comes then knows of both.
  const until = view.tick + 4 * catchUpTicks(view, image);
  return { ...image, avoid: { ...Object.fromEntries(kept), [hostId]: until } };
}

/** Since which tick a NodeHost is asked to start a member; a record may tell the last time only. */
export function startedSince({ starts }: MemberRecord): number | undefined {
  return starts?.since ?? starts?.at;
}

/** The voters that are known to run. */
export function runningVoters(view: View, image: ClusterImage): number[] {
  return votersOf(image).filter((id) => isRunning(view, image.members[id]));
}

/** Whether the voters that run are a majority: without it nothing can be changed. */
export function hasQuorum(view: View, image: ClusterImage): boolean {
  const voters = votersOf(image);
  return voters.length > 0 &&
    runningVoters(view, image).length >= quorumOf(voters.length);
}

/** Whether those that run are a majority both before a change of voters and after it (M1). */
export function keepsQuorum(
  view: View,
  image: ClusterImage,
  after: readonly number[],
): boolean {
  const running = after.filter((id) => isRunning(view, image.members[id]));
  return hasQuorum(view, image) && after.length > 0 &&
    running.length >= quorumOf(after.length);
}
