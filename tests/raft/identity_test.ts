import { assert } from "../deps.ts";
import { Prng } from "../../raft/core/prng.ts";
import { RaftError } from "../../raft/errors.ts";
import {
  type IdentityOptions,
  type OpenedIdentity,
  openIdentity,
} from "../../raft/identity.ts";
import type { Random } from "../../raft/ports.ts";
import { DenoFileSystem } from "../../storage/deno_file_system.ts";
import type { FileSystem } from "../../storage/file_system.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";

/** Fills with 1, 2, 3 … so that ids can be told apart and repeat in every run. */
function counting(): Random {
  let next = 1;
  return { fill: (bytes) => bytes.forEach((_, i) => bytes[i] = next++) };
}

function open(
  fileSystem: FileSystem,
  options: Partial<IdentityOptions> = {},
): Promise<OpenedIdentity> {
  return openIdentity({
    fileSystem,
    dir: "data/1",
    raftAddress: "host-1:7001",
    raftAddressChanged: false,
    adoptCopiedDir: false,
    deploymentId: 5n,
    random: counting(),
    ...options,
  });
}

/** Opens and lets go. */
async function visit(
  fileSystem: FileSystem,
  options: Partial<IdentityOptions> = {},
): Promise<OpenedIdentity> {
  const identity = await open(fileSystem, options);
  identity.release();
  return identity;
}

function refuses(
  opening: Promise<unknown>,
  code: string,
  message: string | RegExp,
): Promise<void> {
  return assert.rejects(opening, (error) => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    if (typeof message === "string") assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });
}

function read(fileSystem: FileSystem, path: string): Uint8Array {
  const file = fileSystem.open(path);
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  return bytes;
}

function write(fileSystem: FileSystem, path: string, bytes: Uint8Array): void {
  const file = fileSystem.open(path, { create: true });
  file.truncate(0);
  file.writeAt(bytes, 0);
  file.close();
}

/** As `cp -r` does. */
function copyFolder(fileSystem: FileSystem, from: string, to: string): void {
  fileSystem.makeDirectory(to);
  for (const name of fileSystem.list(from)) {
    write(fileSystem, `${to}/${name}`, read(fileSystem, `${from}/${name}`));
  }
}

/** Everything in a folder, with what tells files apart. */
function picture(fileSystem: FileSystem, dir: string): unknown {
  return fileSystem.list(dir).map((name) => {
    const path = `${dir}/${name}`;
    const inode = fileSystem.stat(path)?.inode;
    return [name, inode, [...read(fileSystem, path)].join()];
  });
}

Deno.test("openIdentity() makes a new directory with a random id and incarnation 1 (rule I1)", async () => {
  const disk = new MemoryFileSystem();
  const identity = await open(disk);
  assert.equal(identity.nodeHostId, "0102030405060708090a0b0c0d0e0f10");
  assert.equal(identity.incarnation, 1);
  assert.equal(identity.deploymentId, 5n);
  assert.equal(identity.isNew, true);
  assert.deepEqual(disk.list("data/1"), ["identity", "lock"]);
  assert.equal(disk.stat("data/1/lock")?.size, 0);
});

Deno.test("openIdentity() raises the incarnation at each opening and keeps the id (rule I1)", async () => {
  const disk = new MemoryFileSystem();
  for (let incarnation = 1; incarnation <= 5; incarnation++) {
    const random = { fill: (bytes: Uint8Array) => bytes.fill(incarnation) };
    const identity = await visit(disk, { random });
    assert.equal(identity.incarnation, incarnation);
    assert.equal(identity.nodeHostId, "01".repeat(16));
    assert.equal(identity.isNew, incarnation === 1);
    disk.crash(new Prng(incarnation)); // Durable, or it would come back.
  }
});

Deno.test("openIdentity() refuses a directory that is open, and leaves it untouched", async () => {
  const disk = new MemoryFileSystem();
  const first = await open(disk);
  const before = picture(disk, "data/1");
  await refuses(
    open(disk),
    "dirLocked",
    "Cannot open directory data/1: another NodeHost has it open; close that one first, or use another directory",
  );
  assert.deepEqual(picture(disk, "data/1"), before);
  first.release();
  first.release();
  assert.equal((await open(disk)).incarnation, 2);
});

