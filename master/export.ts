/**
 * All state of a store as lines of text, and back (M11).
 *
 *     {"format":"drakkar-master","version":1}
 *     [key, value]                                one per line, in the order of keys
 *
 * Values are JSON with {"$bigint":"7"} and {"$bytes":"base64"} for what JSON does not have. Versionstamps are left out:
 * nothing depends on them. What follows from other records is left out as well, and computed anew, so a copy that was
 * made while masters were writing is as good as one of a moment.
 *
 * A store that was imported has another epoch, so NodeHosts do nothing that the old one asked for; its brake is on; and
 * nothing is decided about a cluster before a majority of its members reported.
 */
import { RaftError } from "../raft/errors.ts";
import { type ClusterImage, isManaged } from "./cluster_image.ts";
import type { KvKey } from "./kv.ts";
import type { KvAccess } from "./kv_access.ts";
import {
  attentionKey,
  clockKey,
  type ClockRecord,
  clusterKey,
  eventTtlMs,
  type HostRecord,
  metaKey,
  type MetaRecord,
  readCluster,
  readHost,
  schemaVersion,
} from "./schema.ts";
import { addCluster } from "./store_index.ts";
import { holdsRecords } from "./store_sentinel.ts";

const formatName = "drakkar-master";
const formatVersion = 1;

/** What is exported, in this order; the rest follows from it. */
const prefixes = ["meta", "clock", "h", "addr", "c", "tomb", "ev"] as const;

/** No master has this schema: while a store holds it, nobody writes. */
const nobody = Number.MAX_SAFE_INTEGER;

const bytesPerCall = 0x8000;

/** A tick that is long ago. */
const longAgo = -1_000_000;

/** All state, line by line. */
export async function* exportLines(
  access: KvAccess,
): AsyncGenerator<string> {
  yield JSON.stringify({ format: formatName, version: formatVersion });
  for (const prefix of prefixes) {
    for await (const { key, value } of access.list([prefix], 500)) {
      yield line(key, value);
    }
    // A list has what is below a key, not what is at it.
    const { key, value } = await access.get([prefix]);
    if (value !== null) yield line(key, value);
  }
}

function line(key: KvKey, value: unknown): string {
  return JSON.stringify([key, toJson(value)]);
}

function toJson(value: unknown): unknown {
  if (typeof value === "bigint") return { $bigint: value.toString() };
  if (value instanceof Uint8Array) return { $bytes: toBase64(value) };
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, toJson(one)]),
  );
}

function fromJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value !== "object" || value === null) return value;
  const { $bigint, $bytes } = value as Record<string, unknown>;
  if (typeof $bigint === "string") return BigInt($bigint);
  if (typeof $bytes === "string") {
    return Uint8Array.from(atob($bytes), (one) => one.charCodeAt(0));
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, fromJson(one)]),
  );
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += bytesPerCall) {
    text += String.fromCharCode(...bytes.subarray(at, at + bytesPerCall));
  }
  return btoa(text);
}

/** What an import brought. */
export interface ImportResult {
  /** Clusters. */
  clusters: number;
  /** NodeHosts. */
  nodeHosts: number;
  /** The new epoch. */
  epoch: string;
}

/**
 * Fills an empty store. Until it is done no master writes to it; a failed import is repeated from its beginning.
 *
 * @throws {RangeError} if the lines are no export, or of a version that is not known.
 * @throws {RaftError} `rejected` if the store is another deployment's, or in use.
 */
export async function importLines(
  access: KvAccess,
  lines: AsyncIterable<string> | Iterable<string>,
): Promise<ImportResult> {
  const epoch = access.randomHex(8);
  const result: ImportResult = { clusters: 0, nodeHosts: 0, epoch };
  const hosts: string[] = [];
  let meta: MetaRecord | undefined;
  let clock: ClockRecord | undefined;
  let number = 0;
  for await (const text of lines) {
    number++;
    if (text.trim() === "") continue;
    const parsed = parseLine(text, number);
    if (parsed === undefined) continue;
    const [key, value] = parsed;
    if (key[0] === "meta") {
      meta = await lock(access, value as MetaRecord, epoch);
      continue;
    }
    if (meta === undefined) {
      throw new RangeError("Cannot import: the line of the store is missing");
    }
    if (key[0] === "clock") clock = value as ClockRecord;
    if (key[0] === "h") hosts.push(String(key[1]));
    if (key[0] === "c") result.clusters++;
    await importRecord(access, { key, value, epoch, clock });
  }
  if (meta === undefined) throw new RangeError("Cannot import: it is empty");
  await finish(access, { meta, clock, hosts });
  return { ...result, nodeHosts: hosts.length };
}

