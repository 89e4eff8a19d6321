/**
 * Looks at a NodeHost's directory without changing anything in it: whose it is, what the log holds for each node, which
 * snapshots there are, and where the first damage is. It reads what recovery would read, and by the same code.
 */
import { crc32 } from "./deps.ts";
import { RaftError } from "./errors.ts";
import { decodeIdentity, maxIdentityBytes } from "./identity_format.ts";
import { DenoFileSystem } from "../storage/deno_file_system.ts";
import type { FileSystem, StoredFile } from "../storage/file_system.ts";
import type { Bootstrap } from "../storage/log_store.ts";
import { SnapshotStore } from "../storage/snapshots.ts";
import { NodeTable } from "../storage/wal/node_table.ts";
import { recover } from "../storage/wal/recovery.ts";
import { SegmentList } from "../storage/wal/segment.ts";

/** How a directory is looked at. */
export interface InspectOptions {
  /** The NodeHost's directory, the `dir` of its configuration. */
  readonly dir: string;
  /** Where it lies; the machine's file system by default. */
  readonly fileSystem?: FileSystem;
  /** Gives the event loop a turn now and then. */
  readonly yield?: () => Promise<void>;
}

/** A file, or a place in one, that does not check, in words. */
export interface DirectoryDamage {
  /** Path and offset are named in it. */
  readonly message: string;
}

/** One segment of the log. */
export interface SegmentReport {
  /** Its file. */
  readonly path: string;
  /** Segments are numbered from 1. */
  readonly number: number;
  /** Log position of its first byte. */
  readonly position: number;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Where its records end, or where reading stopped. */
  readonly end: number;
  /** Bytes of batches in it that a node still needs. */
  readonly liveBytes: number;
}

/** A snapshot's file. */
export interface SnapshotReport {
  /** The last entry that it stands for. */
  readonly index: number;
  /** 0 if it cannot be read. */
  readonly term: number;
  /** Bytes of the file; 0 if it cannot be read. */
  readonly bytes: number;
  /** Whether it is the one that the log names: any other is left from a crash, and goes when the directory is opened. */
  readonly isCurrent: boolean;
  /** What is wrong with it, if anything is. */
  readonly damage: DirectoryDamage | undefined;
}

/** What a directory holds for one node. */
export interface NodeReport {
  /** The cluster. */
  readonly clusterId: number;
  /** The node. */
  readonly nodeId: number;
  /** Term, vote and commit index; undefined before the first was written. */
  readonly hardState:
    | {
      readonly term: number;
      readonly votedFor: number;
      readonly commit: number;
    }
    | undefined;
  /** First index in the log; one more than `lastIndex` if it is empty. */
  readonly firstIndex: number;
  /** Last index, or that of the snapshot. */
  readonly lastIndex: number;
  /** Term of the last index. */
  readonly lastTerm: number;
  /** Batches in the log. */
  readonly batches: number;
  /** Their bytes. */
  readonly batchBytes: number;
  /** The snapshot that the log names, or 0. */
  readonly snapshotIndex: number;
  /** Its files of snapshots. */
  readonly snapshots: readonly SnapshotReport[];
  /** How the node came to be; undefined if it was never started. */
  readonly bootstrap:
    | {
      /** Whether it joined a running cluster. */
      readonly join: boolean;
      /** `[nodeId, address]` in ascending order; empty with `join`. */
      readonly initialMembers: readonly (readonly [number, string])[];
      /** Whether it may vote (rule I2). */
      readonly admitted: boolean;
      /** Raised when the cluster is rebuilt from an exported snapshot (rule I3). */
      readonly generation: number;
      /** The kind of its state machine. */
      readonly machineKind: "regular" | "concurrent" | "onDisk";
      /** Whether its data was removed for good. */
      readonly isRemoved: boolean;
    }
    | undefined;
}

/** What a directory says. */
export interface DirectoryReport {
  /** Whose it is; undefined if no NodeHost ever opened it, or if its identity is damaged. */
  readonly identity: {
    readonly nodeHostId: string;
    readonly incarnation: number;
    readonly deploymentId: bigint;
    readonly raftAddress: string;
  } | undefined;
  /** From the oldest that is needed to the newest. */
  readonly segments: readonly SegmentReport[];
  /** Records of the log that were read. */
  readonly records: number;
  /** Bytes at its end that a crash cut off, which opening removes; no damage. */
  readonly tornBytes: number;
  /** In ascending order of cluster and node id. */
  readonly nodes: readonly NodeReport[];
  /** The first damage of each kind: identity, log, each snapshot. Empty: everything checks. */
  readonly damage: readonly DirectoryDamage[];
}

/**
 * Reads a directory, and changes nothing in it. What stands in the log before its first damage is told all the same. The
 * directory of a NodeHost that runs can be read too: the end of its log may then look torn.
 *
 * @throws {Error} as the file system gives it, if the folder is not there or must not be read.
 */
