/** One report, from what is read to the reply (`kv_store.ts` tells the steps). */
import { RaftError } from "../raft/errors.ts";
import { isFull } from "./cluster_image.ts";
import type { KvEntry } from "./kv.ts";
import { isHeld, isTickDue, tickPeriodMs } from "./liveness.ts";
import { nextReportMs, nextTick } from "./pace.ts";
import type {
  HostAddress,
  MasterRequest,
  NodeHostInfo,
  NodeInfo,
  ReportReply,
} from "./protocol.ts";
import { runRound } from "./round.ts";
import { isToGoOn, takePass } from "./round_attention.ts";
import {
  clockKey,
  type ClockRecord,
  hostKey,
  type HostRecord,
  type PassRecord,
  readClock,
  readHost,
  type RequestRecord,
  ttlOf,
} from "./schema.ts";
import { claimAddress } from "./store_address.ts";
import { takeAcknowledgements } from "./store_acknowledgements.ts";
import type { StoreContext } from "./store_context.ts";
import { leftoversToForget } from "./store_leftovers.ts";
import { refuseCopy, watchRival } from "./store_rival.ts";
import {
  changedClusters,
  changeOfLog,
  changeOfNodes,
  changeOfPositions,
  type ClockChange,
  isNewer,
  isSame,
  writeHost,
} from "./store_host.ts";
import {
  type ClusterNews,
  type NewsContext,
  type NewsResult,
  takeNews,
} from "./store_memberships.ts";
import { isSecretOf, type NodeRow, rowsOf } from "./wire/mod.ts";

const maxAttempts = 16;

/** By what a NodeHost proves that it is the one that it says. */
export interface Credentials {
  /** Its secret; the first one that it gives is the one that it has to give from then on. */
  readonly secret?: string | undefined;
  /** Whether it may give a first secret, which is so by default. */
  readonly mayEnrol?: boolean;
  /** It holds the store's own token, and could write anything: its word is enough. */
  readonly isTrusted?: boolean;
}

function requireTrusted(
  hostId: string,
  host: HostRecord | undefined,
  { secret, mayEnrol = true, isTrusted = false }: Credentials,
): void {
  if (host?.revoked === true) {
    throw new RaftError(
      "rejected",
      `Cannot take the report of ${hostId}: an operator revoked it`,
    );
  }
  if (isTrusted || (host?.secretHash === undefined && mayEnrol)) return;
  const known = host?.secretHash;
  if (
    secret !== undefined && known !== undefined && isSecretOf(secret, known)
  ) {
    return;
  }
  throw new RaftError(
    "rejected",
    `Cannot take the report of ${hostId}: its secret is ${
      secret === undefined ? "missing" : "another one"
    }`,
  );
}

/** What was read at the beginning. */
interface Reading {
  readonly clockEntry: KvEntry;
  readonly clock: ClockRecord;
  readonly hostEntry: KvEntry;
  readonly host: HostRecord | undefined;
}

/** What lasts over attempts. */
interface Progress {
  news?: NewsResult;
  acknowledged?: number[];
}

/**
 * Takes a report.
 *
 * @throws {RaftError} `rejected` if the NodeHost is revoked; `busy`, `notReady`, `timeout` if the store failed: the
 * next report makes good.
 */
export async function takeReport(
  context: StoreContext,
  report: { epoch: string; info: NodeHostInfo; credentials: Credentials },
): Promise<ReportReply> {
  const { epoch, info, credentials } = report;
  const w = context.access.randomHex(8);
  const progress: Progress = {};
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const reading = await read(context, info.nodeHostId);
    const { host, clock } = reading;
    requireTrusted(info.nodeHostId, host, credentials);
    const isOwn = host?.w === w;
    if (host !== undefined && !isOwn) {
      await refuseCopy(context, { ...reading, host }, info);
    }
    if (host !== undefined && !isOwn && !isNewer(info, host)) {
      await watchRival(context, { ...reading, host }, info);
      // One that came before, and whose answer was lost, is told again what is to go: this changes nothing.
      const forget = isSame(info, host)
        ? await leftoversToForget(context.access, info, clock)
        : [];
      const rest = { accepted: false, want: [], kills: [], forget };
      return await replyTo(context, { epoch, info, clock, ...rest });
    }
    const written = isOwn ? { clock, isTick: false } : await write(context, {
      epoch,
      info,
      reading,
      progress,
      w,
      credentials,
    });
    if (written === undefined) continue;
    const after = await act(context, { epoch, ...written, progress });
    const isConflict = written.isConflict === true;
    const hasRun = written.isTick || written.pass !== undefined;
    const isSoon = hasRun && isToGoOn(after);
    const forget = isConflict
      ? []
      : await leftoversToForget(context.access, info, after);
    return await replyTo(context, {
      epoch,
      info,
      clock: after,
      accepted: !isConflict,
      want: progress.news?.want ?? [],
      // While that is held the next report is examined as well, and asks once more.
      kills: isHeld(after) ? [] : progress.news?.kills ?? [],
      forget,
      isSoon,
    });
  }
  throw new RaftError(
    "busy",
    `Cannot store the report of ${info.nodeHostId}: its record changed ${maxAttempts} times meanwhile`,
  );
}

