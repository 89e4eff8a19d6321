import { assert } from "../deps.ts";
import { testFileSystem } from "../contracts/file_system.ts";
import { Prng } from "../../raft/core/prng.ts";
import {
  MemoryFileSystem,
  memoryStorage,
} from "../../storage/memory_file_system.ts";

testFileSystem("MemoryFileSystem", () => {
  const fileSystem = memoryStorage();
  fileSystem.makeDirectory("data/1");
  return { fileSystem, dir: "data/1", dispose: () => {} };
});

const sector = 512;

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function content(disk: MemoryFileSystem, path: string): Uint8Array {
  const file = disk.open(path);
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  return bytes;
}

function textOf(disk: MemoryFileSystem, path: string): string | undefined {
  return disk.stat(path) === undefined
    ? undefined
    : new TextDecoder().decode(content(disk, path));
}

async function durableFile(
  disk: MemoryFileSystem,
  path: string,
  bytes: Uint8Array,
): Promise<void> {
  const file = disk.open(path, { create: true });
  file.writeAt(bytes, 0);
  await file.sync();
  file.close();
  for (
    let at = path.lastIndexOf("/");
    at > 0;
    at = path.lastIndexOf("/", at - 1)
  ) {
    disk.syncDirectory(path.slice(0, at));
  }
  disk.syncDirectory("/");
}

/** What each of many power cuts leaves, as text. */
async function outcomes(
  prepare: (disk: MemoryFileSystem) => Promise<void>,
  look: (disk: MemoryFileSystem) => string,
): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 200; seed++) {
    const disk = new MemoryFileSystem();
    await prepare(disk);
    disk.crash(new Prng(seed));
    seen.add(look(disk));
  }
  return seen;
}

function sorted(set: Set<string>): string[] {
  return [...set].sort();
}

Deno.test("MemoryFileSystem.crash() keeps what was synced (rule L6)", async () => {
  const seen = await outcomes(
    (disk) => durableFile(disk, "d/a", filled(3 * sector, 7)),
    (disk) => `${content(disk, "d/a")}`,
  );
  assert.deepEqual(sorted(seen), [`${filled(3 * sector, 7)}`]);
});

Deno.test("MemoryFileSystem.crash() keeps any subset of unsynced sectors, and the old content of the others (rule L6)", async () => {
  const seen = await outcomes(
    async (disk) => {
      await durableFile(disk, "a", filled(3 * sector, 1));
      disk.open("a").writeAt(filled(3 * sector, 2), 0);
    },
    (disk) => {
      const bytes = content(disk, "a");
      const values = [0, 1, 2].map((n) => {
        const part = bytes.subarray(n * sector, (n + 1) * sector);
        assert.ok(part.every((byte) => byte === part[0]), "a torn sector");
        return part[0];
      });
      return values.join("");
    },
  );
  assert.deepEqual(sorted(seen), [
    "111",
    "112",
    "121",
    "122",
    "211",
    "212",
    "221",
    "222",
  ]);
});

Deno.test("MemoryFileSystem.crash() may keep any of several writes to one sector (rule L6)", async () => {
  const seen = await outcomes(
    async (disk) => {
      await durableFile(disk, "a", filled(sector, 1));
      const file = disk.open("a");
      file.writeAt(filled(10, 2), 0);
      file.writeAt(filled(10, 3), 5);
    },
    (disk) => [0, 5, 12, 15].map((at) => content(disk, "a")[at]).join(""),
  );
  assert.deepEqual(sorted(seen), ["1111", "2211", "2331"]);
});

Deno.test("MemoryFileSystem.crash() may lose a growing file's length (rule L6)", async () => {
  const seen = await outcomes(
    async (disk) => {
      await durableFile(disk, "a", filled(sector, 1));
      disk.open("a").writeAt(filled(sector, 2), sector);
    },
    (disk) => {
      const bytes = content(disk, "a");
      assert.ok(bytes.subarray(0, sector).every((byte) => byte === 1));
      if (bytes.length === sector) return "short";
      if (bytes.length === 2 * sector) return `long ${bytes[sector]}`;
      return "between";
    },
  );
  assert.deepEqual(sorted(seen), ["between", "long 0", "long 2", "short"]);
});

