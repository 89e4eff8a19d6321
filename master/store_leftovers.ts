/**
 * What is left of nodes that were removed while their NodeHosts were away, or that stopped because they were removed: it
 * takes space, and nobody needs it. NodeHosts tell which nodes they have data of that do not run; the reply says which of
 * these may go (M9). Whether a node was removed never changes back, so there is no step and nothing is written: it is
 * told again until the data is gone.
 */
import { type ClusterImage, isConfirmed } from "./cluster_image.ts";
import { type KvAccess, maxKeysAtOnce } from "./kv_access.ts";
import { isHeld } from "./liveness.ts";
import type { NodeHostInfo, NodeInfo } from "./protocol.ts";
import {
  type ClockRecord,
  clusterKey,
  readCluster,
  tombKey,
} from "./schema.ts";

/** So many are looked at in one report; clients tell others in the next. */
export const leftoversMax = 50;

/** Those of a report's leftovers whose data may go. While nothing is to be removed, none. */
export async function leftoversToForget(
  access: KvAccess,
  { leftovers = [] }: NodeHostInfo,
  clock: ClockRecord,
): Promise<NodeInfo[]> {
  if (isHeld(clock)) return [];
  const forget: NodeInfo[] = [];
  for (let i = 0; i < leftoversMax; i += maxKeysAtOnce) {
    const some = leftovers.slice(i, Math.min(i + maxKeysAtOnce, leftoversMax));
    if (some.length === 0) break;
    forget.push(...await forgettable(access, some));
  }
  return forget;
}

async function forgettable(
  access: KvAccess,
  nodes: readonly NodeInfo[],
): Promise<NodeInfo[]> {
  const entries = await access.getMany(
    nodes.map(({ clusterId }) => clusterKey(clusterId)),
  );
  const images = entries.map(({ value }) => readCluster(value));
  const unknown = nodes.filter((_, i) => images[i] === undefined);
  const tombs = unknown.length === 0 ? [] : await access.getMany(
    unknown.map(({ clusterId }) => tombKey(clusterId)),
  );
  const deleted = new Set(
    unknown.filter((_, i) => tombs[i]?.value !== null),
  );
  return nodes.filter((node, i) => {
    const image = images[i];
    return image === undefined ? deleted.has(node) : isGone(image, node.nodeId);
  });
}

/** As for zombies: a former member that a membership lacks which a majority confirmed. */
function isGone(image: ClusterImage, node: number): boolean {
  if (image.life !== "ok" || image.isPaused === true) return false;
  if (image.isImported === true || image.plan?.in === node) return false;
  const wasMember = image.gone.includes(node) ||
    image.condemned?.includes(node) === true;
  return wasMember && image.members[node] === undefined && isConfirmed(image);
}
