/** What the tests of the log share: batches, a log on a simulated disk, and what a log holds as plain values. */
import { crc32 } from "../../../storage/deps.ts";
import { sealBatch } from "../../../raft/core/entry_batch.ts";
import { Prng } from "../../../raft/core/prng.ts";
import type { EntryBatch, SnapshotMeta } from "../../../raft/core/types.ts";
import type { FileSystem } from "../../../storage/file_system.ts";
import type { Bootstrap, LogStore } from "../../../storage/log_store.ts";
import { Wal, type WalOptions } from "../../../storage/wal/wal.ts";

export { crc32 };

/** The folder of the log in these tests. */
export const dir = "data/log";

/** A batch whose contents follow from its place. */
export function batch(
  firstIndex: number,
  entryCount = 1,
  term = 1,
  payloadBytes = 20,
): EntryBatch {
  const bytes = new Uint8Array(32 + 5 + payloadBytes);
  for (let i = 32; i < bytes.length; i++) {
    bytes[i] = (firstIndex * 31 + term * 7 + i) & 0xff;
  }
  const isConfigChange = false;
  return sealBatch(
    bytes,
    { term, firstIndex, entryCount, isConfigChange },
    crc32,
  );
}

/** A snapshot record. */
export function snapshot(index: number, term = 1): SnapshotMeta {
  return {
    index,
    term,
    membership: {
      configChangeIndex: 3,
      members: [
        { nodeId: 1, address: "10.0.0.1:7001", nodeHostId: "host-one" },
        { nodeId: 2, address: "10.0.0.2:7001", nodeHostId: "" },
      ],
      observers: [],
      witnesses: [],
      removed: [9],
    },
  };
}

/** A bootstrap record. */
export const bootstrap: Bootstrap = {
  join: false,
  initialMembers: [[1, "10.0.0.1:7001"], [2, "10.0.0.2:7001"]],
  stateMachineName: "kv",
  fingerprint: "00112233aabbccdd",
  generation: 2,
  admitted: true,
  settings: [10, 0.5, 64 * 1024],
};

/** Opens a log on a disk. */
export function openLog(
  fileSystem: FileSystem,
  options: Partial<WalOptions> & { seed?: number } = {},
): Promise<Wal> {
  const prng = new Prng(options.seed ?? 1);
  return Wal.open({
    fileSystem,
    dir,
    segmentBytes: 32 * 1024,
    crc32,
    random: {
      fill(bytes) {
        for (let i = 0; i < bytes.length; i++) bytes[i] = prng.below(256);
      },
    },
    ...options,
  });
}

/** All that a log holds, as plain values that can be compared. */
export function contentsOf(log: LogStore): unknown[] {
  return log.nodes().map(({ clusterId, nodeId }) => {
    const node = log.node(clusterId, nodeId);
    const first = node.firstIndex();
    const last = node.lastIndex();
    const batches: unknown[] = [];
    for (let index = first; index <= last;) {
      const found = node.batchAt(index)!;
      batches.push([
        found.firstIndex,
        found.lastIndex,
        found.term,
        crc32(found.bytes),
      ]);
      index = found.lastIndex + 1;
    }
    return {
      clusterId,
      nodeId,
      hardState: node.hardState(),
      snapshot: node.snapshot(),
      bootstrap: node.bootstrap(),
      peers: node.peers(),
      compacted: [first - 1, node.termOf(first - 1)],
      last,
      batches,
    };
  });
}

/** Bytes of a file on a disk. */
export function readFile(fileSystem: FileSystem, path: string): Uint8Array {
  const file = fileSystem.open(path);
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  return bytes;
}

/** Puts a file on a disk, durably. */
export async function writeFile(
  fileSystem: FileSystem,
  path: string,
  bytes: Uint8Array,
): Promise<void> {
  const file = fileSystem.open(path, { create: true });
  file.truncate(0);
  file.writeAt(bytes, 0);
  await file.sync();
  file.close();
  for (let at = path.lastIndexOf("/"); at > 0;) {
    fileSystem.syncDirectory(path.slice(0, at));
    at = path.lastIndexOf("/", at - 1);
  }
  fileSystem.syncDirectory("/");
}

/** Lets everything that waits for nothing but promises run. */
export async function settle(turns = 50): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await Promise.resolve();
}

/** A disk as one process sees it: once that is dead, what is left of it in this test can do nothing any more. */
export function mortal(
  disk: FileSystem,
): { readonly fileSystem: FileSystem; kill(): void } {
  let isAlive = true;
  const guarded = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, name) {
        const value = Reflect.get(object, name);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          if (!isAlive) throw new Error("the process is dead");
          const result = value.apply(object, args);
          return name === "open" ? guarded(result) : result;
        };
      },
    });
  return { fileSystem: guarded(disk), kill: () => isAlive = false };
}

/** A record of a segment, as a test sees it. */
export interface SeenRecord {
  readonly offset: number;
  readonly end: number;
  readonly kind: number;
  /** Relative to the segment, like the offsets. */
  readonly syncedTo: number;
}

/** Walks an intact segment by the lengths and positions in it alone. */
export function recordsOf(
  bytes: Uint8Array,
): { readonly syncedTo: number; readonly records: SeenRecord[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const integer = (at: number) => Number(view.getBigUint64(at, true));
  const base = integer(32);
  const records: SeenRecord[] = [];
  let offset = 1024;
  while (
    offset + 32 <= bytes.length && integer(offset + 16) === base + offset
  ) {
    const end = offset + 32 + view.getUint32(offset + 8, true);
    const kind = view.getUint32(offset + 12, true);
    const syncedTo = integer(offset + 24) - base;
    records.push({ offset, end, kind, syncedTo });
    offset = end;
  }
  return { syncedTo: integer(64) - base, records };
}
