/** How reports move what the master knows of a cluster. Pure: a record and a report in, a record out. */
import type { ClusterInfo } from "./protocol.ts";
import type {
  AdoptionRule,
  ClusterRecord,
  MemberRecord,
  StepKind,
} from "./schema.ts";

/** A cluster's record without what the writer of it adds. */
export type ClusterImage = Omit<ClusterRecord, "v" | "w">;

/** A node that a NodeHost lists. */
export interface SeenNode {
  /** The node. */
  readonly nodeId: number;
  /** It leads, and all observers have caught up. */
  readonly areObserversReady: boolean;
}

/** Who reported, and when. */
export interface Reporter {
  /** The NodeHost. */
  readonly hostId: string;
  /** The tick. */
  readonly tick: number;
  /** Where it reports from: that is all that some memberships say of their NodeHosts. */
  readonly address?: string;
}

/** So many former members are remembered. */
const goneMax = 64;

/** Whether a report tells a membership that `record` may have to take over. */
export function isFull(info: ClusterInfo): boolean {
  return !info.pending && !info.incomplete;
}

/** Whether the master decides about the cluster. */
export function isManaged(image: Pick<ClusterImage, "life">): boolean {
  return image.life !== "unmanaged" && image.life !== "quarantine";
}

/** The record of a cluster that is deleted from now on. Whatever was being done about it ends. */
export function deleted(image: ClusterImage): ClusterImage {
  const { plan: _, step: __, isPaused: ___, deleteAt: ____, ...rest } = image;
  // Whatever the members are by now: nothing of it is to stay, and nobody's word is waited for.
  const { isImported: _1, claim: _2, ...known } = rest;
  return { ...known, life: "deleting" };
}

/** The record of a cluster that NodeHosts merely reported, in the master's hands from now on (M7). */
export function adoptedAs(
  { app: _, apps: __, ...image }: ClusterImage,
  { app, regions = [], config = {} }: AdoptionRule,
): ClusterImage {
  const size = votersOf(image).length;
  const gen = (image.def?.gen ?? 0) + 1;
  return { ...image, life: "ok", def: { gen, app, size, regions, config } };
}

/** The record after a step had no effect on nodes. That other nodes do not start says nothing about the plan. */
export function withFailure(
  image: ClusterImage,
  kind: StepKind,
  nodes: readonly number[],
): ClusterImage {
  const { plan } = image;
  if (plan === undefined) return image;
  const isOther = (kind === "restore" || kind === "launch") &&
    !nodes.includes(plan.in ?? 0);
  if (isOther) return image;
  return { ...image, plan: { ...plan, failures: plan.failures + 1 } };
}

/**
 * The rule that a cluster is adopted by, if a majority agrees; `undefined` if operators decide. They do about a single
 * voter: its NodeHost would be its own majority, and can invent such clusters as it likes.
 */
export function ruleFor(
  rules: readonly AdoptionRule[] | undefined,
  image: ClusterImage,
): AdoptionRule | undefined {
  const size = votersOf(image).length;
  const said = mostSaid(image)?.app;
  if (image.life !== "unmanaged" || said === undefined || size < 2) {
    return undefined;
  }
  return rules?.find(({ app, regions = [] }) =>
    app === said &&
    regions.reduce((sum, { count }) => sum + count, 0) <= size
  );
}

/** What the NodeHosts of a majority of the voters say that the state machine is; `undefined` if they do not. */
export function majorityApp(
  image: Pick<ClusterImage, "members" | "apps">,
): string | undefined {
  const said = mostSaid(image);
  if (said === undefined) return undefined;
  return said.count >= quorumOf(votersOf(image).length) ? said.app : undefined;
}

function mostSaid(
  image: Pick<ClusterImage, "members" | "apps">,
): { app: string; count: number } | undefined {
  const counts = new Map<string, number>();
  for (const id of votersOf(image)) {
    const app = image.apps?.[id];
    if (app !== undefined) counts.set(app, (counts.get(app) ?? 0) + 1);
  }
  let most: { app: string; count: number } | undefined;
  for (const [app, count] of counts) {
    if (count > (most?.count ?? 0)) most = { app, count };
  }
  return most;
}

/** Whether a member counts for majorities. */
export function isVoter(member: MemberRecord | undefined): boolean {
  return member !== undefined && member.role !== "observer";
}

