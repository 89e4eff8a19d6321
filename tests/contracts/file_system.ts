/** What every `FileSystem` must do: one suite, run against each adapter. */
import { assert } from "../deps.ts";
import type { FileSystem } from "../../storage/file_system.ts";

/** An adapter under test, and an empty folder in it. */
export interface FileSystemUnderTest {
  readonly fileSystem: FileSystem;
  readonly dir: string;
  /** Removes what the test made. */
  dispose(): void;
}

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

function readAll(fileSystem: FileSystem, path: string): Uint8Array {
  const file = fileSystem.open(path);
  const target = new Uint8Array(file.size());
  assert.equal(file.readAt(target, 0), target.length);
  file.close();
  return target;
}

function writeFile(fileSystem: FileSystem, path: string, content: Uint8Array) {
  const file = fileSystem.open(path, { create: true });
  file.truncate(0);
  file.writeAt(content, 0);
  file.close();
}

const cases: Record<
  string,
  (fileSystem: FileSystem, dir: string) => void | Promise<void>
> = {
  "open() fails with ENOENT without create": (fileSystem, dir) => {
    assert.throws(() => fileSystem.open(`${dir}/none`), { code: "ENOENT" });
    assert.throws(() => fileSystem.open(`${dir}/no/ne`), { code: "ENOENT" });
    assert.deepEqual(fileSystem.list(dir), []);
  },

  "open() with create keeps what is there": (fileSystem, dir) => {
    writeFile(fileSystem, `${dir}/a`, bytes(1, 2, 3));
    const file = fileSystem.open(`${dir}/a`, { create: true });
    assert.equal(file.size(), 3);
    file.close();
  },

  "open() with createNew fails with EEXIST": (fileSystem, dir) => {
    fileSystem.open(`${dir}/a`, { createNew: true }).close();
    assert.throws(() => fileSystem.open(`${dir}/a`, { createNew: true }), {
      code: "EEXIST",
    });
  },

  "open() with create makes parent folders": (fileSystem, dir) => {
    fileSystem.open(`${dir}/x/y/a`, { create: true }).close();
    fileSystem.open(`${dir}/z/b`, { createNew: true }).close();
    assert.deepEqual(fileSystem.list(`${dir}/x/y`), ["a"]);
    assert.deepEqual(fileSystem.list(`${dir}/z`), ["b"]);
  },

  "open() refuses a folder": (fileSystem, dir) => {
    fileSystem.makeDirectory(`${dir}/folder`);
    assert.throws(() => fileSystem.open(`${dir}/folder`), { code: "EISDIR" });
  },

  "readAt() reads at the position, and fewer bytes at the end": (
    fileSystem,
    dir,
  ) => {
    writeFile(fileSystem, `${dir}/a`, bytes(1, 2, 3, 4, 5));
    const file = fileSystem.open(`${dir}/a`);
    const target = new Uint8Array(3).fill(9);
    assert.equal(file.readAt(target, 1), 3);
    assert.deepEqual(target, bytes(2, 3, 4));
    assert.equal(file.readAt(target, 4), 1);
    assert.deepEqual(target, bytes(5, 3, 4));
    assert.equal(file.readAt(target, 5), 0);
    assert.equal(file.readAt(target, 500), 0);
    assert.equal(file.readAt(new Uint8Array(0), 0), 0);
    file.close();
  },

  "writeAt() overwrites in place and extends": (fileSystem, dir) => {
    const file = fileSystem.open(`${dir}/a`, { create: true });
    file.writeAt(bytes(1, 2, 3, 4), 0);
    file.writeAt(bytes(8, 9), 1);
    file.writeAt(bytes(7), 10_000);
    file.writeAt(new Uint8Array(0), 20_000);
    assert.equal(file.size(), 10_001);
    const target = new Uint8Array(10_001).fill(5);
    assert.equal(file.readAt(target, 0), 10_001);
    assert.deepEqual(target.subarray(0, 6), bytes(1, 8, 9, 4, 0, 0));
    assert.equal(target.subarray(4, 10_000).every((byte) => byte === 0), true);
    assert.equal(target[10_000], 7);
    file.close();
  },

  "writeAt() takes a view into a larger buffer": (fileSystem, dir) => {
    const whole = new Uint8Array(20_000).map((_, i) => i % 251);
    const file = fileSystem.open(`${dir}/a`, { create: true });
    file.writeAt(whole.subarray(3, 15_003), 5);
    const target = new Uint8Array(15_010);
    assert.equal(file.readAt(target.subarray(1), 5), 15_000);
    assert.deepEqual(target.subarray(1, 15_001), whole.subarray(3, 15_003));
    file.close();
  },

  "two handles of one file see each other's writes": (fileSystem, dir) => {
    const writer = fileSystem.open(`${dir}/a`, { create: true });
    const reader = fileSystem.open(`${dir}/a`);
    writer.writeAt(bytes(1, 2), 0);
    const target = new Uint8Array(2);
    assert.equal(reader.readAt(target, 0), 2);
    assert.deepEqual(target, bytes(1, 2));
    writer.close();
    reader.close();
  },

  "truncate() cuts, and extends with zeros": (fileSystem, dir) => {
    const file = fileSystem.open(`${dir}/a`, { create: true });
    file.writeAt(new Uint8Array(9_000).fill(1), 0);
    file.truncate(4_500);
    assert.equal(file.size(), 4_500);
    file.truncate(9_000);
    const target = new Uint8Array(9_000);
    assert.equal(file.readAt(target, 0), 9_000);
    assert.equal(target.subarray(0, 4_500).every((b) => b === 1), true);
    assert.equal(target.subarray(4_500).every((b) => b === 0), true);
    file.close();
  },

  "sync() resolves, also twice and during writes": async (fileSystem, dir) => {
    const file = fileSystem.open(`${dir}/a`, { create: true });
    file.writeAt(bytes(1), 0);
    const first = file.sync();
    file.writeAt(bytes(2), 1);
    await Promise.all([first, file.sync()]);
    file.close();
    assert.deepEqual(readAll(fileSystem, `${dir}/a`), bytes(1, 2));
  },

  "close() during a sync waits for it": async (fileSystem, dir) => {
    const file = fileSystem.open(`${dir}/a`, { create: true });
    file.writeAt(bytes(1), 0);
    const syncing = file.sync();
    file.close();
    file.close();
    await syncing;
  },

  "a closed file refuses everything with EBADF": async (fileSystem, dir) => {
    const file = fileSystem.open(`${dir}/a`, { create: true });
    file.close();
    assert.throws(() => file.readAt(new Uint8Array(1), 0), { code: "EBADF" });
    assert.throws(() => file.writeAt(bytes(1), 0), { code: "EBADF" });
    assert.throws(() => file.size(), { code: "EBADF" });
    assert.throws(() => file.truncate(0), { code: "EBADF" });
    await assert.rejects(file.sync(), { code: "EBADF" });
  },

  "list() gives sorted names, or ENOENT": (fileSystem, dir) => {
    for (const name of ["b", "a10", "a2", "B", "ä"]) {
      fileSystem.open(`${dir}/${name}`, { create: true }).close();
    }
    assert.deepEqual(fileSystem.list(dir), ["B", "a10", "a2", "b", "ä"]);
    assert.deepEqual(fileSystem.list(`${dir}/`), ["B", "a10", "a2", "b", "ä"]);
    assert.throws(() => fileSystem.list(`${dir}/none`), { code: "ENOENT" });
    assert.throws(() => fileSystem.list(`${dir}/b`), { code: "ENOTDIR" });
  },

  "stat() describes files and folders": (fileSystem, dir) => {
    writeFile(fileSystem, `${dir}/a`, bytes(1, 2, 3));
    const file = fileSystem.stat(`${dir}/a`);
    const folder = fileSystem.stat(dir);
    assert.equal(file?.isDirectory, false);
    assert.equal(file?.size, 3);
    assert.equal(folder?.isDirectory, true);
    assert.notEqual(file?.inode, folder?.inode);
    assert.equal(file?.device, folder?.device);
    assert.equal(fileSystem.stat(`${dir}/none`), undefined);
    assert.equal(fileSystem.stat(`${dir}/a/below`), undefined);
    assert.equal(fileSystem.stat(`${dir}/none/below`), undefined);
  },

  "stat() gives an inode that a rename keeps and a copy does not": (
    fileSystem,
    dir,
  ) => {
    writeFile(fileSystem, `${dir}/a`, bytes(1));
    writeFile(fileSystem, `${dir}/copy`, bytes(1));
    const before = fileSystem.stat(`${dir}/a`);
    fileSystem.rename(`${dir}/a`, `${dir}/b`);
    assert.equal(fileSystem.stat(`${dir}/b`)?.inode, before?.inode);
    assert.notEqual(fileSystem.stat(`${dir}/copy`)?.inode, before?.inode);
  },

  "makeDirectory() makes parents and accepts an existing one": (
    fileSystem,
    dir,
  ) => {
    fileSystem.makeDirectory(`${dir}/x/y/z`);
    fileSystem.makeDirectory(`${dir}/x/y/z`);
    assert.equal(fileSystem.stat(`${dir}/x/y/z`)?.isDirectory, true);
    writeFile(fileSystem, `${dir}/file`, bytes(1));
    assert.throws(() => fileSystem.makeDirectory(`${dir}/file/x`), {
      code: "ENOTDIR",
    });
  },

  "rename() replaces a file; who has it open keeps it": (fileSystem, dir) => {
    writeFile(fileSystem, `${dir}/a`, bytes(1));
    writeFile(fileSystem, `${dir}/b`, bytes(2));
    const old = fileSystem.open(`${dir}/b`);
    fileSystem.rename(`${dir}/a`, `${dir}/b`);
    assert.deepEqual(fileSystem.list(dir), ["b"]);
    assert.deepEqual(readAll(fileSystem, `${dir}/b`), bytes(1));
    const target = new Uint8Array(1);
    assert.equal(old.readAt(target, 0), 1);
    assert.deepEqual(target, bytes(2));
    old.close();
  },

  "rename() moves folders and fails with ENOENT": (fileSystem, dir) => {
    writeFile(fileSystem, `${dir}/x/a`, bytes(1));
    fileSystem.makeDirectory(`${dir}/y`);
    fileSystem.rename(`${dir}/x`, `${dir}/y/z`);
    assert.deepEqual(readAll(fileSystem, `${dir}/y/z/a`), bytes(1));
    assert.throws(() => fileSystem.rename(`${dir}/x`, `${dir}/w`), {
      code: "ENOENT",
    });
    assert.throws(
      () => fileSystem.rename(`${dir}/y`, `${dir}/none/y`),
      { code: "ENOENT" },
    );
  },

  "remove() removes files and whole folders; a missing one is fine": (
    fileSystem,
    dir,
  ) => {
    writeFile(fileSystem, `${dir}/x/y/a`, bytes(1));
    writeFile(fileSystem, `${dir}/b`, bytes(1));
    fileSystem.remove(`${dir}/x`);
    fileSystem.remove(`${dir}/b`);
    fileSystem.remove(`${dir}/none`);
    fileSystem.remove(`${dir}/none/below`);
    assert.deepEqual(fileSystem.list(dir), []);
  },

  "a removed file can be read by who has it open": (fileSystem, dir) => {
    writeFile(fileSystem, `${dir}/a`, bytes(1));
    const file = fileSystem.open(`${dir}/a`);
    fileSystem.remove(`${dir}/a`);
    const target = new Uint8Array(1);
    assert.equal(file.readAt(target, 0), 1);
    assert.deepEqual(target, bytes(1));
    file.close();
  },

  "syncDirectory() accepts a folder and refuses what is none": (
    fileSystem,
    dir,
  ) => {
    fileSystem.syncDirectory(dir);
    assert.throws(() => fileSystem.syncDirectory(`${dir}/none`), {
      code: "ENOENT",
    });
  },

  "tryLock() gives a lock to one holder at a time": (fileSystem, dir) => {
    const first = fileSystem.tryLock(`${dir}/lock`);
    assert.notEqual(first, undefined);
    assert.deepEqual(fileSystem.list(dir), ["lock"]);
    assert.equal(fileSystem.tryLock(`${dir}/lock`), undefined);
    first?.release();
    first?.release();
    const second = fileSystem.tryLock(`${dir}/lock`);
    assert.notEqual(second, undefined);
    first?.release();
    assert.equal(fileSystem.tryLock(`${dir}/lock`), undefined);
    second?.release();
  },
};

/** Registers one test per thing that a file system must do. */
export function testFileSystem(
  name: string,
  make: () => FileSystemUnderTest,
): void {
  for (const [what, run] of Object.entries(cases)) {
    Deno.test(`${name}: ${what}`, async () => {
      const { fileSystem, dir, dispose } = make();
      try {
        await run(fileSystem, dir);
      } finally {
        dispose();
      }
    });
  }
}
