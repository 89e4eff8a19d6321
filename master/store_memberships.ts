/** How the memberships and nodes of a report get into the clusters' records. */
import { RaftError } from "../raft/errors.ts";
import {
  type ClusterImage,
  isManaged,
  isWanted,
  reconcile,
  type Reporter,
  ruleFor,
  withNode,
} from "./cluster_image.ts";
import {
  type AddedEvent,
  addEvent,
  commitAndTell,
  type EventListener,
} from "./history.ts";
import type { KvEntry } from "./kv.ts";
import { inParallel, type KvAccess, maxKeysAtOnce } from "./kv_access.ts";
import type { ClusterInfo, MasterRequest } from "./protocol.ts";
import {
  type AdoptionRule,
  attentionKey,
  clusterKey,
  readCluster,
  schemaVersion,
  tombKey,
  type TombRecord,
} from "./schema.ts";
import { addCluster } from "./store_index.ts";

const maxAttempts = 16;

/** A cluster that a report says something new about. */
export interface ClusterNews {
  readonly clusterId: number;
  /** What is said of it; `undefined`: the NodeHost lists it no longer. */
  readonly info: ClusterInfo | undefined;
}

/** What {@link takeNews} works with. */
export interface NewsContext extends Reporter {
  readonly access: KvAccess;
  /** The store's. */
  readonly epoch: string;
  /** Hears of events. */
  readonly onEvent: EventListener | undefined;
  /** What is adopted by policy: see {@link AdoptionRule}. */
  readonly rules: readonly AdoptionRule[] | undefined;
}

/** What became of a report's news. */
export interface NewsResult {
  /** Clusters whose membership is lacking. */
  want: number[];
  /** Clusters that are the master's and of which something changed. */
  moved: number[];
  /** What the NodeHost should stop: nodes of clusters that were deleted. */
  kills: MasterRequest[];
}

/**
 * Takes over what a report says of clusters. Ten clusters share a commit, which on a local disk is one sync.
 *
 * @throws {RaftError} if the store failed; what was written stays, and does no harm.
 */
export async function takeNews(
  context: NewsContext,
  news: readonly ClusterNews[],
): Promise<NewsResult> {
  const groups: ClusterNews[][] = [];
  for (let i = 0; i < news.length; i += maxKeysAtOnce) {
    groups.push(news.slice(i, i + maxKeysAtOnce));
  }
  const results = await inParallel(
    groups,
    (group) => takeGroup(context, group),
  );
  return {
    want: results.flatMap((result) => result.want),
    moved: results.flatMap((result) => result.moved),
    kills: results.flatMap((result) => result.kills),
  };
}

/**
 * One commit, until nothing is left to write. Deciding again from what was read after a commit answers also whether
 * a commit without an answer happened, and a new commit under the checks of that reading fences a late one.
 */
async function takeGroup(
  context: NewsContext,
  group: readonly ClusterNews[],
): Promise<NewsResult> {
  const { access } = context;
  const keys = group.map(({ clusterId }) => clusterKey(clusterId));
  const moved = new Set<number>();
  let failure: RaftError | undefined;
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const entries = await access.getMany(keys);
    const records = entries.map((entry) => readCluster(entry.value));
    const kills = await killsOfDeleted(context, group, entries);
    const dead = new Set(kills.map((kill) => kill.clusterId));
    const atomic = access.atomic();
    const events: AddedEvent[] = [];
    let changes = 0;
    group.forEach((one, i) => {
      const before = records[i];
      const entry = entries[i];
      const after = dead.has(one.clusterId)
        ? undefined
        : nextImage(before, one.info, context);
      if (after === undefined || entry === undefined) return;
      const { epoch, tick } = context;
      const { clusterId } = one;
      const w = access.randomHex(8);
      addCluster(atomic, { clusterId, entry, before, after, epoch, tick, w });
      if (after.life === "quarantine" && before?.life !== "quarantine") {
        events.push(addEvent({ access, tick }, atomic, {
          cluster: clusterId,
          host: context.hostId,
          what: "quarantine",
          why: "it tells other members under the same index",
        }));
      }
      if (isManaged(after)) moved.add(clusterId);
      else if (ruleFor(context.rules, after) !== undefined) {
        atomic.set(attentionKey(clusterId), { v: schemaVersion, w, tick });
      }
      changes++;
    });
    const result = { want: wanted(group, records), moved: [...moved], kills };
    if (changes === 0) return result;
    if (failure !== undefined) throw failure;
    const { ok, failure: trouble } = await commitAndTell(
      context,
      atomic,
      events,
    );
    if (ok) return result;
    failure = trouble;
  }
  throw new RaftError(
    "busy",
    `Cannot store the memberships of ${context.hostId}: their records changed ${maxAttempts} times meanwhile`,
  );
}

function nextImage(
  before: ClusterImage | undefined,
  info: ClusterInfo | undefined,
  reporter: Reporter,
): ClusterImage | undefined {
  if (info !== undefined) return reconcile(before, info, reporter);
  if (before === undefined) return undefined;
  const after = withNode(before, undefined, reporter);
  return after === before ? undefined : after;
}

function wanted(
  group: readonly ClusterNews[],
  records: readonly (ClusterImage | undefined)[],
): number[] {
  return group.filter(({ info }, i) =>
    info !== undefined && isWanted(records[i], info)
  ).map(({ clusterId }) => clusterId);
}

/** A node of a deleted cluster: its NodeHost did not hear of the deletion. */
async function killsOfDeleted(
  { access, epoch }: NewsContext,
  group: readonly ClusterNews[],
  entries: readonly KvEntry[],
): Promise<MasterRequest[]> {
  const unknown = group.filter(({ info }, i) =>
    info !== undefined && entries[i]?.value === null
  );
  if (unknown.length === 0) return [];
  const keys = unknown.map(({ clusterId }) => tombKey(clusterId));
  const tombs = await access.getMany(keys);
  return unknown.flatMap(({ clusterId, info }, i) => {
    const tomb = tombs[i]?.value as TombRecord | null;
    if (tomb === null || tomb === undefined || info === undefined) return [];
    const { nodeId } = info;
    const kind = "kill" as const;
    const n = tomb.steps;
    return [
      { epoch, clusterId, n, kind, nodeId, expectedConfigChangeIndex: 0 },
    ];
  });
}