Deno.test("MemoryFileSystem.sync() covers only writes that had returned (rule L2)", async () => {
  const seen = await outcomes(
    async (disk) => {
      await durableFile(disk, "a", filled(2 * sector, 1));
      const file = disk.open("a");
      file.writeAt(filled(sector, 2), 0);
      const gate = Promise.withResolvers<void>();
      disk.faults = { beforeSync: () => gate.promise };
      const syncing = file.sync();
      file.writeAt(filled(2 * sector, 3), 0);
      gate.resolve();
      await syncing;
      disk.faults = {};
    },
    (disk) => [0, sector].map((at) => content(disk, "a")[at]).join(""),
  );
  assert.deepEqual(sorted(seen), ["21", "23", "31", "33"]);
});

Deno.test("MemoryFileSystem.crash() during a sync loses any of it, and the sync never settles", async () => {
  let settled = 0;
  const seen = await outcomes(
    async (disk) => {
      await durableFile(disk, "a", filled(sector, 1));
      const file = disk.open("a");
      file.writeAt(filled(sector, 2), 0);
      disk.faults = {
        beforeSync: () => new Promise((resolve) => queueMicrotask(resolve)),
      };
      file.sync().finally(() => settled++);
    },
    (disk) => `${content(disk, "a")[0]}`,
  );
  await new Promise<void>((resolve) => queueMicrotask(resolve));
  assert.deepEqual(sorted(seen), ["1", "2"]);
  assert.equal(settled, 0);
});

Deno.test("MemoryFileSystem: a failed sync drops what was dirty, while reads return it, and no later sync helps (rule L6)", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const disk = new MemoryFileSystem();
    await durableFile(disk, "a", filled(2 * sector, 1));
    const file = disk.open("a");
    file.writeAt(filled(sector, 2), 0);
    disk.faults = {
      beforeSync: () => {
        throw Object.assign(new Error("EIO"), { code: "EIO" });
      },
    };
    await assert.rejects(file.sync(), { code: "EIO" });
    disk.faults = {};
    file.writeAt(filled(sector, 3), sector);
    await file.sync();
    assert.equal(content(disk, "a")[0], 2);
    if (seed % 2 === 0) disk.crash(new Prng(seed));
    else disk.halt();
    assert.equal(content(disk, "a")[0], 1);
    assert.equal(content(disk, "a")[sector], 3);
    disk.crash(new Prng(seed));
    assert.equal(content(disk, "a")[0], 1);
  }
});

Deno.test("MemoryFileSystem: what is written again after a failed sync can be synced", async () => {
  const disk = new MemoryFileSystem();
  const file = disk.open("a", { create: true });
  disk.syncDirectory("/");
  file.writeAt(filled(sector, 2), 0);
  disk.faults = { beforeSync: () => Promise.reject(new Error("EIO")) };
  await assert.rejects(file.sync());
  disk.faults = {};
  file.writeAt(filled(sector, 3), 0);
  await file.sync();
  disk.crash({ below: () => 0 });
  assert.deepEqual(content(disk, "a"), filled(sector, 3));
});

Deno.test("MemoryFileSystem.crash() may lose creations until the folder is synced (rule L6)", async () => {
  const seen = await outcomes(
    async (disk) => {
      disk.makeDirectory("d");
      disk.syncDirectory("/");
      for (const name of ["a", "b"]) {
        const file = disk.open(`d/${name}`, { create: true });
        file.writeAt(filled(1, 1), 0);
        await file.sync();
      }
    },
    (disk) => disk.list("d").join(" "),
  );
  assert.deepEqual(sorted(seen), ["", "a", "a b", "b"]);
});

Deno.test("MemoryFileSystem.crash() may lose a whole new folder, synced inside or not (rule L6)", async () => {
  const seen = await outcomes(
    async (disk) => {
      const file = disk.open("d/a", { create: true });
      await file.sync();
      disk.syncDirectory("d");
    },
    (disk) =>
      `${disk.stat("d") !== undefined} ${disk.stat("d/a") !== undefined}`,
  );
  assert.deepEqual(sorted(seen), ["false false", "true true"]);
});

Deno.test("MemoryFileSystem.crash() undoes an unsynced rename wholly or not at all (rule L6)", async () => {
  const text = (value: string) => new TextEncoder().encode(value);
  const prepare = async (disk: MemoryFileSystem) => {
    await durableFile(disk, "d/a", text("old"));
    const file = disk.open("d/a.tmp", { create: true });
    file.writeAt(text("new"), 0);
    await file.sync();
    disk.rename("d/a.tmp", "d/a");
  };
  const look = (disk: MemoryFileSystem) =>
    `${textOf(disk, "d/a")} ${textOf(disk, "d/a.tmp")}`;
  assert.deepEqual(sorted(await outcomes(prepare, look)), [
    "new undefined",
    "old new",
    "old undefined",
  ]);
  const synced = await outcomes(async (disk) => {
    await prepare(disk);
    disk.syncDirectory("d");
  }, look);
  assert.deepEqual(sorted(synced), ["new undefined"]);
});

