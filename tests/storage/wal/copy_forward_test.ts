import { Prng } from "../../../raft/core/prng.ts";
import type { LogStore, NodeWrite } from "../../../storage/log_store.ts";
import { MemoryFileSystem } from "../../../storage/memory_file_system.ts";
import { assert } from "../../deps.ts";
import {
  batch,
  bootstrap,
  contentsOf,
  dir,
  openLog,
  readFile,
  settle,
  snapshot,
} from "./fixture.ts";
import {
  applyGroup,
  contentsOfModel,
  type Model,
  RandomWrites,
} from "./model.ts";
import { Recorder } from "./recorder.ts";

const KiB = 1024;

function appendTo(
  log: LogStore,
  clusterId: number,
  payloadBytes: number,
): NodeWrite {
  const next = log.node(clusterId, 1).lastIndex() + 1;
  const batches = [batch(next, 1, 1, payloadBytes)];
  return { clusterId, nodeId: 1, batches };
}

function compactTo(log: LogStore, clusterId: number, kept: number): NodeWrite {
  const index = log.node(clusterId, 1).lastIndex() - kept;
  return {
    clusterId,
    nodeId: 1,
    snapshot: snapshot(index),
    compactTo: index,
  };
}

/** Bytes that a log must keep: batches, and what else is known of its nodes. */
function liveBytesOf(log: LogStore): number {
  let bytes = 0;
  for (const { clusterId, nodeId } of log.nodes()) {
    const node = log.node(clusterId, nodeId);
    for (let index = node.firstIndex(); index <= node.lastIndex();) {
      const found = node.batchAt(index)!;
      bytes += found.bytes.length;
      index = found.lastIndex + 1;
    }
    bytes += JSON.stringify([node.bootstrap(), node.snapshot()]).length / 2;
  }
  return bytes;
}

function diskBytesOf(disk: MemoryFileSystem): number {
  return disk.list(dir).reduce(
    (sum, name) => sum + disk.stat(`${dir}/${name}`)!.size,
    0,
  );
}

Deno.test("999 idle clusters do not make the log grow while one writes 20 segments (rule L4)", async () => {
  const segmentBytes = 1024 * KiB;
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes });
  for (let clusterId = 1; clusterId <= 1000; clusterId++) {
    const hardState = { term: 1, votedFor: 1, commit: 0 };
    const write = appendTo(log, clusterId, 300);
    await log.commitGroup([{ ...write, bootstrap, hardState }], { sync: true });
  }
  const idle = contentsOf(log).slice(1);
  let written = 0;
  let most = 0;
  for (let count = 1; written < 20 * segmentBytes; count++) {
    await log.commitGroup([appendTo(log, 1, 20_000)], { sync: true });
    written += 20_000;
    if (count % 10 === 0) {
      await log.commitGroup([compactTo(log, 1, 5)], { sync: true });
    }
    if (count % 5 === 0) await settle(200);
    if (count % 10 === 0) {
      const over = diskBytesOf(disk) - 3 * liveBytesOf(log);
      most = Math.max(most, over / segmentBytes);
    }
  }
  assert.ok(most <= 4, `three times the live data and ${most} segments`);
  const liveBytes = liveBytesOf(log);
  await log.close();

  const recorder = new Recorder(disk);
  const again = await openLog(recorder, { segmentBytes });
  let readBytes = 0;
  for (const event of recorder.events) {
    if (event.what === "read") readBytes += event.length;
  }
  const limit = 3 * liveBytes + 4 * segmentBytes;
  assert.ok(readBytes <= limit, `${readBytes} of at most ${limit} read`);
  assert.deepEqual(contentsOf(again).slice(1), idle);
  await again.close();
});

