import { MemoryFileSystem } from "../../../storage/memory_file_system.ts";
import type { LogStore, NodeWrite } from "../../../storage/log_store.ts";
import { assert } from "../../deps.ts";
import {
  batch,
  bootstrap,
  contentsOf,
  dir,
  openLog,
  readFile,
  recordsOf,
  settle,
  snapshot,
  writeFile,
} from "./fixture.ts";
import { Recorder } from "./recorder.ts";

const KiB = 1024;

/** Appends one batch to the log of a node. */
async function append(
  log: LogStore,
  options: {
    clusterId?: number;
    payloadBytes?: number;
    sync?: boolean;
    term?: number;
  } = {},
): Promise<void> {
  const { clusterId = 1, payloadBytes = 20, sync = true, term = 1 } = options;
  const next = log.node(clusterId, 1).lastIndex() + 1;
  const batches = [batch(next, 1, term, payloadBytes)];
  await log.commitGroup([{ clusterId, nodeId: 1, batches }], { sync });
}

/** Compacts all but the last `kept` entries of a node. */
async function compact(
  log: LogStore,
  clusterId: number,
  kept: number,
): Promise<void> {
  const node = log.node(clusterId, 1);
  const index = node.lastIndex() - kept;
  const meta = snapshot(index, node.termOf(index)!);
  const write = { clusterId, nodeId: 1, snapshot: meta, compactTo: index };
  await log.commitGroup([write], { sync: false });
}

Deno.test("Wal.commitGroup() writes a group with one call, and syncs it once", async () => {
  const disk = new Recorder(new MemoryFileSystem());
  const log = await openLog(disk);
  await settle(200);
  const writes: NodeWrite[] = [];
  for (let clusterId = 1; clusterId <= 48; clusterId++) {
    const hardState = { term: 1, votedFor: 1, commit: 0 };
    writes.push({ clusterId, nodeId: 1, hardState, batches: [batch(1)] });
  }
  disk.events.length = 0;
  await log.commitGroup(writes, { sync: true });
  assert.deepEqual(disk.events.map(({ what }) => what), ["write", "sync"]);
  disk.events.length = 0;
  await append(log, { sync: false });
  assert.deepEqual(disk.events.map(({ what }) => what), ["write"]);
  disk.events.length = 0;
  assert.deepEqual(log.node(7, 1).batchAt(1), batch(1));
  assert.deepEqual(disk.events.map(({ what }) => what), ["read"]);
  await log.close();
});

Deno.test("Wal takes a batch in which the snapshot of an emptied log ends, and still has it when it is opened again (rule B2)", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  const ids = { clusterId: 1, nodeId: 1 };
  await log.commitGroup([{ ...ids, snapshot: snapshot(8) }], { sync: true });
  await log.commitGroup([{ ...ids, batches: [batch(7, 4)] }], { sync: true });
  const node = log.node(1, 1);
  assert.equal(node.firstIndex(), 7);
  assert.equal(node.lastIndex(), 10);
  assert.equal(node.termOf(6), undefined); // Nobody said it.
  assert.deepEqual(node.batchAt(9), batch(7, 4));
  for (let count = 0; count < 60; count++) {
    await append(log, { payloadBytes: 1000 }); // Over several segments, each with a checkpoint.
  }
  const contents = contentsOf(log);
  await log.close();
  const again = await openLog(disk);
  assert.deepEqual(contentsOf(again), contents);
  await compact(again, 1, 3);
  const compacted = contentsOf(again);
  await again.close();
  const last = await openLog(disk);
  assert.deepEqual(contentsOf(last), compacted);
  await last.close();
});

Deno.test("Wal writes nothing into a segment before the one before it is synced (rule L1)", async () => {
  const disk = new Recorder(new MemoryFileSystem());
  const log = await openLog(disk);
  await settle(200);
  disk.events.length = 0;
  for (let count = 0; count < 100; count++) {
    await append(log, { payloadBytes: 1000, sync: false });
  }
  const unsynced = new Set<number>();
  let current = disk.events[0]!.file;
  let switches = 0;
  for (const { what, file, position, length } of disk.events) {
    const isFill = what === "write" && length === 32 * KiB;
    if (what === "sync") unsynced.delete(file);
    if (what !== "write" || isFill) continue;
    if (file !== current) {
      assert.equal(position, 0);
      assert.deepEqual([...unsynced], []);
      current = file;
      switches++;
    }
    unsynced.add(file);
  }
  assert.ok(switches >= 3, `${switches} switches`);
  await log.close();
});

