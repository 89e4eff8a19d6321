import { assert } from "../../deps.ts";
import {
  batchHeaderBytes,
  emptyBatch,
  hasPayloads,
  openBatch,
  sealBatch,
  withoutPayloads,
} from "../../../raft/core/entry_batch.ts";
import { crc32, encodeEntries, makeBatch } from "../../support/entries.ts";

const batch = makeBatch({
  term: 7,
  firstIndex: 2 ** 33,
  commands: ["a", "bc"],
});

Deno.test("sealBatch() writes what its drawing says (rule R3)", () => {
  const { bytes } = makeBatch({ term: 3, firstIndex: 5, commands: ["a"] });
  assert.deepEqual([...bytes.subarray(0, 28)], [
    ...[1, 0, 0, 0],
    ...[38, 0, 0, 0],
    ...[3, 0, 0, 0, 0, 0, 0, 0],
    ...[5, 0, 0, 0, 0, 0, 0, 0],
    ...[1, 0, 0, 0],
  ]);
  assert.deepEqual([...bytes.subarray(32)], [1, 1, 0, 0, 0, 97]);
});

Deno.test("openBatch() reads a batch back without copying", () => {
  const opened = openBatch(batch.bytes, crc32);
  assert.deepEqual(opened, batch);
  assert.ok(typeof opened === "object");
  assert.equal(opened.bytes, batch.bytes);
});

Deno.test("openBatch() names what is wrong with every damaged byte", () => {
  for (let at = 0; at < batch.bytes.length; at++) {
    for (const flip of [1, 0x80]) {
      const damaged = batch.bytes.slice();
      damaged[at] = (damaged[at] ?? 0) ^ flip;
      assert.equal(typeof openBatch(damaged, crc32), "string", `byte ${at}`);
    }
  }
  for (let length = 0; length < batch.bytes.length; length++) {
    const cut = openBatch(batch.bytes.subarray(0, length), crc32);
    assert.equal(typeof cut, "string");
  }
  assert.equal(
    openBatch(new Uint8Array([2, ...batch.bytes.subarray(1)]), crc32),
    "version",
  );
});

Deno.test("emptyBatch() is one entry without a command", () => {
  const empty = emptyBatch(4, 9, crc32);
  assert.deepEqual(openBatch(empty.bytes, crc32), empty);
  assert.deepEqual([empty.firstIndex, empty.lastIndex], [9, 9]);
});

Deno.test("sealBatch() refuses what is no batch", () => {
  const seal = { term: 1, firstIndex: 1, entryCount: 1, isConfigChange: false };
  assert.throws(() => sealBatch(new Uint8Array(33), seal, crc32), /an entry/);
  const bytes = encodeEntries(["a", "b"]);
  assert.throws(
    () =>
      sealBatch(bytes, { ...seal, entryCount: 2, isConfigChange: true }, crc32),
    /alone/,
  );
  assert.throws(
    () => sealBatch(bytes, { ...seal, firstIndex: 0 }, crc32),
    /index 1/,
  );
});

Deno.test("withoutPayloads() leaves the header, which openBatch() reads and an older reader refuses (rules B1, C9)", () => {
  const batch = makeBatch({ term: 3, firstIndex: 7, commands: ["a", "b"] });
  const bare = withoutPayloads(batch, crc32);
  assert.equal(bare.bytes.length, batchHeaderBytes);
  assert.deepEqual(
    [bare.firstIndex, bare.lastIndex, bare.term, hasPayloads(bare)],
    [7, 8, 3, false],
  );
  assert.deepEqual(openBatch(bare.bytes, crc32), bare);
  assert.equal(bare.bytes[1], 4);
  assert.equal(withoutPayloads(bare, crc32), bare);
  // Nothing may follow it, and nothing else may be without entries.
  const longer = new Uint8Array(batchHeaderBytes + 5);
  longer.set(bare.bytes);
  assert.equal(openBatch(longer, crc32), "length");
  for (const flags of [0, 1, 2]) {
    const unflagged = bare.bytes.slice();
    unflagged[1] = flags;
    assert.equal(openBatch(unflagged, crc32), "short");
  }
  for (const flags of [3, 5, 6, 8]) {
    const wrong = bare.bytes.slice();
    wrong[1] = flags;
    assert.equal(openBatch(wrong, crc32), "flags");
  }
  const damaged = bare.bytes.slice();
  damaged[24] = 3;
  assert.equal(openBatch(damaged, crc32), "crc");
});

Deno.test("withoutPayloads() keeps a membership change whole (rule B1)", () => {
  const bytes = encodeEntries(["change"]);
  const change = sealBatch(bytes, {
    term: 1,
    firstIndex: 1,
    entryCount: 1,
    isConfigChange: true,
  }, crc32);
  assert.equal(withoutPayloads(change, crc32), change);
});
