/** Decides about the clusters on the to-do list, and commits each decision alone; plans that wait share commits. */
import {
  type ClusterImage,
  isManaged,
  withNode,
  withReadyObservers,
} from "./cluster_image.ts";
import { type AddedEvent, addEvent, commitAndTell } from "./history.ts";
import type { KvAtomic, KvEntry } from "./kv.ts";
import { inParallel, maxKeysAtOnce } from "./kv_access.ts";
import { clusterKey, readCluster, schemaVersion, tombKey } from "./schema.ts";
import { decide } from "./scheduler/decide.ts";
import { type Decision, isAlive, slotText } from "./scheduler/view.ts";
import { decideAdoption } from "./round_adopt.ts";
import { leftAfter, type Listed } from "./round_attention.ts";
import { type RoundState, rowsOfHost, viewOf } from "./round_state.ts";
import { hostAt } from "./store_address.ts";
import { addCluster } from "./store_index.ts";

const commitsInFlight = 16;

/** A cluster that is being decided about. */
export interface Case {
  readonly clusterId: number;
  readonly entry: KvEntry;
  readonly attention: KvEntry | undefined;
  readonly image: ClusterImage;
}

/** One that was decided about. */
export interface Decided extends Case {
  readonly decision: Decision;
}

/** Decides about the listed clusters until the round's time is over; about some in any case, however slow the store is. */
export async function decideAll(
  state: RoundState,
  listed: Listed,
): Promise<void> {
  const { entries } = listed;
  for (let i = 0; i < entries.length; i += maxKeysAtOnce) {
    if (i > 0 && isOver(state)) {
      state.left = leftAfter(listed, i);
      return;
    }
    await decideSome(state, entries.slice(i, i + maxKeysAtOnce));
  }
  state.left = listed.left;
}

function isOver({ context, decisionCount, endMs }: RoundState): boolean {
  return decisionCount >= context.decisionsPerRound ||
    context.access.now() >= endMs;
}

async function decideSome(
  state: RoundState,
  attention: readonly KvEntry[],
): Promise<void> {
  const { access } = state.context;
  const ids = attention.map(({ key }) => Number(key[1]));
  const entries = await access.getMany(ids.map(clusterKey));
  const cases = entries.map((entry, i) => ({
    clusterId: ids[i]!,
    entry,
    attention: attention[i]!,
    image: readCluster(entry.value),
  }));
  const waiting: Decided[] = [];
  await inParallel(cases, async (one) => {
    const { image } = one;
    if (image === undefined) return await forget(state, one);
    if (isManaged(image)) {
      return await decideOne(state, { ...one, image }, waiting);
    }
    const decision = await decideAdoption(state, one.clusterId, image);
    if (decision === undefined) await forget(state, one);
    else await carryOut(state, { ...one, image, decision });
  }, commitsInFlight);
  await carryOutTogether(state, waiting);
}

/** It is not the master's any more. */
async function forget(
  { context }: RoundState,
  { entry, attention }: { entry: KvEntry; attention: KvEntry },
): Promise<void> {
  const atomic = context.access.atomic()
    .check({ key: entry.key, versionstamp: entry.versionstamp })
    .check({ key: attention.key, versionstamp: attention.versionstamp })
    .delete(attention.key);
  await context.access.tryCommit(atomic);
}

/** Decides about one cluster. Its trouble is its own: the others go on. Those that only wait are added to `waiting`. */
async function decideOne(
  state: RoundState,
  one: Case,
  waiting: Decided[],
): Promise<void> {
  const image = await refreshed(state, one.clusterId, one.image);
  const view = viewOf(state, (image.def?.size ?? 0) + 1);
  let decision = decide(view, image);
  if (decision.do === "nothing" && image !== one.image) {
    const { why } = decision;
    decision = { do: "change", next: image, hosts: [], what: "", why };
  }
  if (image.plan?.slots.length || image.step !== undefined) {
    state.isBusy = true;
  }
  // What was found out is stored with whatever is decided, and if it is that all is well: else that were found each round.
  // Nothing may come in between: what this decision takes must count when the next one is made.
  const decided = { ...one, image, decision };
  if (waitsOnly(decided)) waiting.push(decided);
  else await carryOut(state, decided);
}

/** A plan that waits for its turn: it asks nobody for anything, and takes nothing that others could want. */
function waitsOnly({ image, decision }: Decided): boolean {
  if (decision.do !== "change" || decision.hosts.length > 0) return false;
  const { plan, step } = decision.next;
  return step === undefined && image.step === undefined &&
    plan !== undefined && plan.in === undefined && plan.slots.length === 0;
}

/** Ten plans in one commit, which on a local disk is one sync. If one of the records changed, each is for itself. */
async function carryOutTogether(
  state: RoundState,
  some: readonly Decided[],
): Promise<void> {
  if (some.length > 1) {
    const atomic = state.context.access.atomic();
    const told = some.flatMap((one) => addDecision(state, atomic, one));
    const { ok } = await commitAndTell(state.context, atomic, told);
    if (ok) return;
  }
  await inParallel(some, (one) => carryOut(state, one), commitsInFlight);
}

