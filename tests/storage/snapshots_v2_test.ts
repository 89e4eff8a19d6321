import { assert } from "../deps.ts";
import { zlibCompression } from "../../raft/compression.ts";
import type { SnapshotMeta } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import { crc32 } from "../../storage/deps.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import { SnapshotStore } from "../../storage/snapshots.ts";
import type { SnapshotTraits } from "../../storage/snapshot_format.ts";

const meta: SnapshotMeta = {
  index: 100,
  term: 3,
  membership: {
    configChangeIndex: 4,
    members: [{ nodeId: 2, address: "host-2:7001", nodeHostId: "b2" }],
    observers: [],
    witnesses: [],
    removed: [1],
  },
};
const path = "data/snapshots/7-2/100.snap";
const traits: SnapshotTraits = {
  kind: "onDisk",
  isDummy: false,
  isImported: true,
  generation: 5,
  machineIndex: 98,
  fingerprint: "0123456789abcdef",
};

function storeOn(disk: MemoryFileSystem): SnapshotStore {
  return new SnapshotStore({
    fileSystem: disk,
    dir: "data",
    crc32,
    compression: zlibCompression,
  });
}

function write(disk: MemoryFileSystem, path: string, bytes: Uint8Array): void {
  disk.makeDirectory(path.slice(0, path.lastIndexOf("/")));
  const file = disk.open(path, { create: true });
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

/** Text that packs well, and differs at every position. */
function lines(length: number): Uint8Array {
  const text = new Uint8Array(length);
  const encoder = new TextEncoder();
  for (let at = 0, n = 0; at < length;) {
    const line = encoder.encode(`line ${n++}\n`);
    text.set(line.subarray(0, length - at), at);
    at += line.length;
  }
  return text;
}

async function bodyOf(store: SnapshotStore): Promise<Uint8Array> {
  const snapshot = store.open(7, 2, 100);
  try {
    return await new Response(snapshot.body()).bytes();
  } finally {
    snapshot.close();
  }
}

/** A snapshot with all that version 2 has. */
async function saveAll(disk: MemoryFileSystem): Promise<SnapshotStore> {
  const store = storeOn(disk);
  write(disk, "user/a", lines(1_000));
  write(disk, "user/empty", new Uint8Array(0));
  const writer = store.create(7, 2, meta, { traits, isPacked: true });
  await writer.write(lines(500));
  await writer.addFile(3, "user/a", Uint8Array.of(1, 2));
  await writer.writeSessions(Uint8Array.of(9, 9, 9));
  await writer.write(Uint8Array.of(7));
  await writer.addFile(0, "user/empty");
  await writer.finish();
  return store;
}

Deno.test("A snapshot of version 2 gives back state, traits, sessions and files", async () => {
  const disk = new MemoryFileSystem();
  const store = await saveAll(disk);
  const snapshot = store.open(7, 2, 100);
  assert.deepEqual(snapshot.traits, traits);
  assert.deepEqual(snapshot.meta, meta);
  assert.equal(snapshot.bodyBytes, 501);
  assert.deepEqual(
    await bodyOf(store),
    Uint8Array.from([...lines(500), 7]),
  );
  const files = await store.extractFiles(snapshot, 2);
  assert.deepEqual(
    files.map(({ id, metadata }) => [id, [...metadata]]),
    [[3, [1, 2]], [0, []]],
  );
  assert.deepEqual(read(disk, files[0]!.path), lines(1_000));
  assert.deepEqual(read(disk, files[1]!.path), new Uint8Array(0));
  store.cleanUp(() => 100);
  assert.equal(disk.stat(files[0]!.path), undefined);
  assert.notEqual(disk.stat(path), undefined);
});

Deno.test("Snapshots read the golden file of format version 2 (rule L8)", async () => {
  const golden = Deno.readFileSync(
    new URL("../golden/snapshot_v2.snap", import.meta.url),
  );
  const disk = new MemoryFileSystem();
  // Packed sizes differ from one zlib to the next (rule C11), so the file is compared by what is in it.
  write(disk, path, golden);
  const store = storeOn(disk);
  const snapshot = store.open(7, 2, 100);
  assert.deepEqual(snapshot.traits, traits);
  const blocks: string[] = [];
  for await (const block of snapshot.blocks()) {
    const sum = crc32(snapshot.unpack(block)).toString(16);
    blocks.push(`${block.kind} ${block.codec} ${block.rawLength} ${sum}`);
  }
  const again = new MemoryFileSystem();
  const now = (await saveAll(again)).open(7, 2, 100);
  const expected: string[] = [];
  for await (const block of now.blocks()) {
    const sum = crc32(now.unpack(block)).toString(16);
    expected.push(`${block.kind} ${block.codec} ${block.rawLength} ${sum}`);
  }
  assert.deepEqual(blocks, expected);
});

Deno.test("A snapshot of version 1 becomes one of version 2 with its first file, however late", async () => {
  for (const before of [10, 600_000]) {
    const disk = new MemoryFileSystem();
    const store = storeOn(disk);
    write(disk, "user/a", lines(300_000));
    const writer = store.create(7, 2, meta);
    await writer.write(lines(before));
    await writer.addFile(1, "user/a");
    await writer.write(Uint8Array.of(1));
    await writer.finish();
    const snapshot = store.open(7, 2, 100);
    assert.equal(snapshot.traits.kind, "regular");
    const [file] = await store.extractFiles(snapshot, 2);
    assert.deepEqual(read(disk, file!.path), lines(300_000));
    assert.deepEqual(
      await bodyOf(store),
      Uint8Array.from([...lines(before), 1]),
    );
    assert.deepEqual(
      disk.list("data/snapshots/7-2").filter((name) => name.endsWith(".tmp")),
      [],
    );
  }
});

Deno.test("addFile() refuses ids used before, files that are not there and what is no path", async () => {
  const disk = new MemoryFileSystem();
  const store = storeOn(disk);
  write(disk, "user/a", lines(10));
  const writer = store.create(7, 2, meta);
  await writer.addFile(1, "user/a");
  await assert.rejects(writer.addFile(1, "user/a"), RangeError);
  await assert.rejects(writer.addFile(-1, "user/a"), RangeError);
  await assert.rejects(writer.addFile(2, 5 as unknown as string), TypeError);
  await assert.rejects(
    writer.addFile(2, "user/a", new Uint8Array(70_000)),
    RangeError,
  );
  await assert.rejects(
    writer.addFile(2, "user/b"),
    (error) => error instanceof RaftError && error.code === "rejected",
  );
  await writer.addFile(2, "user/a"); // None of that did it any harm.
  await writer.finish();
});

Deno.test("Every flipped byte of a snapshot of version 2 is found (rule L7)", async () => {
  const disk = new MemoryFileSystem();
  const store = await saveAll(disk);
  const good = read(disk, path);
  for (let at = 0; at < good.length; at++) {
    const bad = good.slice();
    bad[at]! ^= 0x10;
    write(disk, path, bad);
    await assert.rejects(
      async () => {
        const snapshot = store.open(7, 2, 100);
        try {
          for await (const block of snapshot.blocks()) snapshot.unpack(block);
        } finally {
          snapshot.close();
        }
      },
      (error) => error instanceof RaftError && error.code === "corruption",
      `byte ${at}`,
    );
  }
});

Deno.test("A packed block that unpacks to more, or less, than it says is refused", async () => {
  const disk = new MemoryFileSystem();
  for (const rawLength of [100, 262_144]) {
    const store = storeOn(disk);
    const writer = store.create(7, 2, meta, { traits });
    const data = zlibCompression.deflate(new Uint8Array(200_000));
    const packed = data.length < 100 ? data : data.subarray(0, 99);
    await writer.copyBlock({ kind: 0, codec: 1, rawLength, data: packed });
    await writer.finish();
    await assert.rejects(
      bodyOf(store),
      (error) => error instanceof RaftError && error.code === "corruption",
    );
  }
});

Deno.test("shrink() leaves a snapshot without state in its place", async () => {
  const disk = new MemoryFileSystem();
  const store = await saveAll(disk);
  await store.shrink(7, 2, meta, traits);
  const snapshot = store.open(7, 2, 100);
  assert.equal(snapshot.traits.isDummy, true);
  assert.equal(snapshot.traits.isImported, false);
  assert.equal((await bodyOf(store)).length, 0);
});
