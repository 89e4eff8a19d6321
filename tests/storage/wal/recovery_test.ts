import { Prng } from "../../../raft/core/prng.ts";
import { encodeSegmentHeader } from "../../../storage/wal/format.ts";
import { MemoryFileSystem } from "../../../storage/memory_file_system.ts";
import type { LogStore } from "../../../storage/log_store.ts";
import { assert } from "../../deps.ts";
import {
  batch,
  bootstrap,
  contentsOf,
  crc32,
  dir,
  openLog,
  readFile,
  recordsOf,
  settle,
  snapshot,
  writeFile,
} from "./fixture.ts";
import { Recorder } from "./recorder.ts";

async function append(
  log: LogStore,
  payloadBytes = 1000,
  sync = true,
): Promise<void> {
  const next = log.node(1, 1).lastIndex() + 1;
  const batches = [batch(next, 1, 1, payloadBytes)];
  await log.commitGroup([{ clusterId: 1, nodeId: 1, batches }], { sync });
}

async function compactAll(log: LogStore, sync: boolean): Promise<void> {
  const index = log.node(1, 1).lastIndex();
  const write = { clusterId: 1, nodeId: 1, snapshot: snapshot(index) };
  await log.commitGroup([{ ...write, compactTo: index }], { sync });
}

Deno.test("Recovery rewrites what is not proven durable before it says anything (rule L2)", async () => {
  const memory = new MemoryFileSystem();
  const log = await openLog(memory);
  await append(log);
  await append(log);
  await append(log, 1000, false);
  const contents = contentsOf(log);
  memory.halt(); // The process ends; the third group is in the page cache alone.

  const disk = new Recorder(memory);
  const again = await openLog(disk);
  const writes = disk.events.filter(({ what }) => what === "write");
  const rewritten = writes.reduce((sum, { length }) => sum + length, 0);
  assert.ok(rewritten > 2000, "the last synced group was not proven either");
  const header = disk.events.findLastIndex(({ what, position, length }) =>
    what === "write" && position === 0 && length === 1024
  );
  assert.equal(disk.events[header - 1]?.what, "sync"); // All else before it,
  assert.equal(disk.events[header + 1]?.what, "sync"); // and nothing after it.
  assert.deepEqual(contentsOf(again), contents);
  assert.equal(again.recovery.tornAt, undefined);
  // Now a power cut can take nothing of it any more.
  for (let seed = 1; seed <= 20; seed++) {
    memory.crash(new Prng(seed));
    assert.deepEqual(contentsOf(await openLog(memory)), contents);
  }
});

Deno.test("Two copies of a header that are whole but not of one write are no header yet (rule L2)", async () => {
  const memory = new MemoryFileSystem();
  const log = await openLog(memory);
  await append(log);
  const contents = contentsOf(log);
  memory.halt();
  // A recovery was cut short between the copies of its header; the next one, in the same file, as well.
  const header = {
    number: 2,
    base: 32 * 1024,
    size: 32 * 1024,
    previousEnd: 2_000,
    oldest: 1,
    syncedTo: 32 * 1024 + 3_000,
    judgedTo: 0,
  };
  const first = { ...header, salt: { headerSeed: 1, payloadSeed: 2 } };
  const second = { ...header, salt: { headerSeed: 3, payloadSeed: 4 } };
  const both = new Uint8Array(32 * 1024);
  both.set(encodeSegmentHeader(first, crc32));
  both.set(encodeSegmentHeader(second, crc32), 512);
  await writeFile(memory, `${dir}/00000002.log`, both);
  const again = await openLog(memory);
  assert.deepEqual(contentsOf(again), contents);
  await again.close();
});

Deno.test("Recovery after a clean close has nothing to rewrite, and reads nothing behind the end", async () => {
  const memory = new MemoryFileSystem();
  const log = await openLog(memory, { segmentBytes: 8 * 1024 * 1024 });
  for (let count = 0; count < 20; count++) await append(log);
  await log.close();
  const disk = new Recorder(memory);
  const again = await openLog(disk, { segmentBytes: 8 * 1024 * 1024 });
  assert.equal(again.recovery.tornBytes, 0);
  assert.equal(again.recovery.recordCount, 22); // The checkpoint, the groups, the end.
  let readBytes = 0;
  let wroteBytes = 0;
  for (const { what, file, length } of disk.events) {
    if (what === "read") readBytes += length;
    if (what === "write" && file === 1) wroteBytes += length;
  }
  assert.ok(readBytes <= 4 * 1024 * 1024 + 4096, `${readBytes} bytes read`);
  assert.ok(wroteBytes < 3000, `${wroteBytes} bytes written`);
  await again.close();
});

Deno.test("A log that was opened and closed again and again stays small (rule L4)", async () => {
  const disk = new MemoryFileSystem();
  for (let times = 0; times < 30; times++) {
    const log = await openLog(disk);
    await append(log, 100);
    await append(log, 100);
    await settle(200);
    await log.close();
  }
  assert.ok(disk.list(dir).length <= 5, disk.list(dir).join());
  const log = await openLog(disk);
  assert.equal(log.node(1, 1).lastIndex(), 60);
  assert.equal(log.node(1, 1).firstIndex(), 1);
  await log.close();
});

Deno.test("The end of a recycled segment is no torn tail (rule L1)", async () => {
  const disk = new MemoryFileSystem();
  let log = await openLog(disk);
  for (let count = 1; count <= 200; count++) {
    await append(log);
    if (count % 20 === 0) await compactAll(log, true);
    if (count % 20 === 10) await settle(200);
    if (count % 7 !== 0) continue;
    disk.halt();
    log = await openLog(disk);
    assert.equal(log.recovery.tornAt, undefined);
    assert.equal(log.recovery.tornBytes, 0);
  }
  await log.close();
});

