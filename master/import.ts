/**
 * Fills an empty store from the lines of an export (`export.ts`, M11).
 *
 * A store that was imported has another epoch, so NodeHosts do nothing that the old one asked for; its brake is on; and
 * nothing is decided about a cluster before a majority of its members reported.
 *
 * The record of the store is its lock: while it says that nobody may write, masters do not, and every commit here checks
 * that it is still the one of this import. One that was cut off is begun again by the next, which first takes away what
 * it left; should the first one still be running, its next commit fails.
 */
import { RaftError } from "../raft/errors.ts";
import { type ClusterImage, isManaged } from "./cluster_image.ts";
import { exportedPrefixes, formatName, formatVersion } from "./export.ts";
import { addEvent } from "./history.ts";
import { checkRecord } from "./import_check.ts";
import type { KvKey } from "./kv.ts";
import { inParallel, type KvAccess } from "./kv_access.ts";
import {
  attentionKey,
  clockKey,
  type ClockRecord,
  clusterKey,
  eventTtlMs,
  type HostRecord,
  type MemberRecord,
  metaKey,
  type MetaRecord,
  readCluster,
  readHost,
  schemaVersion,
} from "./schema.ts";
import { addCluster } from "./store_index.ts";
import { holdsRecords } from "./store_sentinel.ts";

/** No master has this schema: while a store holds it, nobody writes. */
const nobody = Number.MAX_SAFE_INTEGER;

/** A tick that is long ago. */
const longAgo = -1_000_000;

/** So often a record is written before the import fails: a store far away fails now and then, and it has many. */
const attemptsMax = 5;

/** Records that are on their way at once. */
const lanes = 8;
const recordsAtOnce = 64;

/** All that an unfinished import can have left. */
const writtenPrefixes = ["clock", "h", "addr", "c", "m", "att", "tomb", "ev"];

const inUse = "Cannot import: the store is in use; import into an empty one";
const isAnothers =
  "Cannot import: another import, or a master, writes to the store as well";

/** What an import brought. */
export interface ImportResult {
  /** Clusters. */
  clusters: number;
  /** NodeHosts. */
  nodeHosts: number;
  /** The new epoch. */
  epoch: string;
  /** The deployment, which is the exported one. */
  deploymentId: bigint;
}

/** How to import. */
export interface ImportOptions {
  /** Reads everything, judges it, and writes nothing. */
  readonly isDryRun?: boolean;
  /** The operator, for the history. */
  readonly who?: string;
}

/** One line. */
interface Line {
  readonly key: KvKey;
  readonly value: unknown;
}

/** The record of the store while it is this import's. */
interface Lock {
  readonly meta: MetaRecord;
  readonly versionstamp: string | null;
}

/** What is known so far. */
interface Import {
  readonly access: KvAccess;
  readonly options: ImportOptions;
  readonly epoch: string;
  lock: Lock | undefined;
  clock: ClockRecord | undefined;
}

/**
 * Fills an empty store. Until it is done no master writes to it; a failed import is repeated from its beginning.
 *
 * @throws {RangeError} if the lines are no export, or of a version that is not known.
 * @throws {RaftError} `rejected` if the store is in use, or somebody else writes to it; others if it failed.
 */
export async function importLines(
  access: KvAccess,
  lines: AsyncIterable<string> | Iterable<string>,
  options: ImportOptions = {},
): Promise<ImportResult> {
  const epoch = access.randomHex(8);
  const work: Import = {
    access,
    options,
    epoch,
    lock: undefined,
    clock: undefined,
  };
  const hosts: string[] = [];
  let clusters = 0;
  let waiting: Line[] = [];
  let number = 0;
  for await (const text of lines) {
    number++;
    if (number === 1) {
      readHead(text);
      continue;
    }
    if (text.trim() === "") continue;
    const line = readLine(text, number);
    const { key, value } = line;
    if (key[0] === "meta") {
      if (work.lock !== undefined) refuse(number, "it is there twice");
      work.lock = await lock(work, value as MetaRecord);
      continue;
    }
    if (work.lock === undefined) {
      throw new RangeError("Cannot import: the line of the store is missing");
    }
    if (key[0] === "clock") work.clock = value as ClockRecord;
    if (key[0] === "h") hosts.push(String(key[1]));
    if (key[0] === "c") clusters++;
    waiting.push(line);
    if (waiting.length < recordsAtOnce) continue;
    await write(work, waiting);
    waiting = [];
  }
  if (work.lock === undefined) {
    throw new RangeError("Cannot import: it is empty");
  }
  await write(work, waiting);
  const { deploymentId } = work.lock.meta;
  await finish(work, work.lock, hosts);
  return { clusters, nodeHosts: hosts.length, epoch, deploymentId };
}

// ---- Lines ----

function refuse(number: number, why: string): never {
  throw new RangeError(`Cannot import line ${number}: ${why}`);
}

function parse(text: string, number: number): unknown {
  try {
    return fromJson(JSON.parse(text));
  } catch {
    return refuse(number, "it is not JSON");
  }
}

function fromJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value !== "object" || value === null) return value;
  const { $bigint, $bytes } = value as Record<string, unknown>;
  if (typeof $bigint === "string") {
    if (!/^[0-9]{1,20}$/.test($bigint)) throw new RangeError("no integer");
    return BigInt($bigint);
  }
  if (typeof $bytes === "string") {
    return Uint8Array.from(atob($bytes), (one) => one.charCodeAt(0));
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, fromJson(one)]),
  );
}

function readHead(text: string): void {
  const { format, version } = (parse(text, 1) ?? {}) as Record<string, unknown>;
  if (format !== formatName) refuse(1, "it is not an export of a master");
  if (version !== formatVersion) refuse(1, `its version is ${version}`);
}

