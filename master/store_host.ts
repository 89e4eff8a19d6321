/** How what a NodeHost says of itself gets into its record, and into the slices beside it. */
import { unknownRegion } from "../raft/config.ts";
import { type AddedEvent, addEvent, type EventListener } from "./history.ts";
import type { KvAtomic, KvEntry, KvKey } from "./kv.ts";
import type { KvAccess } from "./kv_access.ts";
import type { NodeHostInfo } from "./protocol.ts";
import { addClaim, type AddressClaim } from "./store_address.ts";
import {
  clockKey,
  type ClockRecord,
  hostKey,
  type HostRecord,
  logKey,
  nodesKey,
  type PassRecord,
  positionsKey,
  readHost,
  schemaVersion,
  type SliceRecord,
} from "./schema.ts";
import {
  digestOf,
  hashSecret,
  type NodeRow,
  sliceLog,
  sliceNodes,
  slicePositions,
  unpackRows,
} from "./wire/mod.ts";

/** A NodeHost that was not heard for more ticks than this was shown as silent. */
const silentTicks = 2;

/** A commit takes 800 KiB; this much of them for slices. */
const maxSliceBytesPerCommit = 640 * 1024;

/** New content of `["hl",host]` or `["log",host]`, and which of its slices differ from what is stored. */
export interface SliceChange {
  /** Of the whole content. */
  readonly digest: string;
  /** Slices of the whole content. */
  readonly sliceCount: number;
  /** Slices to set. */
  readonly sets: readonly { key: KvKey; rows: Uint8Array }[];
  /** Slices to remove. */
  readonly deletes: readonly KvKey[];
  /** The slices that were stored. */
  readonly old: readonly Uint8Array[];
}

/** Whether a report comes after what the record knows. A report without `boot` and `seq` always does. */
export function isNewer(info: NodeHostInfo, host: HostRecord): boolean {
  const { boot, seq } = info;
  if (boot === undefined || seq === undefined) return true;
  return boot > host.boot || (boot === host.boot && seq > host.seq);
}

/** Whether a report is the one that the record knows, once more. */
export function isSame({ boot, seq }: NodeHostInfo, host: HostRecord): boolean {
  return boot === host.boot && seq === host.seq &&
    host.conflict === undefined;
}

/** What the report changes in `["hl",host]`; `undefined` if nothing. */
export async function changeOfNodes(
  access: KvAccess,
  rows: readonly NodeRow[],
  hostId: string,
  host: HostRecord | undefined,
): Promise<SliceChange | undefined> {
  const slices = sliceNodes(rows);
  if (host?.digest === digestOf(slices)) return undefined;
  return await compare(
    access,
    slices,
    host?.slices ?? 0,
    (i) => nodesKey(hostId, i),
  );
}

/** What the report changes in `["log",host]`; `undefined` if nothing, or if it says nothing of the log. */
export async function changeOfLog(
  access: KvAccess,
  info: NodeHostInfo,
  host: HostRecord | undefined,
): Promise<SliceChange | undefined> {
  if (!info.logInfoIncluded) return undefined;
  const slices = sliceLog(info.logInfo);
  if (host?.logDigest === digestOf(slices)) return undefined;
  return await compare(
    access,
    slices,
    host?.logSlices ?? 0,
    (i) => logKey(info.nodeHostId, i),
  );
}

/** What the report changes in `["pos",host]`; `undefined` if nothing, which is so while every node knows a leader. */
export async function changeOfPositions(
  access: KvAccess,
  info: NodeHostInfo,
  host: HostRecord | undefined,
): Promise<SliceChange | undefined> {
  const slices = slicePositions(info);
  if (slices.length === 0 && (host?.posSlices ?? 0) === 0) return undefined;
  if (host?.posDigest === digestOf(slices)) return undefined;
  return await compare(
    access,
    slices,
    host?.posSlices ?? 0,
    (i) => positionsKey(info.nodeHostId, i),
  );
}

async function compare(
  access: KvAccess,
  slices: readonly Uint8Array[],
  oldCount: number,
  keyOf: (i: number) => KvKey,
): Promise<SliceChange> {
  const oldKeys = Array.from({ length: oldCount }, (_, i) => keyOf(i));
  const old = (await access.getMany(oldKeys)).map((entry) =>
    (entry.value as SliceRecord | null)?.rows ?? new Uint8Array()
  );
  return {
    digest: digestOf(slices),
    sliceCount: slices.length,
    sets: slices.map((rows, i) => ({ key: keyOf(i), rows }))
      .filter(({ rows }, i) => !hasSameBytes(rows, old[i])),
    deletes: oldKeys.slice(slices.length),
    old,
  };
}

function hasSameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && a.length === b.length &&
    a.every((byte, i) => byte === b[i]);
}