/** The members that count for majorities, by ascending id. */
export function votersOf(image: Pick<ClusterImage, "members">): number[] {
  return Object.keys(image.members).map(Number)
    .filter((id) => isVoter(image.members[id]))
    .sort((a, b) => a - b);
}

/** How many of so many voters are a majority. */
export function quorumOf(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1;
}

/**
 * The record after a report, or `undefined` if the report changes nothing.
 *
 * A membership is taken over only from a member of it that is one in the record, too, or in its plan (M9), and only
 * with a higher index. Another set of members under the same index cannot be: the cluster goes into quarantine (M8).
 */
export function reconcile(
  record: ClusterImage | undefined,
  info: ClusterInfo,
  reporter: Reporter,
): ClusterImage | undefined {
  const { hostId } = reporter;
  if (record === undefined) {
    return isFull(info) && tellsItself(info)
      ? withApp(firstImage(info, hostId), info, reporter)
      : undefined;
  }
  if (record.life === "defined" && isFull(info) && tellsItself(info)) {
    return withApp(launchedElsewhere(record, info, hostId), info, reporter);
  }
  let image = record;
  if (!info.pending && mayTell(record, info, hostId)) {
    image = withApp(withMembership(image, info, hostId), info, reporter);
  }
  const { nodeId } = info;
  const areObserversReady = info.isLeader && info.areObserversReady === true;
  image = withNode(image, { nodeId, areObserversReady }, reporter);
  return image === record ? undefined : image;
}

/** Whether the master lacks a membership that the reporter knows. */
export function isWanted(
  record: ClusterImage | undefined,
  info: ClusterInfo,
): boolean {
  return info.incomplete && !info.pending &&
    (record === undefined || record.life === "defined" ||
      record.cci < info.configChangeIndex);
}

// ---- Memberships ----

function tellsItself(info: ClusterInfo): boolean {
  return [info.nodes, info.observers, info.witnesses].some((nodes) =>
    nodes?.[info.nodeId] !== undefined
  );
}

function firstImage(info: ClusterInfo, hostId: string): ClusterImage {
  return {
    life: "unmanaged",
    cci: info.configChangeIndex,
    members: membersOf(info, undefined, hostId),
    confirmedBy: [hostId],
    gone: [],
    zombies: {},
    steps: 0,
  };
}

/**
 * It runs, and this store never launched it: a copy that is older than its launch did not know, or an operator has made
 * it once more. Launched again it would be two clusters of one id (M8), so an operator looks.
 */
function launchedElsewhere(
  { def, steps }: ClusterImage,
  info: ClusterInfo,
  hostId: string,
): ClusterImage {
  return {
    ...firstImage(info, hostId),
    ...(def === undefined ? {} : { def }),
    steps,
  };
}

/** Strangers do not tell what the members of someone else's cluster are. */
function mayTell(
  record: ClusterImage,
  info: ClusterInfo,
  hostId: string,
): boolean {
  if (isFull(info) && !tellsItself(info)) return false;
  // Of a copy nobody knows how old it is: whoever is a member of what it tells may tell it, and a jump needs two.
  if (!isManaged(record) || record.isImported === true) return true;
  const { plan } = record;
  if (plan?.in === info.nodeId) return plan.host === hostId;
  const member = record.members[info.nodeId];
  return member !== undefined &&
    (member.host === undefined || member.host === hostId);
}

function membersOf(
  info: ClusterInfo,
  record: ClusterImage | undefined,
  hostId: string,
): Record<number, MemberRecord> {
  const members: Record<number, MemberRecord> = {};
  const add = (
    role: MemberRecord["role"],
    nodes: Record<number, string> | undefined,
  ) => {
    for (const [key, address] of Object.entries(nodes ?? {})) {
      const id = Number(key);
      const { isReady, ...known }: Partial<MemberRecord> =
        record?.members[id] ?? {};
      const host = known.host ?? hostOf(id, info, record, hostId);
      members[id] = {
        ...known,
        role,
        address,
        ...(host === undefined ? {} : { host }),
        ...(role === "observer" && isReady === true ? { isReady } : {}),
      };
    }
  };
  add("voter", info.nodes);
  add("observer", info.observers);
  add("witness", info.witnesses);
  return members;
}