Deno.test("MemoryFileSystem.crash() never shows a moved file under two names", async () => {
  const seen = await outcomes(
    async (disk) => {
      await durableFile(disk, "d/a", filled(1, 1));
      disk.makeDirectory("e");
      disk.syncDirectory("/");
      disk.rename("d/a", "d/b");
      disk.rename("d/b", "e/c");
    },
    (disk) => `${disk.list("d")}|${disk.list("e")}`,
  );
  assert.deepEqual(sorted(seen), ["a|", "b|", "|c"]);
});

Deno.test("MemoryFileSystem.syncDirectory() of either folder makes a move durable on both sides", async () => {
  for (const folder of ["d", "e"]) {
    const seen = await outcomes(
      async (disk) => {
        await durableFile(disk, "d/a", filled(1, 1));
        disk.makeDirectory("e");
        disk.syncDirectory("/");
        disk.rename("d/a", "e/a");
        disk.syncDirectory(folder);
      },
      (disk) => `${disk.list("d")}|${disk.list("e")}`,
    );
    assert.deepEqual(sorted(seen), ["|a"]);
  }
});

Deno.test("MemoryFileSystem.syncDirectory() settles a file's whole past, in other folders too", async () => {
  const seen = await outcomes(
    async (disk) => {
      disk.makeDirectory("d");
      disk.makeDirectory("e");
      disk.syncDirectory("/");
      const file = disk.open("d/a.tmp", { create: true });
      await file.sync();
      disk.rename("d/a.tmp", "e/a");
      disk.syncDirectory("e");
    },
    (disk) => `${disk.list("d")}|${disk.list("e")}`,
  );
  assert.deepEqual(sorted(seen), ["|a"]);
});

Deno.test("MemoryFileSystem.crash() may bring a removed file back until the folder is synced (rule L6)", async () => {
  const prepare = async (disk: MemoryFileSystem) => {
    await durableFile(disk, "d/a", filled(5, 1));
    disk.remove("d/a");
  };
  const look = (disk: MemoryFileSystem) =>
    disk.stat("d/a") === undefined ? "gone" : `${content(disk, "d/a")}`;
  assert.deepEqual(sorted(await outcomes(prepare, look)), [
    "1,1,1,1,1",
    "gone",
  ]);
  const synced = await outcomes(async (disk) => {
    await prepare(disk);
    disk.syncDirectory("d");
  }, look);
  assert.deepEqual(sorted(synced), ["gone"]);
});

Deno.test("MemoryFileSystem: a name that was removed and made again is the new file once synced", async () => {
  const seen = await outcomes(
    async (disk) => {
      await durableFile(disk, "d/a", filled(5, 1));
      disk.remove("d/a");
      const file = disk.open("d/a", { createNew: true });
      file.writeAt(filled(2, 2), 0);
      await file.sync();
      disk.syncDirectory("d");
    },
    (disk) => `${content(disk, "d/a")}`,
  );
  assert.deepEqual(sorted(seen), ["2,2"]);
});

Deno.test("MemoryFileSystem.crash() and halt() kill handles and free locks", () => {
  for (const end of ["crash", "halt"] as const) {
    const disk = new MemoryFileSystem();
    const lock = disk.tryLock("lock");
    const file = disk.open("a", { create: true });
    disk.syncDirectory("/");
    if (end === "crash") disk.crash(new Prng(1));
    else disk.halt();
    assert.throws(() => file.size(), { code: "EBADF" });
    assert.throws(() => file.writeAt(filled(1, 1), 0), { code: "EBADF" });
    const next = disk.tryLock("lock");
    assert.notEqual(next, undefined);
    lock?.release(); // The dead process's: must not free the lock of the living.
    assert.equal(disk.tryLock("lock"), undefined);
    file.close();
  }
});

Deno.test("MemoryFileSystem.halt() keeps what was not synced; a later crash may lose it (rule L2)", async () => {
  const seen = await outcomes(
    async (disk) => {
      await durableFile(disk, "a", filled(1, 1));
      disk.open("a").writeAt(filled(1, 2), 0);
      disk.open("b", { create: true });
      disk.halt();
      assert.deepEqual(disk.list("/"), ["a", "b"]);
      assert.deepEqual(content(disk, "a"), filled(1, 2));
    },
    (disk) => `${disk.list("/").length} ${content(disk, "a")[0]}`,
  );
  assert.deepEqual(sorted(seen), ["1 1", "1 2", "2 1", "2 2"]);
});

