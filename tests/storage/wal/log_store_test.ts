import { DenoFileSystem } from "../../../storage/deno_file_system.ts";
import { memoryStorage } from "../../../storage/memory_file_system.ts";
import { testLogStore } from "../../contracts/log_store.ts";
import { openLog } from "./fixture.ts";

testLogStore("Wal in memory", () => {
  const fileSystem = memoryStorage();
  return { open: () => openLog(fileSystem), dispose: () => {} };
});

testLogStore("Wal on disk", () => {
  const dir = Deno.makeTempDirSync({ prefix: "drakkar-" });
  return {
    open: () => openLog(new DenoFileSystem(), { dir: `${dir}/log` }),
    dispose: () => Deno.removeSync(dir, { recursive: true }),
  };
});
