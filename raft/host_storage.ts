/** Opens what a NodeHost keeps on disk: the log of all nodes, and their snapshots. */
import { crc32 } from "./deps.ts";
import { RaftError } from "./errors.ts";
import type { Logger, Ports } from "./ports.ts";
import { zlibCompression } from "./compression.ts";
import type { DamagedNode } from "./mending.ts";
import { adoptSnapshots } from "./snapshot_adoption.ts";
import { SnapshotStore } from "../storage/snapshots.ts";
import { Wal } from "../storage/wal/wal.ts";

/** What was opened. */
export interface HostStorage {
  /** The log. */
  readonly wal: Wal;
  /** The snapshots. */
  readonly snapshots: SnapshotStore;
}

/**
 * Opens log and snapshots in a folder, tells of a torn tail, and removes what a crash left of snapshots. `onWal` is
 * called as soon as the log is open, so that it is closed if the rest fails.
 *
 * @throws {RaftError} `corruption`, `diskFailed`, `diskFull`.
 */
export async function openStorage(
  options: {
    ports: Ports;
    dir: string;
    segmentBytes: number;
    onDamage: "refuse" | "mend";
    logger: Logger;
  },
  onWal: (wal: Wal) => void,
): Promise<HostStorage> {
  const { ports, dir, segmentBytes, onDamage, logger } = options;
  const { fileSystem, clock, random } = ports;
  const giveTurn = () => new Promise<void>((resolve) => clock.defer(resolve));
  const wal = await Wal.open({
    fileSystem,
    dir: `${dir}/log`,
    segmentBytes,
    crc32,
    random,
    logger,
    onDamage,
    yield: giveTurn,
  }).catch((error) => {
    throw withAdvice(error, onDamage);
  });
  onWal(wal);
  for (const found of wal.recovery.damage) {
    logger.error("the log is damaged", { ...found });
  }
  for (const { clusterId, nodeId, state, reason } of damagedNodes(wal)) {
    logger.error(
      state === "lost"
        ? "a node is lost: replace it by one with a new id"
        : "a node must fetch entries from others before it starts",
      { clusterId, nodeId, reason },
    );
  }
  const { tornAt, tornBytes } = wal.recovery;
  if (tornAt !== undefined) {
    logger.warn("a torn tail of the log was cut off", {
      path: tornAt.path,
      offset: tornAt.offset,
      bytes: tornBytes,
    });
  }
  const snapshots = new SnapshotStore({
    fileSystem,
    dir,
    crc32,
    compression: ports.compression ?? zlibCompression,
    yield: giveTurn,
  });
  if (wal.recovery.damage.length > 0) await adoptSnapshots(wal, snapshots);
  const kept = new Map<string, number | undefined>(
    wal.nodes().map(({ clusterId, nodeId }) => [
      `${clusterId}-${nodeId}`,
      wal.node(clusterId, nodeId).snapshot()?.index,
    ]),
  );
  snapshots.cleanUp((clusterId, nodeId) => kept.get(`${clusterId}-${nodeId}`));
  return { wal, snapshots };
}

/** Whoever meets damage for the first time need not know what can be done about it. */
function withAdvice(error: unknown, onDamage: "refuse" | "mend"): unknown {
  const isDamage = error instanceof RaftError && error.code === "corruption" &&
    /^Cannot open the log: .* is damaged at offset \d+/.test(error.message);
  if (!isDamage || onDamage === "mend") return error;
  return new RaftError(
    "corruption",
    `${error.message}; if the disk cannot be made to read it, onDamage: "mend" opens the log, and fetches from other ` +
      "members what they have",
    { cause: error },
  );
}

/** The nodes that damage took something from, by cluster id. */
export function damagedNodes(wal: Wal): DamagedNode[] {
  return wal.damagedNodes().map(({ clusterId, nodeId }) => {
    const { kind, ...found } = wal.node(clusterId, nodeId).damage()!;
    const state = kind === "lost" ? "lost" : "mending";
    return { clusterId, nodeId, state, ...found };
  });
}
