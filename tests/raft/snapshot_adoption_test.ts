import { adoptSnapshots } from "../../raft/snapshot_adoption.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import { SnapshotStore } from "../../storage/snapshots.ts";
import { assert } from "../deps.ts";
import {
  batch,
  bootstrap,
  crc32,
  openLog,
  snapshot,
} from "../storage/wal/fixture.ts";

const node = { clusterId: 1, nodeId: 1 };

async function save(
  store: SnapshotStore,
  index: number,
  term = 1,
): Promise<void> {
  const writer = store.create(1, 1, snapshot(index, term));
  await writer.write(Uint8Array.of(index));
  await writer.finish();
}

async function prepared(): Promise<{
  disk: MemoryFileSystem;
  log: Awaited<ReturnType<typeof openLog>>;
  store: SnapshotStore;
}> {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  const store = new SnapshotStore({ fileSystem: disk, dir: "data", crc32 });
  await log.commitGroup([{
    ...node,
    bootstrap,
    hardState: { term: 1, votedFor: 1, commit: 5 },
    batches: [1, 2, 3, 4, 5].map((index) => batch(index)),
  }], { sync: true });
  await log.commitGroup([{ ...node, snapshot: snapshot(2) }], { sync: true });
  return { disk, log, store };
}

Deno.test("adoptSnapshots() records a whole snapshot that the log has forgotten (rule L7)", async () => {
  const { log, store } = await prepared();
  await save(store, 3);
  await save(store, 4);
  await adoptSnapshots(log, store);
  assert.deepEqual(log.node(1, 1).snapshot(), snapshot(4));
  assert.equal(log.node(1, 1).lastIndex(), 5, "no entry is given up for it");
  await log.close();
});

Deno.test("adoptSnapshots() takes neither a damaged snapshot nor one of another history or beyond the log (rule L7)", async () => {
  const { disk, log, store } = await prepared();
  await save(store, 3);
  await save(store, 4, 2);
  await save(store, 5);
  await save(store, 9);
  const file = disk.open("data/snapshots/1-1/5.snap");
  const byte = new Uint8Array(1);
  const at = file.size() - 33; // The last byte of the state.
  file.readAt(byte, at);
  byte[0]! ^= 1;
  file.writeAt(byte, at);
  file.close();
  await adoptSnapshots(log, store);
  assert.equal(log.node(1, 1).snapshot()?.index, 3);
  await log.close();
});
