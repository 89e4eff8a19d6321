/** Removing what a NodeHost keeps of a node, for good. */
import type { Engine } from "./engine.ts";
import { RaftError } from "./errors.ts";
import type { Bootstrap, LogStore } from "../storage/log_store.ts";
import type { SnapshotStore } from "../storage/snapshots.ts";

/** All that is kept of a node whose data was removed: that its id must not come back (its votes are forgotten). */
const tombstone: Bootstrap = {
  join: true,
  initialMembers: [],
  stateMachineName: "",
  fingerprint: "",
  generation: 1,
  admitted: false,
  settings: [],
  isRemoved: true,
};

/**
 * Removes a node's log and snapshots. It does not run; whatever it had under way has ended.
 *
 * @throws {RaftError} `clusterNotFound` if there is nothing of it; `failure()` if the log fails.
 */
export async function removeNodeData(
  parts: {
    engine: Engine;
    log: LogStore;
    store: SnapshotStore;
    failure(): RaftError | undefined;
  },
  node: { clusterId: number; nodeId: number },
): Promise<void> {
  const { engine, log, store, failure } = parts;
  const { clusterId, nodeId } = node;
  const before = log.node(clusterId, nodeId).bootstrap();
  if (before === undefined) {
    throw new RaftError(
      "clusterNotFound",
      `Cannot remove the data of node ${nodeId} of cluster ${clusterId}: there is nothing of it here`,
    );
  }
  if (before.isRemoved !== true) {
    await new Promise<void>((resolve, reject) => {
      engine.stageOther({ ...node, remove: true }, true, () => {});
      engine.stageOther(
        { ...node, bootstrap: tombstone },
        true,
        resolve,
        () => reject(failure()),
      );
    });
  }
  // What a crash leaves of them is removed at the next start, since the log knows of no snapshot.
  store.removeNode(clusterId, nodeId);
}