function parseLine(
  text: string,
  number: number,
): [KvKey, unknown] | undefined {
  const refuse = (why: string): never => {
    throw new RangeError(`Cannot import line ${number}: ${why}`);
  };
  let parsed: unknown;
  try {
    parsed = fromJson(JSON.parse(text));
  } catch {
    return refuse("it is not JSON");
  }
  if (number === 1) {
    const { format, version } = (parsed ?? {}) as Record<string, unknown>;
    if (format !== formatName) refuse("it is not an export of a master");
    if (version !== formatVersion) refuse(`its version is ${version}`);
    return undefined;
  }
  if (!Array.isArray(parsed) || parsed.length !== 2) refuse("it is no record");
  const [key, value] = parsed as [unknown, unknown];
  const isKey = Array.isArray(key) && prefixes.includes(key[0]) &&
    key.every((part) => typeof part === "string" || Number.isSafeInteger(part));
  if (!isKey || typeof value !== "object" || value === null) {
    refuse("it is no record");
  }
  if ((key as KvKey)[0] === "c") {
    const { members, voters } = value as Record<string, object | undefined>;
    for (const id of Object.keys({ ...voters, ...members })) {
      // "1" and "01" would become one member, or one NodeHost two (rule I3).
      if (!isIdKey(id)) refuse(`"${id}" is not a node id`);
    }
  }
  return [key as KvKey, value];
}

function isIdKey(key: string): boolean {
  const id = Number(key);
  return Number.isSafeInteger(id) && id >= 1 && String(id) === key;
}

/** Takes the store for the import: it is empty, or an import into it did not end. */
async function lock(
  access: KvAccess,
  exported: MetaRecord,
  epoch: string,
): Promise<MetaRecord> {
  const entry = await access.get(metaKey);
  const there = entry.value as MetaRecord | null;
  if (there !== null && there.minWriter !== nobody) {
    throw new RaftError(
      "rejected",
      "Cannot import: the store is in use; import into an empty one",
    );
  }
  if (there === null && await holdsRecords(access)) {
    throw new RaftError(
      "rejected",
      "Cannot import: the store holds records of a deployment; import into an empty one",
    );
  }
  const w = access.randomHex(8);
  const meta: MetaRecord = { ...exported, w, epoch, minWriter: nobody };
  const atomic = access.atomic()
    .check({ key: metaKey, versionstamp: entry.versionstamp })
    .set(metaKey, meta);
  if (await access.commit(atomic, metaKey, w)) return meta;
  throw new RaftError("rejected", "Cannot import: the store is in use");
}

async function importRecord(
  access: KvAccess,
  { key, value, epoch, clock }: {
    key: KvKey;
    value: unknown;
    epoch: string;
    clock: ClockRecord | undefined;
  },
): Promise<void> {
  const atomic = access.atomic();
  if (key[0] === "clock") return; // At the end, with the brake.
  if (key[0] === "h") atomic.set(key, importedHost(value));
  else if (key[0] === "c") {
    const clusterId = Number(key[1]);
    const entry = await access.get(clusterKey(clusterId));
    const after = importedCluster(readCluster(value)!);
    const tick = clock?.tick ?? 1;
    const w = access.randomHex(8);
    const before = undefined;
    addCluster(atomic, { clusterId, entry, before, after, epoch, tick, w });
    if (isManaged(after)) {
      atomic.set(attentionKey(clusterId), { v: schemaVersion, w, tick });
    }
  } else {
    atomic.set(key, value, key[0] === "ev" ? { expireIn: eventTtlMs } : {});
  }
  const { ok, failure } = await access.tryCommit(atomic);
  if (!ok && failure !== undefined) throw failure;
}

/** Not heard yet, and whatever it lists next is news. */
function importedHost(value: unknown): HostRecord {
  const { conflict: _, cursor: __, hears: ___, ...all } = readHost(value)!;
  const { posDigest: _1, posSlices: _2, ...host } = all;
  return {
    ...host,
    tick: longAgo,
    digest: "",
    slices: 0,
    logDigest: "",
    logSlices: 0,
    state: host.state === "gone" ? "gone" : "ok",
  };
}

function importedCluster(image: ClusterImage): ClusterImage {
  const { plan: _, step: __, claim: ___, ...rest } = image;
  const isTrusted = !isManaged(image) || image.life === "defined" ||
    image.life === "deleting";
  return {
    ...rest,
    zombies: {},
    confirmedBy: [],
    ...(isTrusted ? {} : { isImported: true }),
  };
}

/** The last commit: from here on masters write. */
async function finish(
  access: KvAccess,
  { meta, clock, hosts }: {
    meta: MetaRecord;
    clock: ClockRecord | undefined;
    hosts: string[];
  },
): Promise<void> {
  const w = access.randomHex(8);
  const tick = clock?.tick ?? 1;
  const brake = { at: tick, why: "the store was imported", hosts };
  const next: ClockRecord = {
    ...clock,
    v: schemaVersion,
    w,
    tick,
    atMs: access.now(),
    busy: false,
    paused: clock?.paused ?? false,
    sweep: 0,
    silent: [],
    brake,
    gen: (clock?.gen ?? 0) + 1,
  };
  const entry = await access.get(metaKey);
  const atomic = access.atomic()
    .check({ key: metaKey, versionstamp: entry.versionstamp })
    .set(metaKey, {
      ...meta,
      w,
      v: schemaVersion,
      schema: schemaVersion,
      minWriter: schemaVersion,
    })
    .set(clockKey, next);
  if (await access.commit(atomic, metaKey, w)) return;
  throw new RaftError(
    "rejected",
    "Cannot import: somebody else writes as well",
  );
}
