/**
 * Writes a cluster's record together with everything that follows from it, in one commit: which node is where
 * (`["m"]`), that it needs a look (`["att"]`), what NodeHosts are asked to do (`["q"]`), and which limits its plan
 * counts against (`["slot"]`). What follows is computed from the record alone, so it cannot disagree with it.
 */
import type { ClusterImage } from "./cluster_image.ts";
import { isManaged, votersOf } from "./cluster_image.ts";
import type { KvAtomic, KvEntry, KvKey } from "./kv.ts";
import {
  attentionKey,
  type AttentionRecord,
  clusterKey,
  type ClusterRecord,
  type MemberIndex,
  memberKey,
  requestKey,
  type RequestRecord,
  schemaVersion,
  slotKey,
  type SlotName,
  type SlotRecord,
} from "./schema.ts";

/** What follows from a cluster's record. */
export interface ClusterIndex {
  /** The node on, or coming to, each NodeHost. */
  readonly members: ReadonlyMap<string, number>;
  /** The request to each NodeHost. */
  readonly requests: ReadonlyMap<string, Omit<RequestRecord, "v" | "w">>;
  /** The slots that are taken. */
  readonly slots: readonly SlotName[];
  /** It is not as desired, as far as the record alone says. */
  readonly needsAttention: boolean;
}

const emptyIndex: ClusterIndex = {
  members: new Map(),
  requests: new Map(),
  slots: [],
  needsAttention: false,
};

/** What follows from a record. */
export function indexOf(
  image: ClusterImage | undefined,
  epoch: string,
): ClusterIndex {
  if (image === undefined || !isManaged(image)) return emptyIndex;
  const members = new Map<string, number>();
  for (const [id, { host }] of Object.entries(image.members)) {
    if (host !== undefined) members.set(host, Number(id));
  }
  const { plan, step } = image;
  if (plan?.host !== undefined && plan.in !== undefined) {
    members.set(plan.host, plan.in);
  }
  const requests = new Map<string, Omit<RequestRecord, "v" | "w">>();
  for (const [host, node] of Object.entries(step?.hosts ?? {})) {
    requests.set(host, requestOf(image, node, epoch));
  }
  return {
    members,
    requests,
    slots: plan?.slots ?? [],
    needsAttention: needsAttention(image),
  };
}

function requestOf(
  image: ClusterImage,
  nodeId: number,
  epoch: string,
): Omit<RequestRecord, "v" | "w"> {
  const { step, def, plan } = image;
  const { n, kind, expectCci } = step!;
  const base = { epoch, n, kind, nodeId, expectCci };
  const start = { app: def?.app ?? "", config: def?.config ?? {} };
  switch (kind) {
    case "launch": {
      const members: Record<number, string> = {};
      for (const [id, { address }] of Object.entries(image.members)) {
        members[Number(id)] = address;
      }
      return { ...base, ...start, members };
    }
    case "join":
    case "restore":
      return { ...base, ...start };
    case "addObserver":
      return {
        ...base,
        address: plan?.address ?? "",
        nodeHostId: plan?.host ?? "",
      };
    case "promote": {
      const { address = "", host = "" } = image.members[nodeId] ?? {};
      return { ...base, address, nodeHostId: host };
    }
    case "transfer":
      return { ...base, target: step!.node };
    default:
      return base;
  }
}

/** Whether the record alone says that something is to be done. A dead NodeHost is not told by it, but by its walk. */
function needsAttention(image: ClusterImage): boolean {
  if (image.life !== "ok") return true;
  if (image.plan !== undefined || image.step !== undefined) return true;
  if (Object.keys(image.zombies).length > 0) return true;
  const members = Object.values(image.members);
  return votersOf(image).length !== image.def?.size ||
    members.some((member) =>
      member.role === "observer" || member.since === undefined ||
      member.missingSince !== undefined || member.isLost === true ||
      member.host === undefined
    );
}

/** Something of a cluster that is to be written. */
export interface ClusterWrite {
  readonly clusterId: number;
  /** As it was read; nothing is written if it changed since. */
  readonly entry: KvEntry;
  /** What it was. */
  readonly before: ClusterImage | undefined;
  /** What it becomes; `undefined` removes it. */
  readonly after: ClusterImage | undefined;
  /** The store's epoch. */
  readonly epoch: string;
  /** The tick. */
  readonly tick: number;
  /** Write id. */
  readonly w: string;
  /** A look at the NodeHosts told that it is as desired, whatever else was on the to-do list. */
  readonly isSettled?: boolean;
}

/** Adds the record and all that follows from it to a commit. */
export function addCluster(atomic: KvAtomic, write: ClusterWrite): void {
  const { clusterId, entry, before, after, epoch, w } = write;
  const key = clusterKey(clusterId);
  atomic.check({ key: entry.key, versionstamp: entry.versionstamp });
  const stamp = { v: schemaVersion, w };
  if (after === undefined) atomic.delete(key);
  else atomic.set(key, { ...after, ...stamp } satisfies ClusterRecord);
  const old = indexOf(before, epoch);
  const now = indexOf(after, epoch);
  addDifference(atomic, {
    old: old.members,
    now: now.members,
    keyOf: (host) => memberKey(host, clusterId),
    valueOf: (node) => ({ ...stamp, node } satisfies MemberIndex),
    isSame: (a, b) => a === b,
  });
  addDifference(atomic, {
    old: old.requests,
    now: now.requests,
    keyOf: (host) => requestKey(host, clusterId),
    valueOf: (request) => ({ ...request, ...stamp } satisfies RequestRecord),
    isSame: (a, b) => a.n === b.n && a.epoch === b.epoch,
  });
  addSlots(atomic, old.slots, now.slots, { clusterId, w });
  if (now.needsAttention) {
    const value = { ...stamp, tick: write.tick } satisfies AttentionRecord;
    if (!old.needsAttention) atomic.set(attentionKey(clusterId), value);
  } else if (write.isSettled === true || after === undefined) {
    // Otherwise a round looks first: NodeHosts may have fallen silent, which the record does not tell.
    atomic.delete(attentionKey(clusterId));
  }
}

interface Difference<Value> {
  readonly old: ReadonlyMap<string, Value>;
  readonly now: ReadonlyMap<string, Value>;
  keyOf(name: string): KvKey;
  valueOf(value: Value): unknown;
  isSame(a: Value, b: Value): boolean;
}

function addDifference<Value>(
  atomic: KvAtomic,
  { old, now, keyOf, valueOf, isSame }: Difference<Value>,
): void {
  for (const name of old.keys()) {
    if (!now.has(name)) atomic.delete(keyOf(name));
  }
  for (const [name, value] of now) {
    const before = old.get(name);
    if (before === undefined || !isSame(before, value)) {
      atomic.set(keyOf(name), valueOf(value));
    }
  }
}

/** A slot is taken only if it is free: that is checked in the same commit. */
function addSlots(
  atomic: KvAtomic,
  old: readonly SlotName[],
  now: readonly SlotName[],
  { clusterId, w }: { clusterId: number; w: string },
): void {
  const text = (slot: SlotName) => slot.join("\n");
  const before = new Set(old.map(text));
  const after = new Set(now.map(text));
  for (const slot of old) {
    if (!after.has(text(slot))) atomic.delete(slotKey(slot));
  }
  for (const slot of now) {
    if (before.has(text(slot))) continue;
    const value = { v: schemaVersion, w, cluster: clusterId };
    atomic.check({ key: slotKey(slot), versionstamp: null })
      .set(slotKey(slot), value satisfies SlotRecord);
  }
}