function hostOf(
  id: number,
  info: ClusterInfo,
  record: ClusterImage | undefined,
  hostId: string,
): string | undefined {
  if (id === info.nodeId) return hostId;
  if (record?.plan?.in === id) return record.plan.host;
  const told = info.nodeHostIds?.[id];
  return told === "" ? undefined : told;
}

function withMembership(
  image: ClusterImage,
  info: ClusterInfo,
  hostId: string,
): ClusterImage {
  const cci = info.configChangeIndex;
  // Old news; or those that were stopped already are no members in the record any more, and that is no contradiction.
  if (cci < image.cci || image.life === "deleting") return image;
  if (cci === image.cci) return confirmed(image, info, hostId);
  if (!isFull(info)) return image;
  const members = membersOf(info, image, hostId);
  if (dropsMajority(image, members)) {
    const nodes = Object.keys(members).map(Number);
    const { claim } = image;
    const isSecond = claim?.cci === cci && claim.by !== hostId &&
      claim.nodes.join() === nodes.join();
    if (claim?.cci === cci && !isSecond) return image;
    const told = image.isImported === true ? { members } : {};
    if (!isSecond) {
      return { ...image, claim: { cci, nodes, by: hostId, ...told } };
    }
  }
  return withMembers(image, { cci, members, by: hostId });
}

/** The record with the members that somebody told. */
export function withMembers(
  image: ClusterImage,
  { cci, members, by }: {
    cci: number;
    members: Record<number, MemberRecord>;
    by: string;
  },
): ClusterImage {
  const { claim: _, ...rest } = image;
  const left = Object.keys(image.members).map(Number)
    .filter((id) => members[id] === undefined);
  return {
    ...rest,
    cci,
    members,
    confirmedBy: [by],
    gone: isManaged(image)
      ? [...image.gone, ...left].slice(-goneMax)
      : image.gone,
    ...(image.life === "recovering"
      ? { zombies: { ...image.zombies, ...runningOf(image, left) } }
      : {}),
  };
}

/**
 * Those of the nodes that run, with their NodeHosts. Whoever is not among the members that an operator rebuilt is of the
 * generation before: nobody tells it that it is out, and it tells nothing new (M15).
 */
function runningOf(
  { members }: ClusterImage,
  nodes: readonly number[],
): Record<number, string> {
  const running: Record<number, string> = {};
  for (const id of nodes) {
    const { host, since, missingSince } = members[id]!;
    if (host === undefined || since === undefined) continue;
    if (missingSince === undefined) running[id] = host;
  }
  return running;
}

/** One step of Raft keeps a majority. A jump that does not is believed to two reporters, or to a survivor (M9, M15). */
function dropsMajority(
  image: ClusterImage,
  members: Record<number, MemberRecord>,
): boolean {
  if (!isManaged(image) || image.life === "recovering") return false;
  const before = votersOf(image);
  const kept = before.filter((id) => isVoter(members[id]));
  // One step drops one voter at most, which of two is as many as a majority needs.
  return kept.length < Math.min(quorumOf(before.length), before.length - 1);
}

function confirmed(
  image: ClusterImage,
  info: ClusterInfo,
  hostId: string,
): ClusterImage {
  if (image.life === "quarantine") return image;
  if (isFull(info) && !hasSameRoles(image, membersOf(info, image, hostId))) {
    return { ...image, life: "quarantine" };
  }
  if (!isManaged(image) || image.confirmedBy.includes(hostId)) return image;
  return { ...image, confirmedBy: [...image.confirmedBy, hostId].sort() };
}

function hasSameRoles(
  { members }: ClusterImage,
  other: Record<number, MemberRecord>,
): boolean {
  const ids = Object.keys(members).map(Number);
  return ids.length === Object.keys(other).length &&
    ids.every((id) => members[id]?.role === other[id]?.role);
}

// ---- State machines ----

/** What each voter's own NodeHost says that the state machine is: nobody says it for another, and strangers do not. */
function withApp(
  image: ClusterImage,
  info: ClusterInfo,
  reporter: Reporter,
): ClusterImage {
  if (isManaged(image)) return image;
  const apps: Record<number, string> = {};
  for (const id of votersOf(image)) {
    const said = id === info.nodeId && carries(image.members[id]!, reporter)
      ? info.app
      : image.apps?.[id];
    if (said !== undefined) apps[id] = said;
  }
  const { app: before, apps: beforeApps, ...rest } = image;
  const app = majorityApp({ ...rest, apps });
  if (app === before && hasSame(apps, beforeApps ?? {})) return image;
  return {
    ...rest,
    ...(app === undefined ? {} : { app }),
    ...(Object.keys(apps).length === 0 ? {} : { apps }),
  };
}

