/** Reading a log without changing it: for tools that look at a folder whose NodeHost is closed. */
import type { Crc32 } from "../../raft/core/types.ts";
import type { FileSystem } from "../file_system.ts";
import type { NodeLog } from "../log_store.ts";
import { NodeTable } from "./node_table.ts";
import { recover } from "./recovery.ts";
import { SegmentList } from "./segment.ts";

/** A log that is only looked at. */
export interface PeekedLog {
  /** Every node with data, by cluster and node id. */
  readonly nodes: readonly NodeLog[];
  /** Closes its files. */
  close(): void;
}

/**
 * Reads the log in `dir`, which nobody may be writing; a missing folder is an empty log.
 *
 * @throws {RaftError} `corruption`, with path and offset.
 */
export async function peekLog(
  options: { fileSystem: FileSystem; dir: string; crc32: Crc32 },
): Promise<PeekedLog> {
  const { fileSystem, dir, crc32 } = options;
  const segments = new SegmentList();
  const nodes = new NodeTable({ segments, crc32 });
  if (fileSystem.stat(dir) === undefined) return { nodes: [], close() {} };
  try {
    const turn = () => Promise.resolve();
    await recover({
      fileSystem,
      dir,
      crc32,
      segments,
      nodes,
      mends: false,
      yield: turn,
    });
  } catch (error) {
    segments.close();
    throw error;
  }
  return {
    nodes: nodes.all.filter((node) => node.isWritten && node.clusterId > 0),
    close: () => segments.close(),
  };
}