Deno.test("openIdentity() gives the lock back when it refuses", async () => {
  const disk = new MemoryFileSystem();
  await visit(disk);
  await refuses(open(disk, { deploymentId: 6n }), "deploymentMismatch", /./);
  await visit(disk);
});

Deno.test("openIdentity() refuses another address unless told that it changed (rule I4)", async () => {
  const disk = new MemoryFileSystem();
  await visit(disk);
  const before = picture(disk, "data/1");
  const raftAddress = "host-9:7001";
  await refuses(
    open(disk, { raftAddress }),
    "dirMismatch",
    "Cannot open directory data/1: it was used with raftAddress host-1:7001, and this is host-9:7001; " +
      "if the address of this NodeHost has changed, open it with raftAddressChanged: true",
  );
  assert.deepEqual(picture(disk, "data/1"), before);
  await visit(disk, { raftAddress, raftAddressChanged: true });
  assert.equal((await visit(disk, { raftAddress })).incarnation, 3);
  await refuses(open(disk), "dirMismatch", /host-9:7001, and this is host-1/);
});

Deno.test("openIdentity() refuses another deployment, always (rule I4)", async () => {
  const disk = new MemoryFileSystem();
  await visit(disk, { deploymentId: 2n ** 64n - 1n });
  const before = picture(disk, "data/1");
  await refuses(
    open(disk, { raftAddressChanged: true, adoptCopiedDir: true }),
    "deploymentMismatch",
    "Cannot open directory data/1: it belongs to deployment 18446744073709551615, and this is deployment 5; " +
      "use a directory of this deployment, or an empty one",
  );
  assert.deepEqual(picture(disk, "data/1"), before);
  const identity = await visit(disk, { deploymentId: undefined });
  assert.equal(identity.deploymentId, 2n ** 64n - 1n);
});

Deno.test("OpenedIdentity.record() tells a new directory its deployment, once and durably (rule I5)", async () => {
  const disk = new MemoryFileSystem();
  const identity = await open(disk, { deploymentId: undefined });
  assert.equal(identity.deploymentId, undefined);
  await identity.record(77n);
  assert.equal(identity.deploymentId, 77n);
  await identity.record(77n);
  await refuses(
    identity.record(78n),
    "deploymentMismatch",
    /belongs to deployment 77, and this is deployment 78/,
  );
  disk.crash(new Prng(1));
  const again = await visit(disk, { deploymentId: undefined });
  assert.equal(again.deploymentId, 77n);
  assert.equal(again.nodeHostId, identity.nodeHostId);
  assert.equal(again.incarnation, 2);
});

Deno.test("openIdentity() takes a deployment that an interrupted first opening never learned", async () => {
  const disk = new MemoryFileSystem();
  await visit(disk, { deploymentId: undefined });
  assert.equal((await visit(disk, { deploymentId: 9n })).deploymentId, 9n);
  await refuses(open(disk), "deploymentMismatch", /deployment 9/);
});

const copyMessage =
  /^Cannot open directory data\/2: it is a copy of the one it was written in, or its lock file was removed \(.*\); if the original will never be opened again, open it with adoptCopiedDir: true, otherwise start with an empty directory and new node ids$/;

Deno.test("openIdentity() refuses a copied folder, and says how to adopt it (rule I4)", async () => {
  const disk = new MemoryFileSystem();
  const original = await open(disk);
  copyFolder(disk, "data/1", "data/2");
  const before = picture(disk, "data/2");
  await refuses(open(disk, { dir: "data/2" }), "dirMismatch", copyMessage);
  assert.deepEqual(picture(disk, "data/2"), before);
  const copy = await visit(disk, { dir: "data/2", adoptCopiedDir: true });
  assert.equal(copy.nodeHostId, original.nodeHostId);
  assert.equal(copy.incarnation, original.incarnation + 1);
  await visit(disk, { dir: "data/2" });
});

Deno.test("openIdentity() refuses a copy without the lock file, and does not make one (rule I4)", async () => {
  const disk = new MemoryFileSystem();
  await visit(disk);
  copyFolder(disk, "data/1", "data/2");
  disk.remove("data/2/lock");
  await refuses(open(disk, { dir: "data/2" }), "dirMismatch", copyMessage);
  assert.deepEqual(disk.list("data/2"), ["identity"]);
  await visit(disk, { dir: "data/2", adoptCopiedDir: true });
  await visit(disk, { dir: "data/2" });
});

