/** Whole logs with damage in them, or with records that check and say what cannot be. */
import { RaftError } from "../../raft/errors.ts";
import { sealBatch } from "../../raft/core/entry_batch.ts";
import type { Crc32, EntryBatch } from "../../raft/core/types.ts";
import type { NodeWrite } from "../../storage/log_store.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import {
  batch,
  bootstrap,
  contentsOf,
  crc32 as realCrc32,
  dir,
  openLog,
  readFile,
  settle,
  snapshot,
  writeFile,
} from "../storage/wal/fixture.ts";
import { assert, fc } from "../deps.ts";
import { mutate, type Mutation, mutation } from "./target.ts";

const anyCrc32: Crc32 = () => 0;
const segmentBytes = 4096;

const groups: readonly (readonly NodeWrite[])[] = [
  [{ clusterId: 1, nodeId: 1, bootstrap, batches: [batch(1)] }],
  [
    { clusterId: 1, nodeId: 1, batches: [batch(2, 3), batch(5)] },
    {
      clusterId: 2,
      nodeId: 4,
      hardState: { term: 1, votedFor: 4, commit: 0 },
      batches: [batch(1, 2, 1, 600)],
    },
  ],
  [{ clusterId: 1, nodeId: 1, snapshot: snapshot(4), compactTo: 4 }],
  [{ clusterId: 2, nodeId: 4, batches: [batch(1, 5, 2), batch(6, 1, 2)] }],
  [{ clusterId: 3, nodeId: 1, snapshot: snapshot(50, 2) }, {
    clusterId: 2,
    nodeId: 4,
    remove: true,
  }],
  [{ clusterId: 3, nodeId: 1, batches: [batch(51, 2, 2, 900)] }],
  [{ clusterId: 3, nodeId: 1, batches: [batch(53, 1, 2, 1500)] }],
  [{ clusterId: 1, nodeId: 1, batches: [batch(6, 2, 2, 1500)] }],
];

async function filesOf(crc32: Crc32): Promise<Map<string, Uint8Array>> {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes, crc32 });
  for (const group of groups) {
    const sealed = group.map((write) => ({
      ...write,
      batches: (write.batches ?? []).map((one) => reseal(one, crc32)),
    }));
    await log.commitGroup(sealed, { sync: true });
  }
  await settle();
  const files = new Map(
    disk.list(dir).map((name) => [name, readFile(disk, `${dir}/${name}`)]),
  );
  await log.close();
  return files;
}

function reseal(one: EntryBatch, crc32: Crc32): EntryBatch {
  const { term, firstIndex, lastIndex, isConfigChange } = one;
  const entryCount = lastIndex - firstIndex + 1;
  const seal = { term, firstIndex, entryCount, isConfigChange };
  return sealBatch(one.bytes.slice(), seal, crc32);
}

/** Where something stands: zeros behind the last record would take most of the changes. */
function usedBytes(bytes: Uint8Array): number {
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
}

async function tryOpen(
  files: ReadonlyMap<string, Uint8Array>,
  crc32: Crc32,
): Promise<void> {
  const disk = new MemoryFileSystem();
  for (const [name, bytes] of files) {
    await writeFile(disk, `${dir}/${name}`, bytes);
  }
  try {
    const log = await openLog(disk, { segmentBytes, crc32 });
    contentsOf(log);
    await log.close();
  } catch (error) {
    if (error instanceof RaftError && error.code === "corruption") return;
    throw error;
  }
}

/** A log with up to four changes in up to two files is opened, or refused as `corruption`. */
export async function wholeLogs(): Promise<fc.IAsyncProperty<unknown>> {
  const [weak, strong] = [await filesOf(anyCrc32), await filesOf(realCrc32)];
  const change = fc.tuple(fc.nat(20), mutation);
  return fc.asyncProperty(
    fc.boolean(),
    fc.array(change, { minLength: 1, maxLength: 4 }),
    async (isWeak: boolean, changes: [number, Mutation][]) => {
      const files = new Map(isWeak ? weak : strong);
      const names = [...files.keys()].filter((name) =>
        usedBytes(files.get(name)!) > 0
      );
      for (const [which, one] of changes) {
        const name = names[which % names.length]!;
        const bytes = files.get(name)!;
        const used = usedBytes(bytes);
        const changed = mutate(bytes.slice(0, used), one);
        // The file keeps its length unless it is cut.
        if (one.kind === "cut") files.set(name, changed);
        else {
          const whole = new Uint8Array(bytes.length);
          whole.set(changed.subarray(0, whole.length));
          files.set(name, whole);
        }
      }
      await tryOpen(files, isWeak ? anyCrc32 : realCrc32);
    },
  ) as unknown as fc.IAsyncProperty<unknown>;
}

/** The unchanged logs can be read: what is fuzzed is a log. */
export async function requireReadable(): Promise<void> {
  for (const crc32 of [anyCrc32, realCrc32]) {
    const files = await filesOf(crc32);
    assert.ok(
      [...files.values()].filter((one) => usedBytes(one) > 0).length > 1,
    );
    const disk = new MemoryFileSystem();
    for (const [name, bytes] of files) {
      await writeFile(disk, `${dir}/${name}`, bytes);
    }
    const log = await openLog(disk, { segmentBytes, crc32 });
    assert.equal(contentsOf(log).length, 2);
    await log.close();
  }
}