Deno.test("Wal keeps a spare segment, written in full, and recycles old ones (rule L4)", async () => {
  const memory = new MemoryFileSystem();
  const disk = new Recorder(memory);
  const log = await openLog(disk);
  await settle(200);
  assert.deepEqual(disk.list(dir), ["00000001.log", "00000002.log"]);
  const spare = readFile(memory, `${dir}/00000002.log`);
  assert.deepEqual(spare, new Uint8Array(32 * KiB));
  const salts = new Set<string>();
  for (let count = 1; count <= 1500; count++) {
    await append(log, { payloadBytes: 1000 });
    if (count % 20 === 0) await compact(log, 1, 5);
    if (count % 30 === 0) await settle(200);
    const newest = disk.list(dir).findLast((name) =>
      readFile(memory, `${dir}/${name}`).subarray(0, 6).some((byte) =>
        byte !== 0
      )
    );
    salts.add(readFile(memory, `${dir}/${newest}`).slice(24, 32).join());
  }
  assert.ok(salts.size > 40, `${salts.size} segments were used`);
  assert.ok(disk.created.length <= 5, `${disk.created.length} were made`);
  assert.ok(disk.list(dir).length <= 4, disk.list(dir).join());
  await log.close();
  const again = await openLog(disk);
  assert.equal(again.node(1, 1).lastIndex(), 1500);
  await again.close();
});

Deno.test("Wal makes a spare while the log fills, not in one burst, and has it in time (rule L4)", async () => {
  const disk = new Recorder(new MemoryFileSystem());
  const segmentBytes = 8 * 1024 * KiB;
  const log = await openLog(disk, { segmentBytes });
  await settle(200);
  // Nothing is compacted, so that no old segment can be the next spare.
  const payloadBytes = 64 * KiB;
  let most = 0;
  for (let count = 1; count <= 500; count++) {
    disk.events.length = 0;
    await append(log, { payloadBytes });
    await settle(20);
    let filled = 0;
    for (const { what, length } of disk.events) {
      if (what === "write" && length >= 256 * KiB) filled += length;
    }
    most = Math.max(most, filled);
  }
  assert.ok(disk.created.length >= 5, `${disk.created.length} segments`);
  assert.ok(most > 0, "a spare is made beside a group");
  assert.ok(most <= segmentBytes / 4, `${most} bytes beside one group`);
  await log.close();
});

Deno.test("Wal.idle() proves the last sync once, and then writes nothing (rule L1)", async () => {
  const memory = new MemoryFileSystem();
  const disk = new Recorder(memory);
  const log = await openLog(disk);
  await append(log);
  await append(log, { sync: false });
  await settle(200);
  disk.events.length = 0;
  await log.idle();
  assert.deepEqual(disk.events.map(({ what }) => what), [
    "sync", // What was written without one.
    "write",
    "sync",
  ]);
  disk.events.length = 0;
  await log.idle();
  assert.deepEqual(disk.events, []);
  const { records } = recordsOf(readFile(memory, `${dir}/00000001.log`));
  const last = records.at(-1)!;
  assert.equal(last.kind, 4);
  assert.equal(last.syncedTo, last.offset);
  assert.equal(last.end - last.offset, 32);
  await log.close();
});

Deno.test("Wal takes groups and batches that are larger than a segment", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  await append(log, { payloadBytes: 100 * KiB });
  await append(log);
  const writes: NodeWrite[] = [];
  for (let clusterId = 2; clusterId < 30; clusterId++) {
    const batches = [batch(1, 7, 1, 300 * KiB), batch(8, 1, 1, 10)];
    writes.push({ clusterId, nodeId: 1, batches });
  }
  await log.commitGroup(writes, { sync: true });
  await append(log, { clusterId: 2 });
  const contents = contentsOf(log);
  await log.close();
  const again = await openLog(disk);
  assert.deepEqual(contentsOf(again), contents);
  await again.close();
});