Deno.test("MemoryFileSystem: a full disk takes what fits and fails with ENOSPC (rule L5)", () => {
  const disk = new MemoryFileSystem({ capacityBytes: 1_000 });
  const file = disk.open("a", { create: true });
  file.writeAt(filled(600, 1), 0);
  assert.throws(() => file.writeAt(filled(600, 2), 600), { code: "ENOSPC" });
  assert.equal(file.size(), 1_000);
  assert.equal(disk.usedBytes, 1_000);
  file.writeAt(filled(600, 3), 0);
  assert.throws(() => disk.open("b", { create: true }), { code: "ENOSPC" });
  assert.throws(() => file.truncate(1_001), { code: "ENOSPC" });
  file.truncate(500);
  disk.open("b", { create: true }).writeAt(filled(500, 1), 0);
  disk.remove("b");
  assert.equal(disk.usedBytes, 1_000); // Still open.
  file.close();
  disk.remove("a");
  assert.equal(disk.usedBytes, 500);
  disk.halt();
  assert.equal(disk.usedBytes, 0);
});

Deno.test("MemoryFileSystem.faults may fail operations and shorten writes", async () => {
  const disk = new MemoryFileSystem();
  const file = disk.open("a", { create: true });
  const calls: string[] = [];
  const fail = () => {
    throw Object.assign(new Error("EIO"), { code: "EIO" });
  };
  disk.faults = {
    beforeWrite: (path, position, length) => {
      calls.push(`${path} ${position} ${length}`);
      if (position >= 4) fail();
      return 2;
    },
    beforeRead: fail,
    beforeCreate: fail,
    beforeSync: fail,
    beforeChange: fail,
  };
  assert.throws(() => file.writeAt(filled(10, 1), 0), { code: "EIO" });
  assert.deepEqual(calls, ["a 0 10", "a 2 8", "a 4 6"]);
  assert.throws(() => file.readAt(new Uint8Array(1), 0), { code: "EIO" });
  assert.throws(() => disk.open("b", { create: true }), { code: "EIO" });
  assert.throws(() => disk.rename("a", "b"), { code: "EIO" });
  assert.throws(() => disk.syncDirectory("/"), { code: "EIO" });
  await assert.rejects(file.sync(), { code: "EIO" });
  disk.faults = {};
  assert.deepEqual(content(disk, "a"), filled(4, 1));
});

Deno.test("MemoryFileSystem does not store zeros", () => {
  const disk = new MemoryFileSystem();
  const before = Deno.memoryUsage().external;
  const zeros = new Uint8Array(1024 * 1024);
  for (let segment = 0; segment < 32; segment++) {
    const file = disk.open(`segment-${segment}`, { create: true });
    for (let mib = 0; mib < 16; mib++) file.writeAt(zeros, mib * zeros.length);
    file.writeAt(filled(100, 1), 5_000);
  }
  assert.equal(disk.usedBytes, 512 * zeros.length);
  const grown = Deno.memoryUsage().external - before;
  assert.ok(grown < 16 * zeros.length, `${grown} bytes for 512 MiB of zeros`);
});

Deno.test("MemoryFileSystem agrees with a plain model under random operations", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const prng = new Prng(seed);
    const disk = new MemoryFileSystem();
    const file = disk.open("a", { create: true });
    disk.syncDirectory("/");
    let model = new Uint8Array(0);
    for (let step = 0; step < 200; step++) {
      const kind = prng.below(10);
      const at = prng.below(20_000);
      if (kind < 6) {
        const part = filled(prng.below(9_000), prng.below(4));
        const next = new Uint8Array(
          part.length === 0
            ? model.length
            : Math.max(model.length, at + part.length),
        );
        next.set(model);
        if (part.length > 0) next.set(part, at);
        model = next;
        file.writeAt(part, at);
      } else if (kind === 6) {
        const next = new Uint8Array(at);
        next.set(model.subarray(0, at));
        model = next;
        file.truncate(at);
      } else if (kind === 7) {
        await file.sync();
      }
      const target = new Uint8Array(model.length + 10);
      assert.equal(file.readAt(target, 0), model.length);
      assert.ok(equal(target.subarray(0, model.length), model));
    }
    await file.sync();
    disk.crash(prng);
    assert.ok(equal(content(disk, "a"), model));
  }
});

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