Deno.test("openIdentity() accepts a folder that was moved (rule I4)", async () => {
  const disk = new MemoryFileSystem();
  await visit(disk);
  disk.rename("data/1", "data/2");
  assert.equal((await visit(disk, { dir: "data/2" })).incarnation, 2);
});

/** A disk whose inodes, birth times and device are as told, as far as told. */
function pretending(
  disk: MemoryFileSystem,
  change: (path: string) => Partial<
    { inode: number; birthTimeMs: number; device: number }
  >,
): FileSystem {
  return new Proxy(disk, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      if (name !== "stat") return value.bind(target);
      return (path: string) => {
        const stat = target.stat(path);
        return stat === undefined ? stat : { ...stat, ...change(path) };
      };
    },
  });
}

Deno.test("openIdentity() refuses a restored folder that got the same inodes again, by its time (rule I4)", async () => {
  const disk = new MemoryFileSystem();
  const inodes = (birthTimeMs: number) =>
    pretending(disk, (path) => ({
      inode: path.endsWith("lock") ? 12 : 2,
      birthTimeMs,
    }));
  await visit(inodes(1_000));
  await visit(inodes(1_000));
  await refuses(
    visit(inodes(2_000)),
    "dirMismatch",
    /\(its lock file was made at another time\)/,
  );
});

Deno.test("openIdentity() takes a device that was numbered anew at a mount, if the time tells that it is the same", async () => {
  const disk = new MemoryFileSystem();
  await visit(pretending(disk, () => ({ device: 10 })));
  await visit(pretending(disk, () => ({ device: 11 })));
  const untimed = (device: number) =>
    pretending(disk, () => ({ device, birthTimeMs: 0 }));
  await visit(untimed(11));
  await refuses(visit(untimed(12)), "dirMismatch", /device is 12, and was 11/);
});

Deno.test("openIdentity() does without inodes where the platform has none", async () => {
  const disk = new MemoryFileSystem();
  const none = pretending(
    disk,
    () => ({ inode: 0, birthTimeMs: 0, device: 0 }),
  );
  await visit(none);
  assert.equal((await visit(none)).incarnation, 2);
  copyFolder(disk, "data/1", "data/2");
  await visit(none, { dir: "data/2" });
});

Deno.test("openIdentity() refuses data without an identity", async () => {
  for (const name of ["log", "snapshots"]) {
    const disk = new MemoryFileSystem();
    disk.makeDirectory(`data/1/${name}`);
    await refuses(
      open(disk),
      "corruption",
      new RegExp(
        `^Cannot open directory data/1: it holds ${name} but no identity`,
      ),
    );
    assert.deepEqual(disk.list("data/1"), [name]);
  }
  const disk = new MemoryFileSystem();
  disk.makeDirectory("data/1/lost+found");
  await visit(disk);
});

Deno.test("openIdentity() finds every flipped byte and every cut (rule L7), and leaves them untouched", async () => {
  const disk = new MemoryFileSystem();
  await visit(disk);
  const whole = read(disk, "data/1/identity");
  const damaged: Uint8Array[] = [];
  for (let at = 0; at < whole.length; at++) {
    for (const bit of [1, 0x80]) {
      const flipped = whole.slice();
      flipped[at] = (flipped[at] ?? 0) ^ bit;
      damaged.push(flipped);
    }
    damaged.push(whole.subarray(0, at));
  }
  const longer = new Uint8Array(whole.length + 1);
  longer.set(whole);
  damaged.push(longer, new Uint8Array(100_000));
  for (const bytes of damaged) {
    write(disk, "data/1/identity", bytes);
    await refuses(
      open(disk),
      "corruption",
      /^Cannot read identity data\/1\/identity: /,
    );
    assert.deepEqual(read(disk, "data/1/identity"), bytes);
  }
  write(disk, "data/1/identity", whole);
  assert.equal((await visit(disk)).incarnation, 2);
});

Deno.test("openIdentity() refuses an unknown format version by name (rule L8)", async () => {
  const disk = new MemoryFileSystem();
  await visit(disk);
  const bytes = read(disk, "data/1/identity");
  bytes[8] = 2;
  write(disk, "data/1/identity", bytes);
  await refuses(
    open(disk),
    "corruption",
    /its format version is 2, and this library reads 1/,
  );
});