Deno.test("Wal opens each segment with a checkpoint that does not dominate it: 10,000 nodes (rule L4)", async () => {
  const memory = new MemoryFileSystem();
  const log = await openLog(memory, { segmentBytes: 1024 * KiB });
  const writes: NodeWrite[] = [];
  for (let clusterId = 1; clusterId <= 10_000; clusterId++) {
    const hardState = { term: 1, votedFor: 1, commit: 0 };
    const batches = [batch(1)];
    writes.push({ clusterId, nodeId: 1, bootstrap, hardState, batches });
  }
  await log.commitGroup(writes, { sync: true });
  const { indexBytes } = log.usage();
  assert.ok(indexBytes <= 10_000 * 64, `${indexBytes} bytes of index`);
  for (let count = 0; count < 120; count++) {
    await append(log, { payloadBytes: 500 * KiB });
    if (count % 10 === 0) await compact(log, 1, 1);
    if (count % 10 === 5) await settle(500);
  }
  const contents = log.nodes().length;
  assert.equal(contents, 10_000);
  await log.close();
  const newest = memory.list(dir).map((name) =>
    readFile(memory, `${dir}/${name}`)
  ).findLast((bytes) => recordsOf(bytes).records.length > 0)!;
  const { records } = recordsOf(newest);
  const end = records.find(({ kind }) => kind === 3)!.end;
  assert.ok(end - 1024 <= newest.length / 4, `${end} of ${newest.length}`);
  const again = await openLog(memory, { segmentBytes: 1024 * KiB });
  assert.equal(again.nodes().length, 10_000);
  assert.deepEqual(again.node(9_999, 1).bootstrap(), bootstrap);
  await again.close();
});

Deno.test("Wal.open() gives the event loop turns while it reads and writes much (rule C6)", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes: 1024 * KiB });
  for (let count = 0; count < 40; count++) {
    await append(log, { payloadBytes: 512 * KiB });
  }
  await log.close();
  let turns = 0;
  const again = await openLog(disk, {
    segmentBytes: 1024 * KiB,
    yield: () => {
      turns++;
      return Promise.resolve();
    },
  });
  assert.ok(turns >= 4, `${turns} turns for 20 MiB`);
  await again.close();
});

Deno.test("WalNodeLog.batchAt() finds damage, and names path and offset", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  await append(log, { payloadBytes: 500 });
  const path = `${dir}/00000001.log`;
  const { records } = recordsOf(readFile(disk, path));
  const { offset, end } = records.at(-1)!;
  const file = disk.open(path);
  file.writeAt(Uint8Array.of(0xff, 0xff), end - 60);
  file.close();
  const batchOffset = offset + 32 + 24;
  assert.throws(() => log.node(1, 1).batchAt(1), {
    code: "corruption",
    message:
      `Cannot read entry 1 of cluster 1, node 1: ${path} is damaged at offset ${batchOffset}: it is no batch (crc)`,
  });
  assert.equal(log.failure, undefined);
  await log.close();
});

Deno.test("Wal refuses a segment of an unknown version by name (rule L8)", async () => {
  const disk = new MemoryFileSystem();
  await (await openLog(disk)).close();
  const { crc32 } = await import("./fixture.ts");
  const path = `${dir}/00000001.log`;
  const bytes = readFile(disk, path);
  for (const at of [0, 512]) {
    const copy = bytes.subarray(at, at + 512);
    const view = new DataView(copy.buffer, copy.byteOffset, 512);
    view.setUint32(8, 2, true);
    const checksum = crc32(copy.subarray(16), crc32(copy.subarray(0, 12)));
    view.setUint32(12, checksum, true);
  }
  await writeFile(disk, path, bytes);
  await assert.rejects(openLog(disk), {
    code: "corruption",
    message:
      `Cannot open the log: ${path} has format version 2 at offset 0, and this program reads version 1`,
  });
  assert.deepEqual(readFile(disk, path), bytes);
});

Deno.test("Wal writes one group at a time, and refuses batches that leave a gap", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  const first = append(log);
  await assert.rejects(append(log), { name: "AssertionError" });
  await first;
  assert.equal(log.failure, undefined);
  // A gap would be a bug of ours. It must not reach the disk, nor anything after it.
  const write = { clusterId: 1, nodeId: 1, batches: [batch(3)] };
  await assert.rejects(log.commitGroup([write], { sync: true }), {
    message: /a batch must follow the log without a gap/,
  });
  assert.ok(log.failure !== undefined);
  await log.close();
  const again = await openLog(disk);
  assert.equal(again.node(1, 1).lastIndex(), 1);
  await again.close();
});

