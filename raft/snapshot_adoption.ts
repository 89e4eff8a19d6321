/**
 * After damage in the log: the record of a node's latest snapshot may be what was damaged, while the snapshot's file is
 * whole and the one before it was removed. The file says itself where it stands, and a snapshot is of what is committed,
 * so it is recorded again (rule L7).
 */
import type { SnapshotMeta } from "./core/types.ts";
import type { NodeLog } from "../storage/log_store.ts";
import type { SnapshotStore } from "../storage/snapshots.ts";
import type { Wal } from "../storage/wal/wal.ts";

/**
 * Records, for each node, the latest snapshot that checks in whole and that its log holds the place of.
 *
 * @throws {RaftError} `diskFailed`, `diskFull`
 */
export async function adoptSnapshots(
  wal: Wal,
  store: SnapshotStore,
): Promise<void> {
  for (const { clusterId, nodeId } of wal.nodes()) {
    const log = wal.node(clusterId, nodeId);
    if (log.damage()?.kind === "lost") continue;
    const snapshot = await latestOf(log, store);
    if (snapshot === undefined) continue;
    await wal.commitGroup([{ clusterId, nodeId, snapshot }], { sync: true });
  }
}

/** The latest snapshot behind the recorded one; undefined if there is none. */
async function latestOf(
  log: NodeLog,
  store: SnapshotStore,
): Promise<SnapshotMeta | undefined> {
  const { clusterId, nodeId } = log;
  const recorded = log.snapshot()?.index ?? 0;
  for (const index of store.indexes(clusterId, nodeId).toReversed()) {
    if (index <= recorded) return undefined;
    const term = log.termOf(index);
    if (term === undefined) continue; // The log would have to be emptied for it, and may hold what was acknowledged.
    const meta = await checked(store, { clusterId, nodeId, index });
    if (meta?.term === term) return meta;
  }
  return undefined;
}

async function checked(
  store: SnapshotStore,
  { clusterId, nodeId, index }: {
    clusterId: number;
    nodeId: number;
    index: number;
  },
): Promise<SnapshotMeta | undefined> {
  try {
    const file = store.open(clusterId, nodeId, index);
    try {
      for await (const block of file.blocks()) file.unpack(block);
      return file.meta;
    } finally {
      file.close();
    }
  } catch {
    return undefined; // Damaged too, or never finished.
  }
}
