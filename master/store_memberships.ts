/** How the memberships of a report get into the clusters' records. */
import { RaftError } from "../raft/errors.ts";
import { type ClusterImage, isWanted, reconcile } from "./cluster_image.ts";
import { inParallel, type KvAccess, maxKeysAtOnce } from "./kv_access.ts";
import type { ClusterInfo } from "./protocol.ts";
import { clusterKey, type ClusterRecord, schemaVersion } from "./schema.ts";

const maxAttempts = 16;

/**
 * Takes over the memberships that are told in full, and returns the ids of the clusters whose membership is lacking.
 * Ten clusters share a commit, which on a local disk is one sync.
 *
 * @throws {RaftError} if the store failed; what was written stays, and does no harm.
 */
export async function takeMemberships(
  access: KvAccess,
  clusters: readonly ClusterInfo[],
  nodeHostId: string,
): Promise<number[]> {
  const groups: ClusterInfo[][] = [];
  for (let i = 0; i < clusters.length; i += maxKeysAtOnce) {
    groups.push(clusters.slice(i, i + maxKeysAtOnce));
  }
  const wanted = await inParallel(
    groups,
    (group) => takeGroup(access, group, nodeHostId),
  );
  return wanted.flat();
}

/**
 * One commit, until nothing is left to write. Deciding again from what was read after a commit answers also whether
 * a commit without an answer happened, and a new commit under the checks of that reading fences a late one.
 */
async function takeGroup(
  access: KvAccess,
  group: readonly ClusterInfo[],
  nodeHostId: string,
): Promise<number[]> {
  const keys = group.map((info) => clusterKey(info.clusterId));
  let failure: RaftError | undefined;
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const entries = await access.getMany(keys);
    const records = entries.map((entry) =>
      (entry.value as ClusterRecord | null) ?? undefined
    );
    const atomic = access.atomic();
    let changes = 0;
    group.forEach((info, i) => {
      const image = reconcile(records[i], info, nodeHostId);
      const entry = entries[i];
      if (image === undefined || entry === undefined) return;
      atomic.check({ key: entry.key, versionstamp: entry.versionstamp })
        .set(entry.key, stored(image, access.randomHex(8)));
      changes++;
    });
    if (changes === 0) {
      return group.filter((info, i) => isWanted(records[i], info))
        .map((info) => info.clusterId);
    }
    if (failure !== undefined) throw failure;
    const result = await access.tryCommit(atomic);
    failure = result.failure;
    if (result.ok) {
      return group.filter((info, i) => isWanted(records[i], info))
        .map((info) => info.clusterId);
    }
  }
  throw new RaftError(
    "busy",
    `Cannot store the memberships of ${nodeHostId}: their records changed ${maxAttempts} times meanwhile`,
  );
}

function stored(image: ClusterImage, w: string): ClusterRecord {
  return { ...image, v: schemaVersion, w };
}
