/** How reports move what the master knows of a cluster. Pure: a record and a report in, a record out. */
import type { ClusterInfo } from "./protocol.ts";
import type { ClusterRecord } from "./schema.ts";

/** A cluster's record without what the writer of it adds. */
export type ClusterImage = Omit<ClusterRecord, "v" | "w">;

/** Whether a report tells a membership that `record` may have to take over. */
export function isFull(info: ClusterInfo): boolean {
  return !info.pending && !info.incomplete;
}

/**
 * The record after a report, or `undefined` if the report changes nothing. A membership is taken over only from a
 * member of it, and only with a higher index. Another set of members under the same index cannot be: the cluster
 * goes into quarantine.
 */
export function reconcile(
  record: ClusterImage | undefined,
  info: ClusterInfo,
  nodeHostId: string,
): ClusterImage | undefined {
  if (!isFull(info) || info.nodes[info.nodeId] === undefined) return undefined;
  const reported = {
    cci: info.configChangeIndex,
    voters: info.nodes,
    confirmedBy: [nodeHostId],
  };
  if (record === undefined) return { life: "unmanaged", ...reported };
  if (info.configChangeIndex > record.cci) return { ...record, ...reported };
  if (info.configChangeIndex < record.cci) return undefined; // Old news.
  if (hasSameKeys(record.voters, info.nodes) || record.life === "quarantine") {
    return undefined;
  }
  return { ...record, life: "quarantine" };
}

/** Whether the master lacks a membership that the reporter knows. */
export function isWanted(
  record: ClusterImage | undefined,
  info: ClusterInfo,
): boolean {
  return info.incomplete && !info.pending &&
    (record === undefined || record.cci < info.configChangeIndex);
}

function hasSameKeys(a: object, b: object): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key));
}