/** The clusters whose row is not the one that was stored; those of which there is none any more come last. */
export function changedClusters(
  rows: readonly NodeRow[],
  change: SliceChange | undefined,
): { changed: Set<number>; left: number[] } {
  if (change === undefined) return { changed: new Set(), left: [] };
  const old = new Map<number, NodeRow>();
  for (const slice of change.old) {
    for (const row of unpackRows(slice)) old.set(row.clusterId, row);
  }
  const changed = rows.filter((row) => {
    const before = old.get(row.clusterId);
    return before?.nodeId !== row.nodeId ||
      before.configChangeIndex !== row.configChangeIndex ||
      before.pending !== row.pending ||
      (row.areObserversReady && !before.areObserversReady);
  });
  for (const row of rows) old.delete(row.clusterId);
  return {
    changed: new Set(changed.map((row) => row.clusterId)),
    left: [...old.keys()],
  };
}

/** What a report does to the clock. */
export interface ClockChange {
  /** As it was read. */
  readonly entry: KvEntry;
  /** It is to be this; the same as was read for no change. */
  readonly record: ClockRecord;
  /** Whether it is written. */
  readonly isDue: boolean;
  /** Time grows. */
  readonly isTick?: boolean;
  /** What is left of a pass over the to-do list, and is not in {@link record} any more: this report goes on with it. */
  readonly pass?: PassRecord | undefined;
}

/** Everything that {@link writeHost} writes. */
export interface HostWrite {
  /** The report. */
  readonly info: NodeHostInfo;
  /** Its nodes. */
  readonly rows: readonly NodeRow[];
  /** The NodeHost's record as it was read; nothing is written if it changed since. */
  readonly entry: KvEntry;
  /** The clock as it was read, and as it is to be: written only if they differ. */
  readonly clock: ClockChange;
  /** Whether it may be at its address. */
  readonly claim: AddressClaim;
  /** See {@link changeOfNodes}. */
  readonly nodes: SliceChange | undefined;
  /** See {@link changeOfLog}. */
  readonly log: SliceChange | undefined;
  /** See {@link changeOfPositions}. */
  readonly positions: SliceChange | undefined;
  /** Some memberships are lacking, so the next report has to be examined even if it says the same. */
  readonly isLacking: boolean;
  /** It is told to report after so many milliseconds at most. */
  readonly periodMs: number;
  /** It is dead after so many ticks of silence. */
  readonly ttl: number;
  /** Write id. */
  readonly w: string;
  /** The NodeHost's secret, if it gave one. */
  readonly secret: string | undefined;
  /** Hears of events. */
  readonly onEvent: EventListener | undefined;
}

/**
 * Writes a NodeHost's record with its slices in one commit, and the clock if time grows. If both kinds of slices do not
 * fit into one commit, the log's follow in a second; without it, the next report that includes them will do.
 *
 * @returns Whether it was written, with the version of the clock if that is known. `false`: a record had changed.
 * @throws {RaftError} if the store failed.
 */
export async function writeHost(
  access: KvAccess,
  write: HostWrite,
): Promise<{ ok: boolean; versionstamp?: string }> {
  const { info, entry, clock, nodes, log, positions, w } = write;
  const key = hostKey(info.nodeHostId);
  const isLogLater =
    sliceBytes(nodes) + sliceBytes(positions) + sliceBytes(log) >
      maxSliceBytesPerCommit;
  const record = recordAfter(access, write, isLogLater ? undefined : log);
  const atomic = access.atomic()
    .check({ key, versionstamp: entry.versionstamp })
    .set(key, record);
  if (clock.isDue) {
    const { versionstamp } = clock.entry;
    atomic.check({ key: clockKey, versionstamp })
      .set(clockKey, { ...clock.record, v: schemaVersion, w });
  }
  addSlices(atomic, nodes, w);
  addSlices(atomic, positions, w);
  if (!isLogLater) addSlices(atomic, log, w);
  const { nodeHostId: hostId, nodeHostAddress: address } = info;
  addClaim(atomic, write.claim, { hostId, address, w });
  const event = addReplacement(access, atomic, write);
  const { ok, versionstamp, failure } = await access.tryCommit(atomic);
  if (!ok) {
    const { value } = await access.get(key);
    if ((value as HostRecord | null)?.w !== w) {
      if (failure !== undefined) throw failure;
      return { ok: false };
    }
  }
  if (event !== undefined) write.onEvent?.(event.event);
  if (isLogLater) await writeLogLater(access, write);
  return versionstamp === undefined || isLogLater
    ? { ok: true }
    : { ok: true, versionstamp };
}

/** That another NodeHost was at the address, and is gone for good. */
function addReplacement(
  access: KvAccess,
  atomic: KvAtomic,
  { info, claim, clock }: HostWrite,
): AddedEvent | undefined {
  if (claim.kind !== "free" || claim.replaces === undefined) return undefined;
  const { tick } = clock.record;
  return addEvent({ access, tick }, atomic, {
    host: String(claim.replaces.key[1]),
    what: "replaced",
    why: `${info.nodeHostId} is at ${info.nodeHostAddress} now`,
  });
}

function sliceBytes(change: SliceChange | undefined): number {
  return (change?.sets ?? []).reduce((sum, set) => sum + set.rows.length, 0);
}