async function read(
  { access }: StoreContext,
  hostId: string,
): Promise<Reading> {
  const [clockEntry, hostEntry] = await access.getMany([
    clockKey,
    hostKey(hostId),
  ]) as [KvEntry, KvEntry];
  return {
    clockEntry,
    clock: readClock(clockEntry.value, access.now()),
    hostEntry,
    host: readHost(hostEntry.value),
  };
}

interface Written {
  readonly clock: ClockRecord;
  /** This report made time grow. */
  readonly isTick: boolean;
  /** It goes on with a pass over the to-do list. */
  readonly pass?: PassRecord | undefined;
  /** Version of the clock that it wrote, if known. */
  readonly versionstamp?: string | undefined;
  /** Another NodeHost is at its address. */
  readonly isConflict?: boolean;
}

/** Everything that a report writes; `undefined` if its record changed meanwhile. */
async function write(
  context: StoreContext,
  parts: {
    epoch: string;
    info: NodeHostInfo;
    reading: Reading;
    progress: Progress;
    w: string;
    credentials: Credentials;
  },
): Promise<Written | undefined> {
  const { access, periodMs, limits } = context;
  const { epoch, info, reading, progress, w } = parts;
  const { host, hostEntry: entry } = reading;
  const clock = nextClock(context, reading);
  const { tick } = clock.record;
  const { nodeHostId: hostId, nodeHostAddress: address } = info;
  const claim = await claimAddress(access, {
    hostId,
    address,
    host,
    tick,
    ttl: limits.ttl,
  });
  const { onEvent } = context;
  const rules = clock.record.adopt;
  const news = { access, epoch, tick, hostId, address, onEvent, rules };
  const isConflict = claim.kind === "taken";
  // Whoever is at the address of another one is heard, and not believed.
  const rows = isConflict ? [] : rowsOf(info);
  const nodes = await changeOfNodes(access, rows, hostId, host);
  const log = await changeOfLog(access, info, host);
  const positions = isConflict
    ? undefined
    : await changeOfPositions(access, info, host);
  if (!isConflict) {
    const ttl = limits.ttl;
    await takeClusters(news, { info, rows, host, nodes, progress, ttl });
  }
  const isLacking = (progress.news?.want.length ?? 0) > 0 ||
    (progress.news?.kills.length ?? 0) > 0;
  const { ok, versionstamp } = await writeHost(access, {
    info,
    rows,
    entry,
    clock,
    claim,
    nodes,
    log,
    positions,
    isLacking,
    periodMs,
    ttl: limits.ttl,
    w,
    onEvent,
    secret: parts.credentials.secret,
  });
  if (!ok) return undefined;
  const { isDue, isTick = false, pass } = clock;
  const after = isDue ? { ...clock.record, w } : clock.record;
  return { clock: after, isTick, pass, versionstamp, isConflict };
}

/** Time grows with this report, or begins with it, or stands; and if a round was cut, it may go on. */
function nextClock(
  { access, periodMs: ownPeriodMs, ticks }: StoreContext,
  { clockEntry: entry, clock, host }: Reading,
): ClockChange {
  if (entry.value === null) return { entry, record: clock, isDue: true };
  const nowMs = access.now();
  const periodMs = tickPeriodMs(clock, ownPeriodMs);
  const begun = { tick: clock.tick, atMs: ticks.begunAtMs(clock, nowMs) };
  if (!isTickDue(begun, host?.tick, nowMs, periodMs)) {
    if (!isToGoOn(clock)) return { entry, record: clock, isDue: false };
    return { entry, ...takePass(clock), isDue: true };
  }
  const next = takePass(nextTick(clock, nowMs, { periodMs }));
  return { entry, ...next, isDue: true, isTick: true };
}

