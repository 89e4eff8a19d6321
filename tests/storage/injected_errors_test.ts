/** Every operation of a file that can fail, failing in each of three ways, wherever something is written (rules L2, L5). */
import { Prng } from "../../raft/core/prng.ts";
import type { SnapshotMeta } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import { openIdentity } from "../../raft/identity.ts";
import { crc32 } from "../../storage/deps.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import type { DiskFaults } from "../../storage/memory_file_system.ts";
import { SnapshotStore } from "../../storage/snapshots.ts";
import { assert } from "../deps.ts";
import { batch, openLog } from "./wal/fixture.ts";

const codes = ["EIO", "ENOSPC", "EACCES"] as const;
type Code = (typeof codes)[number];

/** Fails the n-th operation from now on, with all that come after it, and counts what was tried. */
function failFrom(disk: MemoryFileSystem, n: number, code: Code): () => number {
  let count = 0;
  const step = () => {
    if (++count > n) {
      throw Object.assign(new Error(`${code}: injected`), { code });
    }
  };
  disk.faults = {
    beforeCreate: step,
    beforeWrite: step,
    beforeSync: step,
    beforeChange: step,
  } satisfies DiskFaults;
  return () => count;
}

/** What an error must be: named, with where it happened and why, and nothing but `ENOSPC` taken for a full disk. */
function requireNamed(error: unknown, code: Code, what: string): void {
  assert.ok(error instanceof RaftError, `${what}: ${error}`);
  assert.match(error.message, /^Cannot .+data\//, what);
  if (code === "ENOSPC") {
    assert.ok(["diskFull", "diskFailed"].includes(error.code), what);
  } else {
    assert.equal(error.code, "diskFailed", `${what}: ${error.message}`);
    assert.match(error.message, new RegExp(code), what);
    assert.doesNotMatch(error.message, /full|space/, what);
  }
}

function metaAt(index: number): SnapshotMeta {
  return {
    index,
    term: 1,
    membership: {
      configChangeIndex: 1,
      members: [{ nodeId: 1, address: "a:1", nodeHostId: "" }],
      observers: [],
      witnesses: [],
      removed: [],
    },
  };
}

const storeOn = (disk: MemoryFileSystem) =>
  new SnapshotStore({ fileSystem: disk, dir: "data", crc32 });

async function save(
  store: SnapshotStore,
  index: number,
  bytes: Uint8Array,
): Promise<void> {
  const writer = store.create(1, 1, metaAt(index));
  await writer.write(bytes);
  await writer.finish();
}

/** The file of a snapshot as it travels. */
async function fileOf(bytes: Uint8Array): Promise<Uint8Array> {
  const store = storeOn(new MemoryFileSystem());
  await save(store, 20, bytes);
  const file = store.open(1, 1, 20);
  const all = new Uint8Array(file.fileBytes);
  for (let at = 0; at < all.length;) {
    const piece = file.readChunk(at, 4_096);
    all.set(piece, at);
    at += piece.length;
  }
  file.close();
  return all;
}

const bytes = new Uint8Array(3_000_000).fill(7);

for (const how of ["saved", "received"] as const) {
  Deno.test(`A snapshot that cannot be ${how} for whatever error of the disk is refused by name, leaves the one before, and succeeds later`, async () => {
    const file = how === "received" ? await fileOf(bytes) : undefined;
    const put = async (store: SnapshotStore) => {
      if (file === undefined) return await save(store, 20, bytes);
      const receiver = store.receive(1, 1, metaAt(20));
      try {
        for (let at = 0; at < file.length; at += 1_000_000) {
          await receiver.write(file.subarray(at, at + 1_000_000));
        }
        await receiver.finish();
      } catch (error) {
        await receiver.abort();
        throw error;
      }
    };
    for (const code of codes) {
      let operations = Number.MAX_SAFE_INTEGER;
      for (let n = 0; n < operations; n++) {
        const disk = new MemoryFileSystem();
        const store = storeOn(disk);
        await save(store, 10, Uint8Array.of(1));
        const count = failFrom(disk, n, code);
        let failure: unknown;
        try {
          await put(store);
          operations = count();
        } catch (error) {
          failure = error;
        }
        disk.faults = {};
        if (failure === undefined) break;
        requireNamed(failure, code, `operation ${n} of ${how}`);
        assert.ok(store.indexes(1, 1).includes(10));
        await put(store);
        assert.deepEqual(store.indexes(1, 1), [10, 20]);
        store.open(1, 1, 20).close();
      }
      assert.ok(operations > 5, `${operations} operations`);
    }
  });
}

Deno.test("After a power cut at any operation of receiving a snapshot, the one before is whole, and the new one whole or absent", async () => {
  const file = await fileOf(bytes);
  const seen = { absent: 0, whole: 0 };
  let operations = Number.MAX_SAFE_INTEGER;
  for (let n = 0; n < operations; n++) {
    for (let seed = 0; seed < 4; seed++) {
      const disk = new MemoryFileSystem();
      await save(storeOn(disk), 10, Uint8Array.of(1));
      const count = failFrom(disk, n, "EIO");
      let isReceived = false;
      try {
        const receiver = storeOn(disk).receive(1, 1, metaAt(20));
        await receiver.write(file);
        await receiver.finish();
        isReceived = true;
        operations = count();
      } catch {
        // The power is gone.
      }
      disk.faults = {};
      disk.crash(new Prng(100 * n + seed));
      const store = storeOn(disk);
      store.open(1, 1, 10).close();
      const has = store.indexes(1, 1).includes(20);
      assert.ok(has || !isReceived, "what was received was lost");
      if (has) {
        const opened = store.open(1, 1, 20);
        const body = await new Response(opened.body()).bytes();
        opened.close();
        assert.equal(body.length, bytes.length);
      }
      seen[has ? "whole" : "absent"]++;
      store.cleanUp(() => 10);
      assert.deepEqual(disk.list("data/snapshots/1-1"), ["10.snap"]);
    }
  }
  assert.ok(operations > 5, `${operations} operations`);
  assert.ok(seen.absent > 0 && seen.whole > 0);
});

Deno.test("An identity that cannot be written for whatever error of the disk is refused by name, and the folder opens later", async () => {
  const open = (disk: MemoryFileSystem) =>
    openIdentity({
      fileSystem: disk,
      dir: "data/1",
      raftAddress: "a:1",
      raftAddressChanged: false,
      adoptCopiedDir: false,
      deploymentId: 1n,
      random: { fill: (bytes) => crypto.getRandomValues(bytes) },
    });
  for (const code of codes) {
    let operations = Number.MAX_SAFE_INTEGER;
    for (let n = 0; n < operations; n++) {
      const disk = new MemoryFileSystem();
      const count = failFrom(disk, n, code);
      let failure: unknown;
      try {
        (await open(disk)).release();
        operations = count();
      } catch (error) {
        failure = error;
      }
      disk.faults = {};
      if (failure === undefined) break;
      requireNamed(failure, code, `operation ${n}`);
      const identity = await open(disk);
      assert.ok(identity.incarnation >= 1);
      identity.release();
    }
    assert.ok(operations > 3, `${operations} operations`);
  }
});

Deno.test("A log that cannot be opened or written for whatever error of the disk says so by name, and holds what it acknowledged", async () => {
  const ids = { clusterId: 1, nodeId: 1 };
  for (const code of codes) {
    let operations = Number.MAX_SAFE_INTEGER;
    for (let n = 0; n < operations; n++) {
      const disk = new MemoryFileSystem();
      const count = failFrom(disk, n, code);
      let acknowledged = 0;
      let failure: unknown;
      let isOpen = false;
      try {
        const log = await openLog(disk);
        isOpen = true;
        try {
          for (let index = 1; index <= 80; index++) {
            const batches = [batch(index, 1, 1, 1_000)];
            await log.commitGroup([{ ...ids, batches }], { sync: true });
            acknowledged = index;
          }
        } finally {
          await log.close();
        }
        operations = count();
      } catch (error) {
        failure = error;
      }
      disk.faults = {};
      if (failure === undefined) break;
      if (
        isOpen && failure instanceof RaftError && failure.code === "diskFull"
      ) {
        // Without another segment, whyever, an open log refuses what it has no room for, and goes on (rule L5).
        assert.match(failure.message, new RegExp(`segment.*${code}`));
        assert.equal(failure.outcome, "notApplied");
      } else requireNamed(failure, code, `operation ${n}`);
      const again = await openLog(disk);
      assert.ok(again.node(1, 1).lastIndex() >= acknowledged);
      await again.close();
    }
    assert.ok(operations > 80, `${operations} operations`);
  }
});

Deno.test("Reads of the log are right while groups are written and segments change", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  const ids = { clusterId: 1, nodeId: 1 };
  const node = log.node(1, 1);
  for (let index = 1; index <= 300; index++) {
    const batches = [batch(index, 1, 1, 500)];
    const write = { ...ids, batches, compactTo: Math.max(0, index - 100) };
    const writing = log.commitGroup([write], { sync: true });
    // What was written before is there while the next group is on its way, over all segments.
    for (let at = Math.max(1, node.firstIndex()); at < index; at += 7) {
      assert.deepEqual(node.batchAt(at)?.bytes, batch(at, 1, 1, 500).bytes);
    }
    await writing;
  }
  assert.ok(node.firstIndex() > 150);
  await log.close();
});
