import { assert } from "../../deps.ts";
import {
  chunkBytesFor,
  chunksOf,
  digestOf,
  listInput,
  readAgain,
} from "../../../examples/demo/input.ts";
import type { Input } from "../../../examples/demo/input.ts";

async function inFolder(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "drakkar-input-" });
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function write(dir: string, name: string, bytes: number): void {
  const content = new Uint8Array(bytes).map((_, i) => i * 7 + bytes);
  Deno.writeFileSync(`${dir}/${name}`, content);
}

const names = (input: Input) => input.files.map((file) => file.name);

Deno.test("listInput() takes every regular file below a folder, in order", () =>
  inFolder(async (dir) => {
    Deno.mkdirSync(`${dir}/sub/deep`, { recursive: true });
    write(dir, "z", 1);
    write(dir, "a b#c%.txt", 0);
    write(dir, ".hidden", 3);
    write(dir, "sub/deep/x", 9_000);
    const input = await listInput(dir, dir);
    assert.deepEqual(names(input), [
      ".hidden",
      "a b#c%.txt",
      "sub/deep/x",
      "z",
    ]);
    assert.equal(input.bytes, 9_004);
    assert.deepEqual(input.skipped, []);
  }));

Deno.test("listInput() takes a single file, also by a link to it", () =>
  inFolder(async (dir) => {
    write(dir, "one", 5);
    Deno.symlinkSync("one", `${dir}/link`);
    assert.deepEqual(names(await listInput(`${dir}/one`, dir)), ["one"]);
    assert.equal((await listInput(`${dir}/link`, dir)).bytes, 5);
  }));

Deno.test("listInput() takes a folder without files", () =>
  inFolder(async (dir) => {
    const input = await listInput(dir, dir);
    assert.equal(input.bytes, 0);
    for await (const _chunk of chunksOf(input, 4_096)) assert.fail();
  }));

Deno.test("listInput() leaves out links and names that are not UTF-8, and says so", () =>
  inFolder(async (dir) => {
    write(dir, "kept", 1);
    Deno.symlinkSync("..", `${dir}/circle`);
    Deno.symlinkSync("nowhere", `${dir}/dangling`);
    // Only a shell can make such a name: a string of ours cannot hold it.
    const made = await new Deno.Command("bash", {
      args: ["-c", "printf x > $'bad\\xff'"],
      cwd: dir,
    }).output();
    assert.ok(made.success);
    const input = await listInput(dir, dir);
    assert.deepEqual(names(input), ["kept"]);
    assert.deepEqual(input.skipped.map(({ why }) => why), [
      "name is not UTF-8",
      "symbolic link",
      "symbolic link",
    ]);
  }));

Deno.test("listInput() says what is wrong with an input that is not there", async () => {
  await assert.rejects(
    listInput("/nowhere/at/all", "/"),
    /Cannot read the input \/nowhere\/at\/all: it does not exist/,
  );
});

Deno.test("listInput() without an input walks the folder where there is no repository", () =>
  inFolder(async (dir) => {
    Deno.mkdirSync(`${dir}/node_modules`);
    write(dir, "node_modules/theirs", 1);
    write(dir, "ours", 1);
    // A broken `.git` keeps git from finding a repository further up.
    Deno.writeTextFileSync(`${dir}/.git`, "gitdir: nowhere");
    assert.deepEqual(names(await listInput(undefined, dir)), ["ours"]);
  }));

Deno.test("chunksOf() cuts files into chunks that make them whole again", () =>
  inFolder(async (dir) => {
    const sizes = [0, 1, 4_095, 4_096, 4_097, 20_000];
    for (const bytes of sizes) write(dir, `f${bytes}`, bytes);
    const input = await listInput(dir, dir);
    const content = new Map<string, number[]>();
    for await (const chunk of chunksOf(input, 4_096)) {
      const bytes = content.get(chunk.file.name) ?? [];
      content.set(chunk.file.name, bytes);
      assert.equal(
        chunk.key,
        `${chunk.file.name}#${Math.floor(chunk.offset / 4_096)}`,
      );
      assert.equal(chunk.offset, bytes.length);
      bytes.push(...chunk.value);
      assert.equal(
        digestOf(
          await readAgain(chunk.file, chunk.offset, chunk.value.length),
        ),
        digestOf(chunk.value),
      );
    }
    for (const bytes of sizes) {
      const whole = Deno.readFileSync(`${dir}/f${bytes}`);
      assert.deepEqual(content.get(`f${bytes}`), [...whole]);
    }
  }));

Deno.test("chunksOf() takes what is left of a file that became shorter", () =>
  inFolder(async (dir) => {
    write(dir, "f", 10_000);
    const input = await listInput(dir, dir);
    Deno.truncateSync(`${dir}/f`, 5_000);
    const sizes: number[] = [];
    for await (const { value } of chunksOf(input, 4_096)) {
      sizes.push(value.length);
    }
    assert.deepEqual(sizes, [4_096, 904, 0]);
  }));

Deno.test("chunkBytesFor() gives a small input many chunks and a big one big chunks", () => {
  const input = (bytes: number) => ({
    from: "",
    files: [],
    skipped: [],
    bytes,
  });
  assert.equal(chunkBytesFor(input(0)), 64);
  assert.equal(chunkBytesFor(input(16 * 1024)), 64); // 256 of them: 128 are left at half of the bytes.
  assert.equal(chunkBytesFor(input(10 * 1024 * 1024)), 10_240);
  assert.equal(chunkBytesFor(input(1 << 30)), 65_536);
});