function addSlices(
  atomic: KvAtomic,
  change: SliceChange | undefined,
  w: string,
): void {
  for (const { key, rows } of change?.sets ?? []) {
    atomic.set(key, { v: schemaVersion, w, rows } satisfies SliceRecord);
  }
  for (const key of change?.deletes ?? []) atomic.delete(key);
}

/** The record after the report; fields that this version does not know stay. */
function recordAfter(
  access: KvAccess,
  { info, rows, entry, clock, claim, nodes, positions, ...rest }: HostWrite,
  log: SliceChange | undefined,
): HostRecord {
  const { isLacking, periodMs, ttl, w, secret } = rest;
  const old = readHost(entry.value);
  const { tick } = clock.record;
  const boot = info.boot ?? old?.boot ?? 0;
  const isBack = old === undefined || old.boot !== boot || old.state !== "ok";
  // Whoever saw it silent, or at its former address, must look again before an order (M19).
  const isOther = isBack || tick - old.tick > silentTicks ||
    old.addr !== info.nodeHostAddress;
  const { cursor, rival, ...kept } = withoutDescription(old ?? {});
  return {
    ...kept,
    // A walk over the clusters of a NodeHost that is drained goes on; one over those of a dead one is pointless now.
    ...(cursor === undefined || old?.state !== "ok" ? {} : { cursor }),
    v: schemaVersion,
    w,
    boot,
    seq: info.seq ?? old?.seq ?? 0,
    atMs: access.now(),
    addr: info.nodeHostAddress,
    api: info.nodeHostApiAddress,
    region: info.region || unknownRegion, // Older NodeHosts without one say "".
    n: rows.length,
    leads: rows.filter((row) => row.isLeader).length,
    digest: isLacking ? "" : nodes?.digest ?? old?.digest ?? "",
    slices: nodes?.sliceCount ?? old?.slices ?? 0,
    logDigest: log?.digest ?? old?.logDigest ?? "",
    logSlices: log?.sliceCount ?? old?.logSlices ?? 0,
    tick,
    since: isBack ? tick : old.since,
    gen: (old?.gen ?? 0) + (isOther ? 1 : 0),
    state: "ok",
    periodMs,
    ttl,
    ...(positions === undefined
      ? {}
      : { posDigest: positions.digest, posSlices: positions.sliceCount }),
    ...selfDescription(info),
    ...heard(info, old, tick),
    ...rivalAfter(old, boot, rival),
    ...(claim.kind === "taken" ? { conflict: claim.by } : {}),
    ...(secret === undefined ? {} : { secretHash: hashSecret(secret) }),
  };
}

/** The process that this one follows should not be heard any more (`store_rival.ts`). */
function rivalAfter(
  old: HostRecord | undefined,
  boot: number,
  rival: HostRecord["rival"],
): Pick<HostRecord, "rival"> {
  if (old === undefined) return {};
  if (old.boot !== boot) {
    return { rival: { boot: old.boot, seq: old.seq, isTold: false } };
  }
  return rival === undefined ? {} : { rival };
}

function withoutDescription(old: Partial<HostRecord>): Partial<HostRecord> {
  const { conflict: _, apps: _1, domain: _2, ...rest } = old;
  const { capacity: _3, isDiskLow: _4, ...kept } = rest;
  return kept;
}

/** What a NodeHost may say of itself; what it no longer says is forgotten. */
function selfDescription(info: NodeHostInfo): Partial<HostRecord> {
  const { apps, failureDomain, capacity, isDiskLow } = info;
  return {
    ...(apps === undefined ? {} : { apps: [...apps].sort() }),
    ...(failureDomain === undefined ? {} : { domain: failureDomain }),
    ...(capacity === undefined ? {} : { capacity }),
    ...(isDiskLow === undefined ? {} : { isDiskLow }),
  };
}

/** Whom it hears, of those it was asked about; older answers fade. */
function heard(
  info: NodeHostInfo,
  old: HostRecord | undefined,
  tick: number,
): Partial<HostRecord> {
  const hears: Record<string, number> = {};
  for (const [id, at] of Object.entries(old?.hears ?? {})) {
    if (tick - at < 4) hears[id] = at;
  }
  for (const id of info.hears ?? []) hears[id] = tick;
  if (Object.keys(hears).length > 0) return { hears };
  return old?.hears === undefined ? {} : { hears };
}

async function writeLogLater(
  access: KvAccess,
  { info, log, w }: HostWrite,
): Promise<void> {
  const key = hostKey(info.nodeHostId);
  const entry = await access.get(key);
  const record = entry.value as HostRecord | null;
  if (log === undefined || record?.w !== w) return; // A newer report was faster.
  const later = access.randomHex(8);
  const atomic = access.atomic()
    .check({ key, versionstamp: entry.versionstamp })
    .set(key, {
      ...record,
      w: later,
      logDigest: log.digest,
      logSlices: log.sliceCount,
    });
  addSlices(atomic, log, later);
  await access.commit(atomic, key, later);
}