Deno.test("A full disk leaves room for votes and removal, and bulk is refused (rule L5)", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes: 64 * KiB });
  await settle(200);
  disk.capacityBytes = disk.usedBytes;
  while (!log.isDiskFull) await append(log, { payloadBytes: 3000 });
  await assert.rejects(async () => {
    while (true) await append(log, { payloadBytes: 6000 });
  }, { code: "diskFull", outcome: "notApplied" });
  const last = log.node(1, 1).lastIndex();
  for (let term = 2; term < 50; term++) {
    const hardState = { term, votedFor: 1, commit: 0 };
    await log.commitGroup([{ clusterId: 1, nodeId: 1, hardState }], {
      sync: true,
    });
  }
  await append(log, { clusterId: 2 });
  assert.equal(log.failure, undefined);
  // A node that is removed gives its segments back, and that is space enough.
  await log.commitGroup([{ clusterId: 1, nodeId: 1, remove: true }], {
    sync: true,
  });
  await append(log, { clusterId: 2 });
  await append(log, { clusterId: 2 });
  assert.equal(log.isDiskFull, false);
  await append(log, { clusterId: 2, payloadBytes: 6000 });
  assert.ok(last > 10);
  await log.close();
  const again = await openLog(disk, { segmentBytes: 64 * KiB });
  assert.deepEqual(again.nodes(), [{ clusterId: 2, nodeId: 1 }]);
  await again.close();
});

Deno.test("A full disk ends by itself when there is space again (rule L5)", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  await settle(200);
  disk.capacityBytes = disk.usedBytes;
  while (!log.isDiskFull) await append(log, { payloadBytes: 3000 });
  let refused = 0;
  while (refused < 3) {
    await append(log, { payloadBytes: 6000 }).catch(() => refused++);
  }
  disk.capacityBytes += 1024 * KiB;
  // The engine tries its group again at each tick.
  while (log.isDiskFull) {
    await append(log, { payloadBytes: 6000 }).catch(() => refused++);
  }
  assert.ok(refused < 20, `${refused} refusals`);
  await append(log, { payloadBytes: 6000 });
  await log.close();
});

Deno.test("Wal.open() says that there is no space for a segment (rule L5)", async () => {
  const disk = new MemoryFileSystem({ capacityBytes: 20 * KiB });
  await assert.rejects(openLog(disk), { code: "diskFull" });
  disk.capacityBytes = 1024 * KiB;
  await (await openLog(disk)).close();
});

Deno.test("An error within an existing segment is no full disk: it closes the log (rule L5)", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  await append(log);
  await settle(200);
  disk.faults = {
    beforeWrite() {
      throw Object.assign(new Error("ENOSPC: no space"), { code: "ENOSPC" });
    },
  };
  await assert.rejects(append(log), {
    code: "diskFailed",
    outcome: "unknown",
    message: /^Cannot write to the log in data\/log: ENOSPC/,
  });
  disk.faults = {};
  await assert.rejects(append(log), { code: "diskFailed" });
  await assert.rejects(log.idle(), { code: "diskFailed" });
  assert.equal(log.isDiskFull, false);
  await log.close();
  const again = await openLog(disk);
  assert.equal(again.node(1, 1).lastIndex(), 1);
  await again.close();
});

Deno.test("Wal keeps no node whose data was removed, and lets its segments go (rule L4)", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  for (let count = 0; count < 200; count++) {
    await append(log, { clusterId: 1 + count % 2, payloadBytes: 1000 });
    if (count % 10 === 0) await settle(100);
  }
  assert.ok(log.usage().segmentCount > 6);
  for (const clusterId of [1, 2]) {
    await log.commitGroup([{ clusterId, nodeId: 1, remove: true }], {
      sync: true,
    });
  }
  await append(log, { clusterId: 3 });
  await append(log, { clusterId: 3 });
  assert.ok(log.usage().segmentCount <= 4, `${log.usage().segmentCount}`);
  assert.equal(log.usage().diskBytes, log.usage().segmentCount * 32 * KiB);
  await log.close();
});