/** Commits a decision. */
export async function carryOut(
  state: RoundState,
  one: Decided,
): Promise<boolean> {
  if (one.decision.do === "nothing") return false;
  const atomic = state.context.access.atomic();
  const told = addDecision(state, atomic, one);
  const { ok } = await commitAndTell(state.context, atomic, told);
  return ok;
}

/** Adds it to a commit; what it takes counts at once, so that no other decision of the round takes it as well. */
function addDecision(
  state: RoundState,
  atomic: KvAtomic,
  { clusterId, entry, attention, image: before, decision }: Decided,
): AddedEvent[] {
  const { access } = state.context;
  const { epoch, clock: { tick } } = state;
  state.hasChanged = true;
  const w = access.randomHex(8);
  const base = { clusterId, entry, before: readCluster(entry.value), epoch };
  const isSettled = decision.do === "settle";
  const isGone = isSettled && before.life === "deleting";
  const after = isGone
    ? undefined
    : decision.do === "change"
    ? decision.next
    : before;
  const told: AddedEvent[] = [];
  const tell = (what: string, why: string) => {
    const event = { cluster: clusterId, what, why };
    told.push(addEvent({ access, tick }, atomic, event));
  };
  addCluster(atomic, { ...base, after, tick, w, isSettled });
  if (isGone) {
    const steps = before.steps + 1;
    atomic.set(tombKey(clusterId), { v: schemaVersion, w, tick, steps });
    tell("deleted", "no node runs");
  }
  if (isSettled && attention !== undefined) {
    const { key, versionstamp } = attention;
    atomic.check({ key, versionstamp });
  }
  if (decision.do === "change") {
    addHostChecks(state, atomic, decision.hosts);
    count(state, before, decision.next);
    const { what, why } = decision;
    if (what !== "") tell(what, why);
  }
  return told;
}

function addHostChecks(
  { hostEntries }: RoundState,
  atomic: KvAtomic,
  hosts: readonly string[],
): void {
  for (const id of new Set(hosts)) {
    const entry = hostEntries.get(id);
    if (entry === undefined) continue;
    atomic.check({ key: entry.key, versionstamp: entry.versionstamp });
  }
}

function count(
  state: RoundState,
  before: ClusterImage,
  after: ClusterImage,
): void {
  // What is only stored, as plans that wait for their turn are, costs nothing but time, which is bounded for itself.
  const isAsked = after.step !== undefined && after.step.n !== before.step?.n;
  if (isAsked) state.decisionCount++;
  if (after.step !== undefined) state.isBusy = true;
  for (const slot of after.plan?.slots ?? []) state.slots.add(slotText(slot));
  const hosts = new Set<string>();
  if (after.plan?.host !== undefined) hosts.add(after.plan.host);
  for (const { host } of Object.values(after.members)) {
    if (host !== undefined) hosts.add(host);
  }
  hosts.delete(before.plan?.host ?? "");
  for (const { host } of Object.values(before.members)) {
    hosts.delete(host ?? "");
  }
  for (const host of hosts) {
    state.load.set(host, (state.load.get(host) ?? 0) + 1);
  }
}

// ---- What the record may have missed ----

/**
 * A member may have become known after its NodeHost listed it; nothing about the NodeHost changes then, so its list is
 * read here. What the record says of members that were seen, or are missing, is newer than any list.
 */
export async function refreshed(
  state: RoundState,
  clusterId: number,
  image: ClusterImage,
): Promise<ClusterImage> {
  let next = image;
  const isUnready = Object.values(image.members).some((member) =>
    member.role === "observer" && member.isReady !== true
  );
  for (const [key, member] of Object.entries(image.members)) {
    const isUnknown = member.host === undefined ||
      (member.since === undefined && member.missingSince === undefined);
    // Which voter leads is not known here: each of them may say that the observers have caught up.
    if (!isUnknown && !(isUnready && member.role === "voter")) continue;
    const id = Number(key);
    const host = member.host ??
      await hostAt(state.context.access, member.address);
    if (host === undefined || !isAlive(viewOf(state, 0), host)) continue;
    if (member.host === undefined) {
      const known = { ...next.members[id]!, host };
      next = { ...next, members: { ...next.members, [id]: known } };
    }
    const row = (await rowsOfHost(state, host)).get(clusterId);
    if (row?.nodeId !== id) continue;
    const { areObserversReady } = row;
    const reporter = { hostId: host, tick: state.clock.tick };
    next = isUnknown
      ? withNode(next, { nodeId: id, areObserversReady }, reporter)
      : withReadyObservers(next, { nodeId: id, areObserversReady });
  }
  return next;
}