Deno.test("A log whose live data is many segments stays within three times that (rule L4)", async () => {
  const segmentBytes = 64 * KiB;
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes });
  // 1.5 MiB that stay, then what is soon compacted.
  for (let clusterId = 2; clusterId <= 50; clusterId++) {
    for (let count = 0; count < 10; count++) {
      await log.commitGroup([appendTo(log, clusterId, 3000)], { sync: true });
    }
    await settle(100);
  }
  const kept = contentsOf(log);
  let most = 0;
  for (let count = 1; count <= 2500; count++) {
    await log.commitGroup([appendTo(log, 1, 2000)], { sync: true });
    if (count % 10 === 0) {
      await log.commitGroup([compactTo(log, 1, 2)], { sync: false });
    }
    if (count % 10 === 0) await settle(100);
    if (count % 50 === 0) {
      const over = diskBytesOf(disk) - 3 * liveBytesOf(log);
      most = Math.max(most, over / segmentBytes);
    }
  }
  assert.ok(most <= 4, `three times the live data and ${most} segments`);
  await log.close();
  const again = await openLog(disk, { segmentBytes });
  assert.deepEqual(contentsOf(again).slice(1), kept);
  await again.close();
});

Deno.test("An idle log shrinks when much of it was removed (rule L4)", async () => {
  const segmentBytes = 64 * KiB;
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes });
  for (let count = 0; count < 400; count++) {
    const clusterId = count % 20 === 0 ? 2 : 1;
    await log.commitGroup([appendTo(log, clusterId, 3000)], { sync: true });
    if (count % 10 === 0) await settle(100);
  }
  assert.ok(log.usage().segmentCount > 15);
  await log.commitGroup([compactTo(log, 1, 1)], { sync: true });
  await log.idle();
  await settle(200);
  const live = liveBytesOf(log);
  assert.ok(diskBytesOf(disk) <= 3 * live + 4 * segmentBytes);
  await log.close();
});

Deno.test("A damaged batch is not copied forward: its segment stays, and is reported", async () => {
  const disk = new MemoryFileSystem();
  const errors: unknown[] = [];
  const quiet = { debug() {}, info() {}, warn() {} };
  const logger = {
    ...quiet,
    error: (_message: string, fields?: Record<string, unknown>) =>
      errors.push(fields?.path),
  };
  const log = await openLog(disk, { logger });
  await log.commitGroup([appendTo(log, 2, 500), appendTo(log, 3, 500)], {
    sync: true,
  });
  const path = `${dir}/00000001.log`;
  const bytes = readFile(disk, path);
  const file = disk.open(path);
  file.writeAt(Uint8Array.of(bytes[1500]! ^ 1), 1500);
  file.close();
  for (let count = 1; count <= 300; count++) {
    await log.commitGroup([appendTo(log, 1, 2000)], { sync: true });
    if (count % 10 === 0) {
      await log.commitGroup([compactTo(log, 1, 2)], { sync: false });
      await settle(100);
    }
  }
  assert.deepEqual(errors, [path]);
  assert.deepEqual(disk.list(dir)[0], "00000001.log");
  assert.equal(log.failure, undefined);
  assert.equal(log.node(1, 1).lastIndex(), 300);
  await log.close();
  await assert.rejects(openLog(disk), { code: "corruption" });
});

Deno.test("Random writes over many small segments are read back exactly", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const prng = new Prng(seed);
    const disk = new MemoryFileSystem();
    const segmentBytes = prng.pick([8, 16, 24]) * KiB;
    const writes = new RandomWrites(prng, 8);
    let model: Model = new Map();
    let log = await openLog(disk, { segmentBytes, seed });
    for (let count = 0; count < 500; count++) {
      const group = writes.group(model);
      model = applyGroup(model, group);
      await log.commitGroup(group, { sync: prng.chance(1, 2) });
      if (prng.chance(1, 10)) await settle(60);
      if (prng.chance(1, 100)) {
        assert.deepEqual(contentsOf(log), contentsOfModel(model));
        await log.close();
        log = await openLog(disk, { segmentBytes, seed: seed + count });
      }
    }
    assert.deepEqual(contentsOf(log), contentsOfModel(model), `seed ${seed}`);
    await log.close();
    log = await openLog(disk, { segmentBytes, seed });
    assert.deepEqual(contentsOf(log), contentsOfModel(model), `seed ${seed}`);
    await log.close();
  }
});
