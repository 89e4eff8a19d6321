import { assert } from "../deps.ts";
import { Prng } from "../../raft/core/prng.ts";
import type { SnapshotMeta } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import { crc32 } from "../../storage/deps.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import { SnapshotStore } from "../../storage/snapshots.ts";
import type { SnapshotFile } from "../../storage/snapshot_reader.ts";

const clusterId = 7;
const nodeId = 2;
const folder = "data/snapshots/7-2";

function metaAt(index: number): SnapshotMeta {
  return {
    index,
    term: 3,
    membership: {
      configChangeIndex: 4,
      members: [
        { nodeId: 1, address: "host-1:7001", nodeHostId: "a1" },
        { nodeId: 2, address: "host-2:7001", nodeHostId: "" },
      ],
      observers: [],
      witnesses: [],
      removed: [3, 9],
    },
  };
}

function storeOn(disk: MemoryFileSystem): SnapshotStore {
  return new SnapshotStore({ fileSystem: disk, dir: "data", crc32 });
}

/** Bytes that differ at every position. */
function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed | 1;
  for (let i = 0; i < length; i++) {
    state = Math.imul(state, 1103515245) + 12345 | 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

async function save(
  store: SnapshotStore,
  index: number,
  state: Uint8Array,
): Promise<number> {
  const writer = store.create(clusterId, nodeId, metaAt(index));
  await writer.write(state);
  return (await writer.finish()).bytes;
}

async function bodyOf(snapshot: SnapshotFile): Promise<Uint8Array> {
  const body = await new Response(snapshot.body()).bytes();
  snapshot.close();
  return body;
}

function isCorruption(error: unknown): boolean {
  assert.ok(error instanceof RaftError, String(error));
  assert.equal(error.code, "corruption");
  assert.match(
    error.message,
    /^Cannot read snapshot .*data\/snapshots\/7-2\/100\.snap.*: /,
  );
  return true;
}

/** Replaces the contents of a file. */
function overwrite(disk: MemoryFileSystem, path: string, bytes: Uint8Array) {
  const file = disk.open(path);
  file.truncate(0);
  file.writeAt(bytes, 0);
  file.close();
}

function read(disk: MemoryFileSystem, path: string): Uint8Array {
  const file = disk.open(path);
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  return bytes;
}

Deno.test("SnapshotStore gives back what was written, in whatever pieces", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  const block = 256 * 1024;
  for (
    const length of [0, 1, 4_087, 4_088, 4_089, block - 1, block, block + 1]
  ) {
    const state = pattern(length, 1);
    for (const piece of [1_000, 7 * block]) {
      const writer = store.create(clusterId, nodeId, metaAt(100));
      for (let at = 0; at < state.length; at += piece) {
        await writer.write(state.subarray(at, at + piece));
      }
      const { bytes } = await writer.finish();
      const snapshot = store.open(clusterId, nodeId, 100);
      assert.equal(snapshot.fileBytes, bytes);
      assert.equal(snapshot.bodyBytes, length);
      assert.equal(snapshot.clusterId, clusterId);
      assert.deepEqual(snapshot.meta, metaAt(100));
      assert.deepEqual(await bodyOf(snapshot), state);
    }
  }
  assert.deepEqual(disk.list(folder), ["100.snap"]);
});

Deno.test("SnapshotFileWriter copies before write() returns, and keeps the order of writes that nobody awaits", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  const writer = store.create(clusterId, nodeId, metaAt(100));
  const expected: number[] = [];
  for (const length of [10, 600_000, 5, 300_000, 1]) {
    const bytes = pattern(length, length);
    for (const byte of bytes) expected.push(byte);
    writer.write(bytes);
    bytes.fill(0);
  }
  await writer.finish();
  const body = await bodyOf(store.open(clusterId, nodeId, 100));
  assert.deepEqual(body, Uint8Array.from(expected));
});

Deno.test("SnapshotFileWriter refuses writes after its end, without an unhandled rejection", async () => {
  const store = storeOn(new MemoryFileSystem());
  const finished = store.create(clusterId, nodeId, metaAt(100));
  await finished.finish();
  const aborted = store.create(clusterId, nodeId, metaAt(101));
  aborted.abort();
  for (const writer of [finished, aborted]) {
    writer.write(new Uint8Array(1)); // Nobody looks at this one.
    await assert.rejects(writer.write(new Uint8Array(1)), { code: "closed" });
    await assert.rejects(writer.finish(), { code: "closed" });
    writer.abort();
  }
  assert.deepEqual(store.indexes(clusterId, nodeId), [100]);
});