export async function inspectDirectory(
  options: InspectOptions,
): Promise<DirectoryReport> {
  const { dir } = options;
  const fileSystem = readOnly(options.fileSystem ?? new DenoFileSystem());
  fileSystem.list(dir);
  const damage: DirectoryDamage[] = [];
  const identity = readIdentity(fileSystem, dir, damage);
  const segments = new SegmentList();
  const nodes = new NodeTable({ segments, crc32 });
  let records = 0;
  let tornBytes = 0;
  let isOpen = false; // Of a log that does not check, the files are closed already.
  try {
    const { report } = await recover({
      fileSystem,
      dir: `${dir}/log`,
      crc32,
      segments,
      nodes,
      yield: options.yield ?? (() => Promise.resolve()),
    });
    records = report.recordCount;
    tornBytes = report.tornBytes;
    isOpen = true;
  } catch (error) {
    if (!isMissing(error)) damage.push({ message: damageOf(error) });
  }
  try {
    const store = new SnapshotStore({ fileSystem, dir, crc32 });
    const reports: NodeReport[] = [];
    for (const node of nodes.all) {
      if (!node.isWritten) continue;
      const { clusterId, nodeId, index } = node;
      const snapshotIndex = node.snapshot()?.index ?? 0;
      let batchBytes = 0;
      for (let row = 0; row < index.count; row++) {
        batchBytes += index.lengthOf(row);
      }
      const lastIndex = node.lastIndex();
      const snapshots: SnapshotReport[] = [];
      for (const found of store.indexes(clusterId, nodeId)) {
        const place = { clusterId, nodeId, index: found };
        snapshots.push(await readSnapshot(store, place, snapshotIndex));
      }
      const current = snapshots.find((one) => one.isCurrent);
      if (snapshotIndex > 0 && current === undefined) {
        damage.push({
          message: `snapshot ${snapshotIndex} of cluster ${clusterId}, node ` +
            `${nodeId}, which the log names, is missing`,
        });
      }
      if (current?.damage !== undefined) damage.push(current.damage);
      reports.push({
        clusterId,
        nodeId,
        hardState: node.hardState(),
        firstIndex: node.firstIndex(),
        lastIndex,
        lastTerm: node.termOf(lastIndex) ?? 0,
        batches: index.count,
        batchBytes,
        snapshotIndex,
        snapshots,
        bootstrap: startOf(node.bootstrap()),
      });
    }
    return {
      identity,
      segments: segmentReports(segments),
      records,
      tornBytes,
      nodes: reports,
      damage,
    };
  } finally {
    if (isOpen) segments.close();
  }
}

function startOf(bootstrap: Bootstrap | undefined): NodeReport["bootstrap"] {
  if (bootstrap === undefined) return undefined;
  const { join, initialMembers, admitted, generation } = bootstrap;
  return {
    join,
    initialMembers,
    admitted,
    generation,
    machineKind: bootstrap.machineKind ?? "regular",
    isRemoved: bootstrap.isRemoved === true,
  };
}

function segmentReports(segments: SegmentList): SegmentReport[] {
  const reports: SegmentReport[] = [];
  for (let i = 0; i < segments.count; i++) {
    const { path, number, base, size, end, liveBytes } = segments.at(i);
    reports.push({ path, number, position: base, bytes: size, end, liveBytes });
  }
  return reports;
}

function readIdentity(
  fileSystem: FileSystem,
  dir: string,
  damage: DirectoryDamage[],
): DirectoryReport["identity"] {
  const path = `${dir}/identity`;
  if (fileSystem.stat(path) === undefined) return undefined;
  const file = fileSystem.open(path);
  try {
    const bytes = new Uint8Array(Math.min(file.size(), maxIdentityBytes + 1));
    file.readAt(bytes, 0);
    const { nodeHostId, incarnation, deploymentId, raftAddress } =
      decodeIdentity(bytes, path, crc32);
    return { nodeHostId, incarnation, deploymentId, raftAddress };
  } catch (error) {
    damage.push({ message: damageOf(error) });
    return undefined;
  } finally {
    file.close();
  }
}

/** Reads a snapshot from end to end, so that every checksum in it is looked at. */
async function readSnapshot(
  store: SnapshotStore,
  place: { clusterId: number; nodeId: number; index: number },
  currentIndex: number,
): Promise<SnapshotReport> {
  const { clusterId, nodeId, index } = place;
  const isCurrent = index === currentIndex;
  let term = 0;
  let bytes = 0;
  try {
    const snapshot = store.open(clusterId, nodeId, index);
    try {
      term = snapshot.meta.term;
      bytes = snapshot.fileBytes;
      for await (const _block of snapshot.blocks()) {
        // Each was checked on the way.
      }
    } finally {
      snapshot.close();
    }
    return { index, term, bytes, isCurrent, damage: undefined };
  } catch (error) {
    return {
      index,
      term,
      bytes,
      isCurrent,
      damage: { message: damageOf(error) },
    };
  }
}

function damageOf(error: unknown): string {
  return error instanceof RaftError ? error.message : String(error);
}

function isMissing(error: unknown): boolean {
  return (error as { code?: unknown }).code === "ENOENT";
}

function refuse(): never {
  throw new Error("Cannot change a directory that is only looked at");
}

/** Lets nothing be written, and asks the file system for no right to. */
function readOnly(fileSystem: FileSystem): FileSystem {
  return {
    open: (path): StoredFile => fileSystem.open(path, { readOnly: true }),
    list: (path) => fileSystem.list(path),
    stat: (path) => fileSystem.stat(path),
    makeDirectory: refuse,
    rename: refuse,
    remove: refuse,
    syncDirectory: refuse,
    tryLock: refuse,
  };
}
