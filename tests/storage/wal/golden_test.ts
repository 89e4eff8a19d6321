import { MemoryFileSystem } from "../../../storage/memory_file_system.ts";
import { assert } from "../../deps.ts";
import { contentsOf, dir, openLog, readFile, writeFile } from "./fixture.ts";
import { writeSmallGoldenLog, writeWitnessGoldenLog } from "./golden.ts";

const golden = new URL("../../golden/", import.meta.url);

Deno.test("A log of format version 1 is read for ever (rule L8)", async () => {
  const folder = new URL("wal_v1/", golden);
  const disk = new MemoryFileSystem();
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.endsWith(".bin")) continue; // Git ignores `*.log`.
    const bytes = Deno.readFileSync(new URL(name, folder));
    await writeFile(disk, `${dir}/${name.replace(".bin", ".log")}`, bytes);
  }
  const log = await openLog(disk, { segmentBytes: 4096 });
  const contents = Deno.readTextFileSync(new URL("contents.json", folder));
  // What that version did not know is what it is when there is none of it.
  const expected = JSON.parse(
    contents,
    (_key, value) =>
      value?.removed === undefined
        ? value
        : { ...value, observers: [], witnesses: [] },
  );
  assert.deepEqual(JSON.parse(JSON.stringify(contentsOf(log))), expected);
  assert.equal(log.recovery.tornAt, undefined);
  await log.close();
});

Deno.test("What the log writes is format version 1 to the byte (rule L8)", async () => {
  const disk = await writeSmallGoldenLog();
  assert.deepEqual(
    readFile(disk, `${dir}/00000001.log`),
    Deno.readFileSync(new URL("wal_v1_small/00000001.bin", golden)),
  );
});

Deno.test("What the log holds of witnesses and observers is written to the byte, and read for ever (rules L8, C9)", async () => {
  const file = new URL("wal_witness/00000001.bin", golden);
  const written = await writeWitnessGoldenLog();
  const bytes = Deno.readFileSync(file);
  assert.deepEqual(readFile(written, `${dir}/00000001.log`), bytes);
  const disk = new MemoryFileSystem();
  await writeFile(disk, `${dir}/00000001.log`, bytes);
  const log = await openLog(disk, { segmentBytes: 8192 });
  const node = log.node(5, 5);
  assert.equal(node.bootstrap()?.witness, true);
  assert.deepEqual(
    node.snapshot()?.membership.witnesses.map(({ nodeId }) => nodeId),
    [5],
  );
  assert.deepEqual(
    node.snapshot()?.membership.observers.map(({ nodeId }) => nodeId),
    [4],
  );
  const bare = node.batchAt(4);
  assert.deepEqual([bare?.lastIndex, bare?.term], [5, 2]);
  assert.equal(bare?.bytes.length, 32);
  await log.close();
});