Deno.test("SnapshotFileWriter.abort() leaves nothing, also during a write", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  const writer = store.create(clusterId, nodeId, metaAt(100));
  const writing = writer.write(new Uint8Array(3_000_000));
  writer.abort();
  await assert.rejects(writing, { code: "closed" });
  const finishing = store.create(clusterId, nodeId, metaAt(100));
  const finish = finishing.finish();
  finishing.abort();
  await assert.rejects(finish, { code: "closed" });
  assert.deepEqual(disk.list(folder), []);
});

Deno.test("SnapshotFileWriter syncs every few MiB (rule L5) and gives the loop a turn after each block (rule C6)", async () => {
  const disk = new MemoryFileSystem();
  let unsynced = 0;
  let mostUnsynced = 0;
  disk.faults = {
    beforeWrite: (_path, _position, length) => {
      unsynced += length;
      mostUnsynced = Math.max(mostUnsynced, unsynced);
    },
    beforeSync: () => {
      unsynced = 0;
    },
  };
  let turns = 0;
  const store = new SnapshotStore({
    fileSystem: disk,
    dir: "data",
    crc32,
    yield: () => {
      turns++;
      return Promise.resolve();
    },
  });
  await save(store, 100, new Uint8Array(20 * 1024 * 1024));
  assert.ok(mostUnsynced < 5 * 1024 * 1024, `${mostUnsynced} bytes unsynced`);
  assert.ok(turns > 60, `${turns} turns`);
  turns = 0;
  await bodyOf(store.open(clusterId, nodeId, 100));
  assert.ok(turns >= 80, `${turns} turns`);
});

Deno.test("SnapshotStore: every flipped byte of a file is found (rule L7)", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  await save(store, 100, pattern(300, 5));
  const path = `${folder}/100.snap`;
  const whole = read(disk, path);
  for (let at = 0; at < whole.length; at++) {
    for (const bit of [1, 0x80]) {
      const damaged = whole.slice();
      damaged[at] = (damaged[at] ?? 0) ^ bit;
      overwrite(disk, path, damaged);
      await assert.rejects(
        async () => await bodyOf(store.open(clusterId, nodeId, 100)),
        isCorruption,
        `byte ${at}`,
      );
    }
  }
});

Deno.test("SnapshotStore: a file cut at any byte, or longer, is refused (rule L7)", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  await save(store, 100, pattern(300, 5));
  const path = `${folder}/100.snap`;
  const whole = read(disk, path);
  for (let length = 0; length < whole.length; length++) {
    overwrite(disk, path, whole.subarray(0, length));
    assert.throws(() => store.open(clusterId, nodeId, 100), isCorruption);
  }
  for (const extra of [1, 31, 32, 33]) {
    const longer = new Uint8Array(whole.length + extra);
    longer.set(whole);
    longer.set(whole.subarray(whole.length - extra), whole.length);
    overwrite(disk, path, longer);
    await assert.rejects(
      async () => await bodyOf(store.open(clusterId, nodeId, 100)),
      isCorruption,
    );
  }
});

Deno.test("SnapshotStore: blocks that changed places are found", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  const block = 256 * 1024;
  await save(store, 100, pattern(3 * block, 5));
  const path = `${folder}/100.snap`;
  const whole = read(disk, path);
  const start = whole.length - 32 - 3 * (block + 8);
  const swapped = whole.slice();
  swapped.copyWithin(start, start + block + 8, start + 2 * (block + 8));
  swapped.set(whole.subarray(start, start + block + 8), start + block + 8);
  overwrite(disk, path, swapped);
  await assert.rejects(
    async () => await bodyOf(store.open(clusterId, nodeId, 100)),
    isCorruption,
  );
});

Deno.test("SnapshotStore refuses an unknown format version by name (rule L8)", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  await save(store, 100, pattern(10, 5));
  const path = `${folder}/100.snap`;
  const newer = read(disk, path);
  newer[8] = 3;
  overwrite(disk, path, newer);
  assert.throws(() => store.open(clusterId, nodeId, 100), {
    code: "corruption",
    message:
      "Cannot read snapshot data/snapshots/7-2/100.snap at offset 0: its format version is 3, and this library reads 1 and 2",
  });
});

Deno.test("SnapshotStore reads the golden file of format version 1 (rule L8)", async () => {
  const golden = Deno.readFileSync(
    new URL("../golden/snapshot_v1.snap", import.meta.url),
  );
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  await save(store, 100, pattern(300, 5));
  assert.deepEqual(read(disk, `${folder}/100.snap`), golden);
  overwrite(disk, `${folder}/100.snap`, golden);
  const snapshot = store.open(clusterId, nodeId, 100);
  assert.deepEqual(snapshot.meta, metaAt(100));
  assert.deepEqual(await bodyOf(snapshot), pattern(300, 5));
});

