import { assert } from "../deps.ts";
import { Prng } from "../../raft/core/prng.ts";
import { makeDurableDirectory, parentOf } from "../../storage/directories.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";

Deno.test("parentOf() names the folder above", () => {
  assert.equal(parentOf("a/b/c"), "a/b");
  assert.equal(parentOf("/a"), "/");
  assert.equal(parentOf("a"), ".");
});

Deno.test("makeDurableDirectory() makes folders that survive a power cut", () => {
  for (const path of ["a", "a/b/c", "/a/b/c", "./a/b", "a/b/"]) {
    for (let seed = 0; seed < 20; seed++) {
      const disk = new MemoryFileSystem();
      makeDurableDirectory(disk, path);
      disk.crash(new Prng(seed));
      assert.equal(disk.stat(path)?.isDirectory, true);
    }
  }
});

Deno.test("makeDurableDirectory() finishes what a process that was killed had begun", () => {
  for (let operation = 0; operation < 8; operation++) {
    for (let seed = 0; seed < 20; seed++) {
      const disk = new MemoryFileSystem();
      let count = 0;
      disk.faults = {
        beforeChange: () => {
          if (++count > operation) throw new Error("killed");
        },
      };
      if (operation < 7) {
        assert.throws(() => makeDurableDirectory(disk, "a/b/c"), /killed/);
      } else {
        makeDurableDirectory(disk, "a/b/c");
      }
      disk.faults = {};
      disk.halt();
      makeDurableDirectory(disk, "a/b/c");
      disk.crash(new Prng(seed));
      assert.equal(disk.stat("a/b/c")?.isDirectory, true);
    }
  }
});

Deno.test("makeDurableDirectory() accepts a folder whose parent may not be opened", () => {
  const disk = new MemoryFileSystem();
  disk.makeDirectory("a/b");
  disk.faults = {
    beforeChange: (change, path) => {
      if (change === "syncDirectory" && path === "a") {
        throw Object.assign(new Error("EACCES"), { code: "EACCES" });
      }
    },
  };
  makeDurableDirectory(disk, "a/b");
  makeDurableDirectory(disk, "a/b/c");
  assert.throws(() => makeDurableDirectory(disk, "a/x"), { code: "EACCES" });
});

Deno.test("makeDurableDirectory() needs no right to look above folders that are there, and insists on it for those it makes", () => {
  const disk = new MemoryFileSystem();
  disk.makeDirectory("/home/data");
  const forbidden = (path: string) => {
    if (path === "/home" || path === "/") {
      throw Object.assign(new Error(`requires access to ${path}`), {
        name: "NotCapable",
      });
    }
  };
  disk.faults = {
    beforeChange: (change, path) => {
      if (change === "syncDirectory") forbidden(path);
    },
  };
  makeDurableDirectory(disk, "/home/data");
  makeDurableDirectory(disk, "/home/data/1");
  assert.ok(disk.stat("/home/data/1")?.isDirectory);
  assert.throws(
    () => makeDurableDirectory(disk, "/home/other"),
    /requires access to \/home/,
  );
});