Deno.test("openIdentity() reads the golden file of format version 1 (rule L8)", async () => {
  const golden = Deno.readFileSync(
    new URL("../golden/identity_v1", import.meta.url),
  );
  const disk = new MemoryFileSystem();
  const placed = pretending(disk, (path) => ({
    inode: path.endsWith("lock") ? 2 ** 60 : 1234,
    birthTimeMs: 1_700_000_000_123,
    device: 65_024,
  }));
  await visit(placed);
  await visit(placed);
  assert.deepEqual(read(disk, "data/1/identity"), golden);
  write(disk, "data/1/identity", golden);
  const identity = await visit(placed);
  assert.equal(identity.incarnation, 3);
  assert.equal(identity.nodeHostId, "0102030405060708090a0b0c0d0e0f10");
  assert.equal(identity.deploymentId, 5n);
});

Deno.test("openIdentity() reports a full disk, and a failing one, and can be tried again", async () => {
  const disk = new MemoryFileSystem();
  await visit(disk);
  const before = picture(disk, "data/1");
  disk.capacityBytes = disk.usedBytes + 10;
  await refuses(
    open(disk),
    "diskFull",
    "Cannot write identity data/1/identity: the disk is full",
  );
  disk.capacityBytes = Number.MAX_SAFE_INTEGER;
  disk.faults = {
    beforeSync: () => {
      throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
    },
  };
  await refuses(open(disk), "diskFailed", /identity: EIO: i\/o error$/);
  disk.faults = {};
  assert.deepEqual(picture(disk, "data/1"), before);
  assert.equal((await visit(disk)).incarnation, 2);
});

/** Makes every operation from the n-th on fail, as if the power were cut there. */
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

Deno.test("openIdentity(): after a crash at any operation, the directory opens again, with its id and a higher incarnation (rule I1)", async () => {
  for (const openingsBefore of [0, 1, 2]) {
    let operations = Number.MAX_SAFE_INTEGER;
    for (let operation = 0; operation < operations; operation++) {
      for (let seed = 0; seed < 20; seed++) {
        const disk = new MemoryFileSystem();
        let known: OpenedIdentity | undefined;
        for (let n = 0; n < openingsBefore; n++) {
          known = await visit(disk, { deploymentId: undefined });
        }
        const count = cutPowerAt(disk, operation);
        try {
          const opened = await open(disk, { deploymentId: undefined });
          known = opened;
          await opened.record(5n);
          operations = count();
        } catch (error) {
          assert.ok(error instanceof RaftError);
          assert.equal(error.code, "diskFailed");
        }
        disk.faults = {};
        if (seed % 4 === 3) disk.halt();
        else disk.crash(new Prng(100 * operation + seed));
        const random = { fill: (bytes: Uint8Array) => bytes.fill(0xee) };
        const again = await open(disk, { random });
        if (known !== undefined) {
          assert.equal(again.nodeHostId, known.nodeHostId);
          assert.ok(again.incarnation > known.incarnation);
          assert.equal(again.isNew, false);
        }
        assert.equal(again.deploymentId, 5n);
        assert.deepEqual(disk.list("data/1"), ["identity", "lock"]);
      }
    }
    assert.ok(operations > 7, `${operations} operations`);
  }
});

Deno.test("openIdentity() tells a real folder from its copy, and a moved one from both (rule I4)", async () => {
  const root = Deno.makeTempDirSync({ prefix: "drakkar-" });
  try {
    const disk = new DenoFileSystem();
    const [first, second, third] = [1, 2, 3].map((n) => `${root}/data/${n}`);
    const original = await visit(disk, { dir: first! });
    copyFolder(disk, first!, second!);
    await refuses(open(disk, { dir: second! }), "dirMismatch", /is a copy/);
    assert.equal((await visit(disk, { dir: first! })).incarnation, 2);
    Deno.renameSync(first!, third!);
    const moved = await open(disk, { dir: third! });
    assert.equal(moved.nodeHostId, original.nodeHostId);
    assert.equal(moved.incarnation, 3);
    await refuses(open(disk, { dir: third! }), "dirLocked", /has it open/);
    moved.release();
    // The usual way to restore a backup: the same path, and often the same inodes.
    Deno.removeSync(third!, { recursive: true });
    copyFolder(disk, second!, third!);
    await refuses(open(disk, { dir: third! }), "dirMismatch", /is a copy/);
    await visit(disk, { dir: third!, adoptCopiedDir: true });
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});