Deno.test("SnapshotStore.open() refuses a missing file, and one of another cluster or index", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  assert.throws(() => store.open(clusterId, nodeId, 100), isCorruption);
  const writer = store.create(clusterId, nodeId, metaAt(99));
  await writer.finish();
  disk.rename(`${folder}/99.snap`, `${folder}/100.snap`);
  assert.throws(() => store.open(clusterId, nodeId, 100), isCorruption);
});

Deno.test("SnapshotFile.body() may be read half; close() ends what reads on", async () => {
  const store = storeOn(new MemoryFileSystem());
  await save(store, 100, pattern(1_000_000, 5));
  const snapshot = store.open(clusterId, nodeId, 100);
  const reader = snapshot.body().getReader();
  const first = await reader.read();
  assert.deepEqual(first.value, pattern(1_000_000, 5).subarray(0, 256 * 1024));
  const other = await new Response(snapshot.body()).bytes();
  assert.equal(other.length, 1_000_000);
  snapshot.close();
  snapshot.close();
  await assert.rejects(reader.read(), { code: "closed" });
});

Deno.test("SnapshotStore.retain() removes older ones; who reads one keeps it", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  await save(store, 90, pattern(600_000, 1));
  await save(store, 100, pattern(10, 2));
  // Received, and not yet in the log when that records the one at 100.
  await save(store, 110, pattern(10, 3));
  const unfinished = store.create(clusterId, nodeId, metaAt(95));
  const reading = store.open(clusterId, nodeId, 90);
  store.retain(clusterId, nodeId, 100);
  assert.deepEqual(store.indexes(clusterId, nodeId), [100, 110]);
  assert.deepEqual(await bodyOf(reading), pattern(600_000, 1));
  await unfinished.finish();
  assert.deepEqual(store.indexes(clusterId, nodeId), [95, 100, 110]);
});

Deno.test("SnapshotStore.cleanUp() removes what was not finished and what the log does not know", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  assert.deepEqual(store.cleanUp(() => 1), []);
  await save(store, 90, pattern(10, 1));
  await save(store, 100, pattern(10, 2));
  store.create(clusterId, nodeId, metaAt(120));
  await store.create(8, 1, metaAt(5)).finish();
  disk.makeDirectory("data/snapshots/lost+found");
  disk.halt();
  const removed = storeOn(disk).cleanUp((cluster, node) =>
    cluster === clusterId && node === nodeId ? 90 : undefined
  );
  assert.deepEqual(
    removed,
    [
      `${folder}/100.snap`,
      `${folder}/120.snap.1.tmp`,
      "data/snapshots/8-1",
    ].map((path) => path.replace("120.snap.1", "120.snap.3")),
  );
  assert.deepEqual(disk.list(folder), ["90.snap"]);
  assert.deepEqual(disk.list("data/snapshots"), ["7-2", "lost+found"]);
});

Deno.test("SnapshotStore.removeNode() is durable", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const disk = new MemoryFileSystem();
    const store = storeOn(disk);
    store.removeNode(clusterId, nodeId);
    await save(store, 90, pattern(10, 1));
    store.removeNode(clusterId, nodeId);
    disk.crash(new Prng(seed));
    assert.deepEqual(disk.list("data/snapshots"), []);
  }
});

/** Makes every operation from the n-th on fail, as if the power were cut there, and counts them. */
function cutPowerAt(disk: MemoryFileSystem, operation: number): () => number {
  let count = 0;
  const step = () => {
    if (++count > operation) {
      throw Object.assign(new Error("EIO: power cut"), { code: "EIO" });
    }
  };
  disk.faults = {
    beforeCreate: step,
    beforeWrite: step,
    beforeSync: step,
    beforeChange: step,
  };
  return () => count;
}

