import { assert } from "../deps.ts";
import { testFileSystem } from "../contracts/file_system.ts";
import { DenoFileSystem } from "../../storage/deno_file_system.ts";

testFileSystem("DenoFileSystem", () => {
  const dir = Deno.makeTempDirSync({ prefix: "drakkar-" });
  return {
    fileSystem: new DenoFileSystem(),
    dir,
    dispose: () => Deno.removeSync(dir, { recursive: true }),
  };
});

function withTempDir(run: (dir: string) => void | Promise<void>) {
  return async () => {
    const dir = Deno.makeTempDirSync({ prefix: "drakkar-" });
    try {
      await run(dir);
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  };
}

Deno.test({
  name: "DenoFileSystem reports a full disk as ENOSPC (rule L5)",
  ignore: Deno.build.os !== "linux",
  fn: () => {
    const file = new DenoFileSystem().open("/dev/full");
    assert.throws(() => file.writeAt(new Uint8Array(10), 0), {
      code: "ENOSPC",
    });
    file.close();
  },
});

Deno.test({
  name: "DenoFileSystem makes files and folders that only their owner reads",
  ignore: Deno.build.os === "windows",
  fn: withTempDir((dir) => {
    new DenoFileSystem().open(`${dir}/x/a`, { create: true }).close();
    assert.equal((Deno.statSync(`${dir}/x/a`).mode ?? 0) & 0o077, 0);
    assert.equal((Deno.statSync(`${dir}/x`).mode ?? 0) & 0o077, 0);
  }),
});

Deno.test(
  "DenoFileSystem.tryLock() is respected by another process and ends with it",
  withTempDir(async (dir) => {
    const module = new URL(
      "../../storage/deno_file_system.ts",
      import.meta.url,
    );
    const program = `
      import { DenoFileSystem } from ${JSON.stringify(module.href)};
      const lock = new DenoFileSystem().tryLock(Deno.args[0]);
      console.log(lock === undefined ? "refused" : "locked");
      await Deno.stdin.read(new Uint8Array(1));
    `;
    Deno.writeTextFileSync(`${dir}/lock.ts`, program);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-config", "-A", `${dir}/lock.ts`, `${dir}/lock`],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    assert.equal(new TextDecoder().decode(value), "locked\n");
    const fileSystem = new DenoFileSystem();
    assert.equal(fileSystem.tryLock(`${dir}/lock`), undefined);
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    await child.stdin.close().catch(() => {});
    const lock = fileSystem.tryLock(`${dir}/lock`);
    assert.notEqual(lock, undefined);
    lock?.release();
  }),
);

Deno.test("DenoFileSystem.syncDirectoryLater() syncs a folder, and refuses what is none", async () => {
  const dir = Deno.makeTempDirSync();
  const fileSystem = new DenoFileSystem();
  await fileSystem.syncDirectoryLater(dir);
  await assert.rejects(
    async () => await fileSystem.syncDirectoryLater(`${dir}/none`),
    { code: "ENOENT" },
  );
  Deno.removeSync(dir);
});