async function takeClusters(
  context: NewsContext,
  parts: {
    info: NodeHostInfo;
    rows: readonly NodeRow[];
    host: HostRecord | undefined;
    nodes: Awaited<ReturnType<typeof changeOfNodes>>;
    progress: Progress;
    ttl: number;
  },
): Promise<void> {
  const { info, rows, host, nodes, progress, ttl } = parts;
  const { changed, left } = changedClusters(rows, nodes);
  // What was lacking leaves the digest empty. Whoever was given up tells everything anew, and whoever was silent for so
  // long that it could have been: what was decided without it does not show in its rows.
  const isAll = host !== undefined &&
    (host.digest === "" || host.state !== "ok" ||
      context.tick - host.tick >= ttlOf(host, ttl));
  const news: ClusterNews[] = info.clusterInfoList
    .filter((one) => isAll || isFull(one) || changed.has(one.clusterId))
    .map((one) => ({ clusterId: one.clusterId, info: one }));
  for (const clusterId of left) news.push({ clusterId, info: undefined });
  progress.news ??= await takeNews(context, news);
  const acknowledgements = info.epoch === context.epoch
    ? info.acknowledgements ?? []
    : [];
  progress.acknowledged ??= await takeAcknowledgements(
    context,
    acknowledgements,
  );
}

/**
 * The round, if this report made time grow; else, while something is being done, the next step of what it concerns, and
 * what a round before had no time for.
 */
async function act(
  context: StoreContext,
  parts: Written & { epoch: string; progress: Progress },
): Promise<ClockRecord> {
  const { clock, isTick, pass, versionstamp, epoch, progress } = parts;
  const options = { epoch, clock, pass };
  if (isTick) return await runRound(context, { ...options, versionstamp });
  const moved = [
    ...progress.news?.moved ?? [],
    ...progress.acknowledged ?? [],
  ];
  const isMoved = clock.busy && moved.length > 0;
  if (!isMoved && pass === undefined) return clock;
  return await runRound(context, {
    ...options,
    only: new Set(moved),
    // Whoever goes on with a pass has written the clock.
    versionstamp: pass === undefined ? undefined : versionstamp,
  });
}

async function replyTo(
  context: StoreContext,
  parts: {
    epoch: string;
    info: NodeHostInfo;
    clock: ClockRecord;
    accepted: boolean;
    want: number[];
    kills: MasterRequest[];
    forget?: NodeInfo[];
    isSoon?: boolean;
  },
): Promise<ReportReply> {
  const { epoch, info, clock, accepted, want, kills, forget = [] } = parts;
  const { isSoon = false } = parts;
  const { busy, silent, tick } = clock;
  const requests = busy ? await requestsFor(context, info.nodeHostId) : [];
  const others = silent.filter((id) => id !== info.nodeHostId);
  const addresses = await addressesOf(context, info.seeks);
  return {
    accepted,
    want,
    epoch,
    tick,
    nextReportMs: nextReportMs(clock, context, isSoon),
    ...(requests.length + kills.length > 0
      ? { requests: [...requests, ...kills] }
      : {}),
    ...(others.length > 0 ? { silent: others } : {}),
    ...(addresses.length > 0 ? { addresses } : {}),
    ...(forget.length > 0 ? { forget } : {}),
  };
}

/** Where NodeHosts are that the reporting one cannot reach: a read unit for each, while it cannot. */
async function addressesOf(
  { access }: StoreContext,
  sought: readonly string[] = [],
): Promise<HostAddress[]> {
  if (sought.length === 0) return [];
  const entries = await access.getMany(sought.map(hostKey));
  return entries.flatMap(({ value }, i) => {
    const host = readHost(value);
    // Whom the masters do not believe, or no longer, is nowhere.
    const isBelieved = host !== undefined && host.state !== "gone" &&
      host.revoked !== true && host.conflict === undefined && host.boot > 0;
    if (!isBelieved) return [];
    const { addr: nodeHostAddress, boot } = host;
    return [{ nodeHostId: sought[i]!, nodeHostAddress, boot }];
  });
}

/** What the NodeHost is asked to do. */
async function requestsFor(
  { access }: StoreContext,
  hostId: string,
): Promise<MasterRequest[]> {
  const entries = await access.listNow({ prefix: ["q", hostId] }, 1_000);
  return entries.map(({ key, value }) => {
    const { v: _, w: __, expectCci, ...request } = value as RequestRecord;
    const clusterId = Number(key[2]);
    return { ...request, clusterId, expectedConfigChangeIndex: expectCci };
  });
}
