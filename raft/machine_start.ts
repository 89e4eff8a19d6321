/** Brings a state machine to where the log says that it was: from a snapshot, or from its own disk. */
import type { NodeLog } from "../storage/log_store.ts";
import type { SnapshotFile } from "../storage/snapshot_reader.ts";
import type { SnapshotStore } from "../storage/snapshots.ts";
import { RaftError } from "./errors.ts";
import { readSessions } from "./session_snapshot.ts";
import { SessionTable } from "./sessions.ts";
import {
  type AnyStateMachine,
  kindOf,
  type OnDiskStateMachine,
} from "./state_machine.ts";

/** A node whose state machine is to be restored. */
export interface MachineOfNode {
  readonly nodeId: number;
  readonly machine: AnyStateMachine;
  readonly store: SnapshotStore;
  /** Of the cluster (rule I3). */
  readonly generation: number;
  /** A witness has nothing to restore, and no snapshot files (rule C9). */
  readonly isWitness?: boolean;
}

/**
 * Restores a state machine that was just made. Returns the clients' sessions, and the index up to which it holds entries already: for one on disk
 * that may be more than the log's snapshot.
 *
 * @throws {RaftError} `corruption` if a state machine on disk lost entries that the log no longer has, or has more than
 * the log; if the snapshot is damaged. Whatever the state machine throws.
 */
export async function startMachine(
  node: MachineOfNode,
  log: NodeLog,
): Promise<{ opened: number; sessions: SessionTable }> {
  const { machine, store, nodeId } = node;
  const { clusterId } = log;
  const meta = log.snapshot();
  const opened = machine.kind === "onDisk"
    ? await openMachine(machine, log)
    : 0;
  const nothing = { opened, sessions: new SessionTable() };
  if (node.isWitness === true) return nothing;
  if (meta === undefined) {
    checkNotAhead(log, opened);
    return nothing;
  }
  const file = store.open(clusterId, nodeId, meta.index);
  try {
    const { isDummy, isImported, machineIndex } = file.traits;
    // What an import replaces may be ahead, of a history that is given up.
    if (!isImported) checkNotAhead(log, opened);
    // Behind the last entry that it was given, a state machine on disk need not have any.
    const isNeeded = machine.kind !== "onDisk" || isImported ||
      opened < (isDummy ? machineIndex : meta.index);
    if (!isNeeded) return nothing;
    if (isDummy && machine.kind === "onDisk") {
      throw lostState(log, opened, machineIndex);
    }
    const sessions = await recoverMachine(node, file);
    return { opened: meta.index, sessions };
  } finally {
    file.close();
  }
}

/**
 * Restores a state machine from a snapshot. One on disk makes that durable, and then keeps it: the snapshot is replaced
 * by one without state. Returns the clients' sessions.
 *
 * @throws {RaftError} `rejected` if the snapshot is of a state machine of another kind; `corruption`; `diskFull`.
 */
export async function recoverMachine(
  node: MachineOfNode,
  file: SnapshotFile,
): Promise<SessionTable> {
  const { machine, store, nodeId } = node;
  const { clusterId, meta, traits } = file;
  const kind = kindOf(machine);
  if (traits.kind !== kind || traits.isDummy) {
    throw new RaftError(
      "rejected",
      `Cannot restore cluster ${clusterId} from snapshot ${meta.index}: ` +
        (traits.isDummy
          ? "it holds no state"
          : `a state machine of kind "${traits.kind}" wrote it, and this one is "${kind}"; all members need the same`),
    );
  }
  const hasFiles = file.hasFiles();
  const files = hasFiles ? await store.extractFiles(file, nodeId) : [];
  const { index, term } = meta;
  await machine.recoverFromSnapshot(file.body(), { index, term, files });
  if (hasFiles) store.removeFiles(clusterId, nodeId, index);
  if (machine.kind !== "onDisk") {
    return await readSessions(file, node.generation);
  }
  await machine.sync();
  await store.shrink(clusterId, nodeId, meta, traits);
  return new SessionTable();
}

async function openMachine(
  machine: OnDiskStateMachine,
  log: NodeLog,
): Promise<number> {
  const { clusterId } = log;
  const opened: unknown = await machine.open();
  if (!Number.isSafeInteger(opened) || (opened as number) < 0) {
    throw new TypeError(
      `Cannot use stateMachine of cluster ${clusterId}: open returned ${
        String(opened)
      }, not the index of the last entry applied`,
    );
  }
  return opened as number;
}

/** A node applies only what is durable in its own log (rule C3), so no state machine of its own can be ahead of it. */
function checkNotAhead(log: NodeLog, opened: number): void {
  if (opened <= log.lastIndex()) return;
  const { clusterId, nodeId } = log;
  throw new RaftError(
    "corruption",
    `Cannot start node ${nodeId} of cluster ${clusterId}: its state machine has applied index ${opened}, and its log ` +
      `ends at ${log.lastIndex()}: one of them belongs to another node, or the log was lost; remove the node and add ` +
      `a new id with an empty state machine`,
  );
}

function lostState(
  log: NodeLog,
  opened: number,
  machineIndex: number,
): RaftError {
  const { clusterId, nodeId } = log;
  return new RaftError(
    "corruption",
    `Cannot start node ${nodeId} of cluster ${clusterId}: its state machine has applied index ${opened}, and had made ` +
      `index ${machineIndex} durable, which the log no longer has: its files were lost, or are old; bring them back, ` +
      `or remove the node and add a new id`,
  );
}