Deno.test("A segment is not let go before it is durable that it is not needed (rule L4)", async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const disk = new MemoryFileSystem();
    const log = await openLog(disk);
    for (let count = 1; count <= 100; count++) {
      await append(log);
      if (count % 10 === 0) await settle(200);
    }
    const names = disk.list(dir);
    await compactAll(log, false);
    await settle(200);
    assert.deepEqual(disk.list(dir), names);
    if (seed % 2 === 0) {
      await append(log);
      assert.ok(disk.list(dir).length < names.length);
    }
    disk.crash(new Prng(seed));
    const again = await openLog(disk);
    assert.ok(again.node(1, 1).lastIndex() >= 100);
  }
});

Deno.test("A spare whose name was not durable is durable before it is used (rules L2, L6)", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const disk = new MemoryFileSystem();
    const log = await openLog(disk);
    await settle(200);
    for (let count = 1; count <= 50; count++) await append(log);
    await compactAll(log, true);
    disk.faults = {
      beforeChange(change) {
        if (change !== "syncDirectory") return;
        throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
      },
    };
    while (!log.isDiskFull) await append(log);
    disk.faults = {};
    disk.halt();
    const last = (await openLog(disk)).node(1, 1).lastIndex();
    disk.crash(new Prng(seed)); // Before the next spare is made, and the folder synced for its sake.
    const third = await openLog(disk);
    assert.equal(third.node(1, 1).lastIndex(), last);
  }
});

Deno.test("Recovery finishes what an interrupted one began, whatever of it is there (rule L2)", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  await log.commitGroup([{ clusterId: 2, nodeId: 1, bootstrap }], {
    sync: true,
  });
  for (let count = 0; count < 5; count++) await append(log);
  const contents = contentsOf(log);
  await settle(200);
  disk.halt();
  const before = new Map(
    disk.list(dir).map((name) => [name, readFile(disk, `${dir}/${name}`)]),
  );
  await openLog(disk);
  const after = readFile(disk, `${dir}/00000002.log`);
  const { records } = recordsOf(after);
  const end = records.at(-1)!.end + 32;
  // Each sector of the new segment may have reached the disk or not.
  const sectors = Math.ceil(end / 512);
  const prng = new Prng(3);
  for (let round = 0; round < 200; round++) {
    const mixed = before.get("00000002.log")!.slice();
    for (let sector = 0; sector < sectors; sector++) {
      // The header comes last: with it, all else is there.
      const isHeader = sector < 2;
      if (!isHeader && prng.chance(1, 2)) {
        const part = after.subarray(sector * 512, (sector + 1) * 512);
        mixed.set(part, sector * 512);
      }
    }
    if (round % 4 === 0) mixed.set(after.subarray(512));
    if (round % 4 === 1) {
      mixed.set(after.subarray(1024), 1024);
      mixed.set(after.subarray(0, 512));
    }
    const copy = new MemoryFileSystem();
    await writeFile(copy, `${dir}/00000001.log`, before.get("00000001.log")!);
    await writeFile(copy, `${dir}/00000002.log`, mixed);
    const again = await openLog(copy);
    assert.deepEqual(contentsOf(again), contents, `round ${round}`);
    await again.close();
  }
});

Deno.test("Recovery ignores other files in the folder, and removes what was being made", async () => {
  const disk = new MemoryFileSystem();
  await (await openLog(disk)).close();
  for (const name of ["new.tmp", "1.log", "00000001.log.bak", "notes"]) {
    await writeFile(disk, `${dir}/${name}`, Uint8Array.of(1, 2, 3));
  }
  const log = await openLog(disk);
  await settle(200);
  assert.deepEqual(
    disk.list(dir).filter((name) => !/^0{7}/.test(name)),
    [
      "00000001.log.bak",
      "1.log",
      "notes",
    ].filter((name) => !/^0{7}/.test(name)),
  );
  assert.ok(!disk.list(dir).includes("new.tmp"));
  await log.close();
});

Deno.test("A spare of the wrong size is made again", async () => {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk);
  await append(log);
  await settle(200);
  await log.close();
  await writeFile(disk, `${dir}/00000002.log`, new Uint8Array(100));
  const again = await openLog(disk);
  assert.equal(disk.stat(`${dir}/00000002.log`)?.size, 32 * 1024);
  assert.equal(again.node(1, 1).lastIndex(), 1);
  await again.close();
});

Deno.test("Recovery of many entries needs few reads and no memory per entry", async () => {
  const memory = new MemoryFileSystem();
  const segmentBytes = 1024 * 1024;
  const log = await openLog(memory, { segmentBytes });
  for (let first = 1; first <= 300_000; first += 3000) {
    const batches = [
      batch(first, 1000, 1, 16_000),
      batch(first + 1000, 1000, 1, 16_000),
      batch(first + 2000, 1000, 1, 16_000),
    ];
    await log.commitGroup([{ clusterId: 1, nodeId: 1, batches }], {
      sync: true,
    });
  }
  await log.close();
  const disk = new Recorder(memory);
  const again = await openLog(disk, { segmentBytes });
  const reads = disk.events.filter(({ what }) => what === "read").length;
  const { segmentCount, indexBytes } = again.usage();
  const pieces = segmentBytes / (256 * 1024);
  assert.ok(reads <= (pieces + 2) * segmentCount, `${reads} reads`);
  assert.ok(indexBytes <= 2 * 32 * 300, `${indexBytes} bytes of index`);
  assert.equal(again.node(1, 1).lastIndex(), 300_000);
  assert.equal(again.node(1, 1).batchAt(123_456)?.firstIndex, 123_001);
  await again.close();
});
