import { assert, fc } from "../deps.ts";
import {
  batchHeaderBytes,
  entryKind,
  sealBatch,
} from "../../raft/core/entry_batch.ts";
import type { EntryBatch } from "../../raft/core/types.ts";
import {
  areForwardedEntries,
  EntryBuilder,
  EntryCursor,
} from "../../raft/entries.ts";
import { crc32 } from "../support/entries.ts";

function seal(bytes: Uint8Array, entryCount: number): EntryBatch {
  return sealBatch(
    bytes,
    { term: 3, firstIndex: 7, entryCount, isConfigChange: false },
    crc32,
  );
}

function commandsOf(batch: EntryBatch): number[][] {
  const commands: number[][] = [];
  const cursor = new EntryCursor(batch);
  while (cursor.next()) {
    assert.equal(cursor.kind, entryKind.application);
    assert.equal(cursor.index, 7 + commands.length);
    commands.push([...cursor.command()]);
  }
  return commands;
}

Deno.test("EntryBuilder and EntryCursor give back what was added, batch after batch", () => {
  const commands = fc.array(fc.uint8Array({ maxLength: 3_000 }), {
    minLength: 1,
    maxLength: 20,
  });
  fc.assert(fc.property(fc.array(commands, { maxLength: 6 }), (batches) => {
    const builder = new EntryBuilder();
    const sealed = batches.map((batch) => {
      for (const command of batch) builder.add(command);
      assert.equal(builder.count, batch.length);
      return seal(builder.take(), batch.length);
    });
    assert.equal(builder.count, 0);
    // Read only now: no batch may have been touched by the ones after it.
    assert.deepEqual(
      sealed.map(commandsOf),
      batches.map((batch) => batch.map((command) => [...command])),
    );
  }));
});

Deno.test("EntryBuilder never uses the memory of a batch again (rule B4)", () => {
  const builder = new EntryBuilder();
  const command = Uint8Array.of(1, 2, 3);
  builder.add(command);
  command.fill(0);
  const first = seal(builder.take(), 1);
  const before = first.bytes.slice();
  for (let i = 0; i < 100; i++) {
    builder.add(new Uint8Array(i * 50).fill(0xee));
    if (i % 3 === 0) builder.take();
    if (i % 7 === 0) builder.clear();
  }
  assert.deepEqual(first.bytes, before);
  assert.deepEqual(commandsOf(first), [[1, 2, 3]]);
});

Deno.test("EntryBuilder tells its bytes with the header's, and nothing when it is empty", () => {
  const builder = new EntryBuilder();
  assert.equal(builder.bytes, 0);
  builder.add(new Uint8Array(10));
  assert.equal(builder.bytes, batchHeaderBytes + 5 + 10);
  builder.clear();
  assert.equal(builder.bytes, 0);
  assert.throws(() => builder.take(), /empty builder/);
});

Deno.test("Forwarded entries keep their proposer keys when the leader puts them into its batch (rule B3)", () => {
  const follower = new EntryBuilder(0);
  follower.addWithKey(Uint8Array.of(9), 2 ** 52, 41);
  follower.addWithKey(new Uint8Array(0), 2 ** 52, 42);
  const forwarded = follower.take();
  assert.ok(areForwardedEntries(forwarded, 2, 41));
  const leader = new EntryBuilder();
  leader.add(Uint8Array.of(1));
  leader.addEncoded(forwarded, 2);
  const cursor = new EntryCursor(seal(leader.take(), 3));
  const seen: unknown[] = [];
  while (cursor.next()) {
    seen.push([
      cursor.proposer,
      cursor.proposer === 0 ? 0 : cursor.counter,
      cursor.command().length,
    ]);
  }
  assert.deepEqual(seen, [[0, 0, 1], [2 ** 52, 41, 1], [2 ** 52, 42, 0]]);
});

Deno.test("areForwardedEntries() takes exactly what it should, and never throws (rule B3)", () => {
  const builder = new EntryBuilder(0);
  for (const counter of [5, 6, 7]) {
    builder.addWithKey(Uint8Array.of(counter), 77, counter);
  }
  const good = builder.take().slice();
  assert.ok(areForwardedEntries(good, 3, 5));
  assert.equal(areForwardedEntries(good, 2, 5), false, "an entry too many");
  assert.equal(areForwardedEntries(good, 4, 5), false, "an entry too few");
  assert.equal(areForwardedEntries(good, 3, 6), false, "other counters");
  for (let cut = 0; cut < good.length; cut++) {
    assert.equal(areForwardedEntries(good.subarray(0, cut), 3, 5), false);
  }
  const application = 1;
  for (const kind of [0, 1, 2, 0x12, 0x21, 0x31, 0xff]) {
    const bad = good.slice();
    bad[0] = kind;
    assert.equal(areForwardedEntries(bad, 3, 5), false, `kind ${kind}`);
    assert.notEqual(kind, application | 0x10);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(5), (bytes, count) => {
      areForwardedEntries(bytes, count, 1);
    }),
  );
});
