/**
 * What NodeHosts say about requests. It is a hint: that something was done is seen in reports of members and nodes. Only
 * what does not show there, and what failed, ends a request.
 */
import { blockingNodeOf } from "../raft/errors.ts";
import { type ClusterImage, withFailure } from "./cluster_image.ts";
import { inParallel } from "./kv_access.ts";
import type { Acknowledgement } from "./protocol.ts";
import { clusterKey, readCluster, type StepKind } from "./schema.ts";
import { addCluster } from "./store_index.ts";
import type { NewsContext } from "./store_memberships.ts";

const maxAttempts = 16;

/**
 * Takes acknowledgements, and returns the clusters of which something changed.
 *
 * @throws {RaftError} if the store failed.
 */
export async function takeAcknowledgements(
  context: NewsContext,
  acknowledgements: readonly Acknowledgement[],
): Promise<number[]> {
  const moved = await inParallel(
    acknowledgements,
    async (one) => await takeOne(context, one) ? [one.clusterId] : [],
  );
  return moved.flat();
}

async function takeOne(
  context: NewsContext,
  acknowledgement: Acknowledgement,
): Promise<boolean> {
  const { access, epoch, tick, hostId } = context;
  const { clusterId } = acknowledgement;
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const entry = await access.get(clusterKey(clusterId));
    const before = readCluster(entry.value);
    if (before === undefined) return false;
    const after = acknowledge(before, acknowledgement, hostId);
    if (after === before) return attempt > 0;
    const atomic = access.atomic();
    const w = access.randomHex(8);
    addCluster(atomic, { clusterId, entry, before, after, epoch, tick, w });
    const { ok, failure } = await access.tryCommit(atomic);
    if (ok) return true;
    if (failure !== undefined && attempt > 0) throw failure;
  }
  return false;
}

/** The record after an acknowledgement; the same if it says nothing new. */
export function acknowledge(
  image: ClusterImage,
  { n, isDone, code, detail }: Acknowledgement,
  hostId: string,
): ClusterImage {
  const { step, ...rest } = image;
  const node = step?.hosts[hostId];
  if (step === undefined || step.n !== n || node === undefined) {
    return isDone ? image : withUnmet(image, detail, hostId);
  }
  if (isDone && step.kind !== "transfer" && image.life !== "deleting") {
    return image; // The effect will show.
  }
  const { [hostId]: _, ...hosts } = step.hosts;
  const isOver = Object.keys(hosts).length === 0;
  const next: ClusterImage = isOver
    ? rest
    : { ...rest, step: { ...step, hosts } };
  if (isDone) {
    return image.life === "deleting" ? withoutMember(next, node) : next;
  }
  return withUnmet(
    failed(next, { node, kind: step.kind, code: code ?? "" }),
    detail,
    hostId,
  );
}

/**
 * That a leader never met a member stays so, and with short periods it is told when the step that asked is over: a leader
 * waits some seconds for the member before it refuses.
 */
function withUnmet(
  image: ClusterImage,
  detail: string | undefined,
  hostId: string,
): ClusterImage {
  const { plan, members } = image;
  const unmet = blockingNodeOf(detail ?? "");
  if (plan?.in === undefined || unmet === undefined) return image;
  if (plan.unmet === unmet || members[unmet] === undefined) return image;
  const isMember = Object.values(members).some(({ host }) => host === hostId);
  return isMember ? { ...image, plan: { ...plan, unmet } } : image;
}

function withoutMember(image: ClusterImage, node: number): ClusterImage {
  const { [node]: _, ...members } = image.members;
  const { [node]: __, ...zombies } = image.zombies;
  return { ...image, members, zombies };
}

/** No data where data should be: the node cannot come back, and is replaced. */
function failed(
  image: ClusterImage,
  { node, kind, code }: { node: number; kind: StepKind; code: string },
): ClusterImage {
  const member = image.members[node];
  const isLost = (kind === "restore" || kind === "join") &&
    ["notBootstrapped", "nodeRemoved", "corruption"].includes(code);
  const members = isLost && member !== undefined
    ? { ...image.members, [node]: { ...member, isLost } }
    : image.members;
  return withFailure({ ...image, members }, kind, [node]);
}