function readLine(text: string, number: number): Line {
  const parsed = parse(text, number);
  if (!Array.isArray(parsed) || parsed.length !== 2) {
    refuse(number, "it is no record");
  }
  const [key, value] = parsed as [unknown, unknown];
  const why = checkRecord(key, value, exportedPrefixes);
  if (why !== undefined) refuse(number, why);
  return { key: key as KvKey, value };
}

// ---- The store ----

/** Takes the store for the import: it is empty, or an import into it did not end. */
async function lock(
  { access, options, epoch }: Import,
  exported: MetaRecord,
): Promise<Lock> {
  const entry = await access.get(metaKey);
  const there = entry.value as MetaRecord | null;
  if (there !== null && there.minWriter !== nobody) {
    throw new RaftError("rejected", inUse);
  }
  if (there === null && await holdsRecords(access)) {
    throw new RaftError(
      "rejected",
      "Cannot import: the store holds records of a deployment; import into an empty one",
    );
  }
  const w = access.randomHex(8);
  const meta: MetaRecord = { ...exported, w, epoch, minWriter: nobody };
  if (options.isDryRun === true) return { meta, versionstamp: null };
  const atomic = access.atomic()
    .check({ key: metaKey, versionstamp: entry.versionstamp })
    .set(metaKey, meta);
  if (!await access.commit(atomic, metaKey, w)) {
    throw new RaftError("rejected", isAnothers);
  }
  const held = await access.get(metaKey);
  if ((held.value as MetaRecord | null)?.w !== w) {
    throw new RaftError("rejected", isAnothers);
  }
  const taken = { meta, versionstamp: held.versionstamp };
  if (there !== null) await clear(access, taken);
  return taken;
}

/** Takes away what an import left that did not end: it may have been one of another export. */
async function clear(
  access: KvAccess,
  { versionstamp }: Lock,
): Promise<void> {
  for (const prefix of writtenPrefixes) {
    const found = [
      [prefix],
      ...(await access.listNow({ prefix: [prefix] })).map(({ key }) => key),
    ];
    for (let at = 0; at < found.length; at += recordsAtOnce) {
      const atomic = access.atomic().check({ key: metaKey, versionstamp });
      for (const key of found.slice(at, at + recordsAtOnce)) atomic.delete(key);
      const { ok, failure } = await access.tryCommit(atomic);
      if (!ok) throw failure ?? new RaftError("rejected", isAnothers);
    }
  }
}

async function write(work: Import, lines: readonly Line[]): Promise<void> {
  if (work.options.isDryRun === true) return;
  // No lane goes on behind the back of one that failed.
  const failures = await inParallel(lines, async (line) => {
    try {
      await writeRecord(work, line);
    } catch (error) {
      return error;
    }
    return undefined;
  }, lanes);
  const failure = failures.find((one) => one !== undefined);
  if (failure !== undefined) throw failure;
}

async function writeRecord(
  { access, lock, clock, epoch }: Import,
  { key, value }: Line,
): Promise<void> {
  if (key[0] === "clock") return; // At the end, with the brake.
  const { versionstamp } = lock!;
  const w = access.randomHex(8);
  const atomic = access.atomic().check({ key: metaKey, versionstamp });
  if (key[0] === "h") atomic.set(key, { ...importedHost(value), w });
  else if (key[0] === "c") {
    const clusterId = Number(key[1]);
    const entry = {
      key: clusterKey(clusterId),
      value: null,
      versionstamp: null,
    };
    const after = importedCluster(readCluster(value)!);
    const tick = clock?.tick ?? 1;
    const before = undefined;
    addCluster(atomic, { clusterId, entry, before, after, epoch, tick, w });
    if (isManaged(after)) {
      atomic.set(attentionKey(clusterId), { v: schemaVersion, w, tick });
    }
  } else {
    const options = key[0] === "ev" ? { expireIn: eventTtlMs } : {};
    atomic.set(key, { ...value as object, w }, options);
  }
  for (let attempt = 1;; attempt++) {
    try {
      if (await access.commit(atomic, key, w)) return;
    } catch (error) {
      // The same commit once more does what the first one did, if it did, and many records fit between two failures.
      if (attempt < attemptsMax) continue;
      throw error;
    }
    throw new RaftError("rejected", isAnothers);
  }
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
    members: Object.fromEntries(
      Object.entries(image.members).map(([id, one]) => [id, unseen(one)]),
    ),
    zombies: {},
    confirmedBy: [],
    ...(isTrusted ? {} : { isImported: true }),
  };
}

/** Whether it runs is told by its NodeHost from now on: since the copy it may have ended, or been removed. */
function unseen(member: MemberRecord): MemberRecord {
  const { since: _, missingSince: __, starts: ___, isReady: ____, ...rest } =
    member;
  return rest;
}

/** The last commit: from here on masters write. */
async function finish(
  { access, options, clock }: Import,
  { meta, versionstamp }: Lock,
  hosts: string[],
): Promise<void> {
  if (options.isDryRun === true) return;
  const w = access.randomHex(8);
  const tick = clock?.tick ?? 1;
  const why = "the store was imported";
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
    brake: { at: tick, why, hosts },
    gen: (clock?.gen ?? 0) + 1,
  };
  delete next.pass;
  const atomic = access.atomic()
    .check({ key: metaKey, versionstamp })
    .set(metaKey, {
      ...meta,
      w,
      v: schemaVersion,
      schema: schemaVersion,
      minWriter: schemaVersion,
    })
    .set(clockKey, next);
  const { who } = options;
  addEvent({ access, tick }, atomic, {
    what: "imported",
    why,
    ...(who === undefined ? {} : { who }),
  });
  if (await access.commit(atomic, metaKey, w)) return;
  throw new RaftError("rejected", isAnothers);
}