Deno.test("SnapshotStore: after a crash at any operation of a save, the old snapshot is whole, and the new one whole or absent", async () => {
  const seen = { absent: 0, whole: 0 };
  let operations = Number.MAX_SAFE_INTEGER;
  for (let operation = 0; operation < operations; operation++) {
    for (let seed = 0; seed < 10; seed++) {
      const disk = new MemoryFileSystem();
      let store = storeOn(disk);
      await save(store, 100, pattern(700, 1));
      const count = cutPowerAt(disk, operation);
      let isSaved = true;
      try {
        await save(store, 110, pattern(600_000, 2));
        operations = count();
      } catch {
        isSaved = false;
      }
      disk.faults = {};
      disk.crash(new Prng(1_000 * operation + seed));
      store = storeOn(disk);
      const old = await bodyOf(store.open(clusterId, nodeId, 100));
      assert.deepEqual(old, pattern(700, 1));
      const has = store.indexes(clusterId, nodeId).includes(110);
      assert.ok(has || !isSaved, "a saved snapshot was lost");
      if (has) {
        const body = await bodyOf(store.open(clusterId, nodeId, 110));
        assert.deepEqual(body, pattern(600_000, 2));
      }
      seen[has ? "whole" : "absent"]++;
      store.cleanUp(() => 100);
      assert.deepEqual(disk.list(folder), ["100.snap"]);
    }
  }
  assert.ok(operations > 8, `${operations} operations`);
  assert.ok(seen.absent > 0 && seen.whole > 0);
});

Deno.test("SnapshotStore: a full disk refuses the snapshot with diskFull, leaves nothing, and passes (rule L5)", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  await save(store, 90, pattern(100, 1));
  const used = disk.usedBytes;
  for (const free of [0, 10, 300, 5_000, 300_000, 600_050]) {
    disk.capacityBytes = used + free;
    await assert.rejects(
      async () => await save(store, 100, pattern(600_000, 2)),
      (error) => {
        assert.ok(error instanceof RaftError);
        assert.equal(error.code, "diskFull");
        assert.equal(error.outcome, "notApplied");
        return true;
      },
    );
    assert.deepEqual(disk.list(folder), ["90.snap"]);
    assert.equal(disk.usedBytes, used);
  }
  disk.capacityBytes = used + 700_000;
  await save(store, 100, pattern(600_000, 2));
  const body = await bodyOf(store.open(clusterId, nodeId, 100));
  assert.deepEqual(body, pattern(600_000, 2));
});

Deno.test("SnapshotStore: a failed sync fails the snapshot, is not tried again, and leaves nothing (rule L2)", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  let syncs = 0;
  disk.faults = {
    beforeSync: () => {
      syncs++;
      throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
    },
  };
  await assert.rejects(save(store, 100, pattern(100, 2)), {
    code: "diskFailed",
    message:
      "Cannot write snapshot data/snapshots/7-2/100.snap: EIO: i/o error",
  });
  assert.equal(syncs, 1);
  assert.deepEqual(disk.list(folder), []);
});

Deno.test("SnapshotFileReceiver takes a file in pieces of any size and checks it", async () => {
  const source = storeOn(new MemoryFileSystem());
  await save(source, 100, pattern(600_000, 2));
  const sent = source.open(clusterId, nodeId, 100);
  for (const piece of [100, 4_096, 256 * 1024, 2_000_000]) {
    const disk = new MemoryFileSystem();
    const store = storeOn(disk);
    const receiver = store.receive(clusterId, nodeId, metaAt(100));
    for (let at = 0; at < sent.fileBytes; at += piece) {
      await receiver.write(sent.readChunk(at, piece));
    }
    assert.deepEqual(await receiver.finish(), { bytes: sent.fileBytes });
    const body = await bodyOf(store.open(clusterId, nodeId, 100));
    assert.deepEqual(body, pattern(600_000, 2));
    assert.deepEqual(disk.list(folder), ["100.snap"]);
  }
});

Deno.test("SnapshotFileReceiver refuses damage, a missing end, and another snapshot than was offered", async () => {
  const source = storeOn(new MemoryFileSystem());
  await save(source, 100, pattern(300, 2));
  const sent = source.open(clusterId, nodeId, 100);
  const whole = sent.readChunk(0, sent.fileBytes);
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  const receive = async (bytes: Uint8Array, meta: SnapshotMeta) => {
    const receiver = store.receive(clusterId, nodeId, meta);
    await receiver.write(bytes);
    await receiver.finish();
  };
  for (let at = 0; at < whole.length; at++) {
    const damaged = whole.slice();
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    await assert.rejects(receive(damaged, metaAt(100)), { code: "corruption" });
    const cut = whole.subarray(0, at);
    await assert.rejects(receive(cut, metaAt(100)), { code: "corruption" });
  }
  const others: SnapshotMeta[] = [
    metaAt(101),
    { ...metaAt(100), term: 4 },
    {
      ...metaAt(100),
      membership: { ...metaAt(100).membership, removed: [3] },
    },
  ];
  for (const other of others) {
    await assert.rejects(receive(whole, other), { code: "corruption" });
  }
  assert.deepEqual(disk.list(folder), []);
});
