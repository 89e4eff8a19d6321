import { assert } from "../deps.ts";
import { openBatch, sealBatch } from "../../raft/core/entry_batch.ts";
import { EntryBuilder, EntryCursor } from "../../raft/entries.ts";
import { RaftError } from "../../raft/errors.ts";
import { readSessions } from "../../raft/session_snapshot.ts";
import {
  encodeRegistration,
  registerSeries,
  SessionTable,
} from "../../raft/sessions.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import { plainTraits } from "../../storage/snapshot_format.ts";
import { SnapshotStore } from "../../storage/snapshots.ts";
import { crc32 } from "../support/entries.ts";

const meta = {
  index: 100,
  term: 3,
  membership: {
    configChangeIndex: 4,
    members: [{ nodeId: 2, address: "host-2:7001", nodeHostId: "b2" }],
    observers: [],
    witnesses: [],
    removed: [],
  },
};
const path = "data/snapshots/7-2/100.snap";
const nothing = new Uint8Array(0);

function golden(name: string): Uint8Array {
  return Deno.readFileSync(new URL(`../golden/${name}`, import.meta.url));
}

/** One of each: nothing kept, a value, a value with data, a result that was too big. */
function someSessions(): SessionTable {
  const table = new SessionTable();
  for (const clientId of [2 ** 52, 7, 8, 9]) {
    table.apply(
      { clientId, series: registerSeries, respondedTo: 0 },
      encodeRegistration(100),
      () => assert.fail(),
    );
  }
  const propose = (clientId: number, data?: Uint8Array) =>
    table.apply({ clientId, series: 5, respondedTo: 4 }, nothing, () => ({
      value: -1.5,
      ...(data === undefined ? {} : { data }),
    }));
  propose(8, Uint8Array.of(1, 2, 3));
  propose(9, new Uint8Array(65_537));
  propose(7);
  return table;
}

function storeOn(disk: MemoryFileSystem): SnapshotStore {
  return new SnapshotStore({ fileSystem: disk, dir: "data", crc32 });
}

async function save(
  disk: MemoryFileSystem,
  table: Uint8Array,
  state: Uint8Array,
): Promise<SnapshotStore> {
  const store = storeOn(disk);
  const traits = { ...plainTraits, generation: 2 };
  const writer = store.create(7, 2, meta, { traits });
  writer.writeSessions(table);
  await writer.write(state);
  await writer.finish();
  return store;
}

function read(disk: MemoryFileSystem): Uint8Array {
  const file = disk.open(path);
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  return bytes;
}

Deno.test("A snapshot with sessions is as its golden file, which is read back (rules L8, R2, R3)", async () => {
  const disk = new MemoryFileSystem();
  const table = someSessions();
  const store = await save(disk, table.encode(2), Uint8Array.of(1, 2));
  assert.deepEqual(read(disk), golden("snapshot_v2_sessions.snap"));
  const snapshot = store.open(7, 2, 100);
  const sessions = await readSessions(snapshot, 2);
  assert.equal(sessions.hash(crc32), table.hash(crc32));
  assert.deepEqual(
    await new Response(snapshot.body()).bytes(),
    Uint8Array.of(1, 2),
  );
  assert.equal((await readSessions(snapshot, 3)).count, 0, "void since then");
  snapshot.close();
});

Deno.test("readSessions() refuses a table that is none, by the snapshot's name, and finds none where there is none", async () => {
  const disk = new MemoryFileSystem();
  const store = await save(disk, Uint8Array.of(1, 2, 3), nothing);
  const snapshot = store.open(7, 2, 100);
  await assert.rejects(readSessions(snapshot, 1), (error) => {
    assert.ok(error instanceof RaftError && error.code === "corruption");
    assert.match(error.message, /7-2\/100\.snap: its table .* too short/);
    return true;
  });
  snapshot.close();
  const plain = store.create(7, 2, { ...meta, index: 101 });
  await plain.write(Uint8Array.of(1));
  await plain.finish();
  const other = store.open(7, 2, 101);
  assert.equal((await readSessions(other, 1)).count, 0);
  other.close();
});

Deno.test("A batch with session fields is as its golden file, and says so in its flags (rules B1, L8)", () => {
  const builder = new EntryBuilder();
  const fields = { clientId: 2 ** 52, series: 3, respondedTo: 2 };
  builder.addInSession(Uint8Array.of(1, 2), fields, 77, 5);
  builder.add(Uint8Array.of(3));
  const batch = sealBatch(builder.take(), {
    term: 3,
    firstIndex: 7,
    entryCount: 2,
    isConfigChange: false,
    hasSessions: true,
  }, crc32);
  assert.deepEqual(batch.bytes, golden("batch_v1_sessions"));
  const opened = openBatch(golden("batch_v1_sessions"), crc32);
  assert.ok(typeof opened !== "string", String(opened));
  assert.equal(
    opened.bytes[1],
    2,
    "a reader that knows no sessions refuses it",
  );
  const cursor = new EntryCursor(opened);
  assert.ok(cursor.next());
  const { clientId, series, respondedTo, proposer, counter } = cursor;
  assert.deepEqual({ clientId, series, respondedTo }, fields);
  assert.deepEqual([proposer, counter, ...cursor.command()], [77, 5, 1, 2]);
  assert.ok(cursor.next());
  assert.equal(cursor.clientId, 0);
  for (const flags of [3, 5, 8]) {
    const other = batch.bytes.slice();
    other[1] = flags;
    assert.equal(openBatch(other, crc32), "flags");
  }
});
