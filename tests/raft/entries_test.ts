import { assert, fc } from "../deps.ts";
import {
  batchHeaderBytes,
  entryKind,
  sealBatch,
} from "../../raft/core/entry_batch.ts";
import type { EntryBatch } from "../../raft/core/types.ts";
import {
  EntryBuilder,
  EntryCursor,
  inspectForwardedEntries,
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
  assert.equal(inspectForwardedEntries(forwarded, 2, 41), "plain");
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

Deno.test("inspectForwardedEntries() takes exactly what it should, and never throws (rule B3)", () => {
  const builder = new EntryBuilder(0);
  for (const counter of [5, 6, 7]) {
    builder.addWithKey(Uint8Array.of(counter), 77, counter);
  }
  const good = builder.take().slice();
  assert.equal(inspectForwardedEntries(good, 3, 5), "plain");
  assert.equal(
    inspectForwardedEntries(good, 2, 5),
    "malformed",
    "an entry too many",
  );
  assert.equal(
    inspectForwardedEntries(good, 4, 5),
    "malformed",
    "an entry too few",
  );
  assert.equal(
    inspectForwardedEntries(good, 3, 6),
    "malformed",
    "other counters",
  );
  for (let cut = 0; cut < good.length; cut++) {
    assert.equal(
      inspectForwardedEntries(good.subarray(0, cut), 3, 5),
      "malformed",
    );
  }
  const application = 1;
  for (const kind of [0, 1, 2, 0x12, 0x21, 0x31, 0xff]) {
    const bad = good.slice();
    bad[0] = kind;
    assert.equal(
      inspectForwardedEntries(bad, 3, 5),
      "malformed",
      `kind ${kind}`,
    );
    assert.notEqual(kind, application | 0x10);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(5), (bytes, count) => {
      inspectForwardedEntries(bytes, count, 1);
    }),
  );
});

Deno.test("Session fields go with an entry, forwarded or not, and are looked at before they are trusted (rules B3, R2)", () => {
  const fields = { clientId: 2 ** 52, series: 3, respondedTo: 2 };
  const follower = new EntryBuilder(0);
  follower.addWithKey(Uint8Array.of(1), 77, 5);
  follower.addInSession(Uint8Array.of(2), fields, 77, 6);
  assert.ok(follower.hasSessions);
  const forwarded = follower.take().slice();
  assert.equal(follower.hasSessions, false, "the next record begins anew");
  assert.equal(inspectForwardedEntries(forwarded, 2, 5), "sessions");
  for (let cut = 0; cut < forwarded.length; cut++) {
    const part = forwarded.subarray(0, cut);
    assert.equal(inspectForwardedEntries(part, 2, 5), "malformed");
  }
  const noClient = forwarded.slice();
  noClient.fill(0, forwarded.length - 25, forwarded.length - 17);
  assert.equal(inspectForwardedEntries(noClient, 2, 5), "malformed");
  const leader = new EntryBuilder();
  leader.addInSession(Uint8Array.of(9), { ...fields, series: 4 }, 0, 0);
  leader.addEncoded(forwarded, 2, true);
  assert.ok(leader.hasSessions);
  const cursor = new EntryCursor(seal(leader.take(), 3));
  const seen: unknown[] = [];
  while (cursor.next()) {
    const { proposer, clientId } = cursor;
    const series = clientId === 0 ? 0 : cursor.series;
    seen.push([proposer, clientId, series, [...cursor.command()]]);
  }
  assert.deepEqual(seen, [
    [0, 2 ** 52, 4, [9]],
    [77, 0, 0, [1]],
    [77, 2 ** 52, 3, [2]],
  ]);
});