function carries(member: MemberRecord, { hostId, address }: Reporter): boolean {
  return member.host === undefined
    ? member.address === address
    : member.host === hostId;
}

// ---- Nodes ----

/** Whether a majority of the voters' NodeHosts reported the membership that is known. */
export function isConfirmed(image: ClusterImage): boolean {
  const voters = votersOf(image);
  const hosts = voters.map((id) => image.members[id]?.host);
  const count = image.confirmedBy.filter((host) => hosts.includes(host)).length;
  return count >= quorumOf(voters.length);
}

/**
 * The record after a NodeHost listed its node of the cluster, or listed one before and lists none now. The same record
 * if that is no news.
 *
 * Only a former member that a confirmed membership lacks is a zombie (M9): a node that is on its way never is.
 */
export function withNode(
  image: ClusterImage,
  node: SeenNode | undefined,
  { hostId, tick }: Reporter,
): ClusterImage {
  if (!isManaged(image)) return image;
  let next = image;
  for (const key of Object.keys(image.members)) {
    const id = Number(key);
    const member = image.members[id]!;
    const isHere = member.host === hostId ||
      (member.host === undefined && node?.nodeId === id);
    if (!isHere) continue;
    const seen = node?.nodeId === id
      ? listed(member, { hostId, tick })
      : unlisted(member, tick);
    if (seen !== member) {
      next = { ...next, members: { ...next.members, [id]: seen } };
    }
  }
  return withZombie(withReadyObservers(next, node), node, hostId);
}

function listed(
  member: MemberRecord,
  { hostId, tick }: Reporter,
): MemberRecord {
  if (
    member.host !== undefined && member.since !== undefined &&
    member.missingSince === undefined && member.isLost === undefined &&
    member.starts === undefined
  ) return member;
  const { missingSince: _, isLost: __, starts: ___, ...rest } = member;
  return { ...rest, host: hostId, since: member.since ?? tick };
}

/** The leader knows how far its observers are; they do not. */
export function withReadyObservers(
  image: ClusterImage,
  node: SeenNode | undefined,
): ClusterImage {
  if (node?.areObserversReady !== true) return image;
  let next = image;
  for (const [key, member] of Object.entries(image.members)) {
    if (member.role !== "observer" || member.isReady === true) continue;
    if (!isVoter(image.members[node.nodeId])) continue;
    const ready = { ...member, isReady: true };
    next = { ...next, members: { ...next.members, [key]: ready } };
  }
  return next;
}

/**
 * Noted for a node that was never seen to run as well: whoever concludes from an older list that it runs then finds
 * that the record changed.
 */
function unlisted(member: MemberRecord, tick: number): MemberRecord {
  if (member.missingSince !== undefined) return member;
  return { ...member, missingSince: tick };
}

function withZombie(
  image: ClusterImage,
  node: SeenNode | undefined,
  hostId: string,
): ClusterImage {
  const id = node?.nodeId ?? 0;
  const zombies: Record<number, string> = {};
  for (const [key, host] of Object.entries(image.zombies)) {
    if (host !== hostId || Number(key) === id) zombies[Number(key)] = host;
  }
  const isNoMember = id !== 0 && image.members[id] === undefined;
  const isFormer = image.gone.includes(id) && isConfirmed(image) &&
    isNoMember && image.plan?.in !== id;
  // It was stopped, and its NodeHost was opened anew before its data went: the record must not go while it runs.
  const isDeleted = isNoMember && image.life === "deleting";
  if (
    isFormer || isDeleted || image.condemned?.includes(id) === true
  ) zombies[id] = hostId;
  return hasSame(zombies, image.zombies) ? image : { ...image, zombies };
}

function hasSame(
  a: Record<number, string>,
  b: Record<number, string>,
): boolean {
  const keys = Object.keys(a).map(Number);
  return keys.length === Object.keys(b).length &&
    keys.every((key) => a[key] === b[key]);
}
