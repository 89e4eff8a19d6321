import { assert } from "../deps.ts";
import type { Kv } from "../../master/kv.ts";
import { KvAccess } from "../../master/kv_access.ts";
import { systemClock, systemRandom } from "../../master/system.ts";
import { kvLimits, MemoryKv } from "../../testing/master/memory_kv.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import { openEmptyKv } from "./instances.ts";

/** The twin must do what Deno KV does, limits included: each test runs against both. */
async function withEach(work: (kv: Kv) => Promise<void>): Promise<void> {
  await work(new MemoryKv());
  const real = await openEmptyKv();
  try {
    await work(real);
  } finally {
    real.close();
  }
}

async function keysOf(
  kv: Kv,
  selector: Parameters<Kv["list"]>[0],
  options = {},
) {
  const keys: string[] = [];
  for await (const { key } of kv.list(selector, options)) {
    keys.push(key.join("/"));
  }
  return keys;
}

Deno.test("MemoryKv stores, checks, lists and removes as Deno KV does", async () => {
  await withEach(async (kv) => {
    const made = await kv.atomic().check({ key: ["a", 1], versionstamp: null })
      .set(["a", 1], { x: 1n, bytes: Uint8Array.of(1, 2) })
      .set(["a", 10], 2).set(["a", 9], 3).set(["ab"], 4).set(["a", "s"], 5)
      .commit();
    assert.equal(made.ok, true);
    const entry = await kv.get(["a", 1]);
    assert.deepEqual(entry.value, { x: 1n, bytes: Uint8Array.of(1, 2) });
    assert.equal(entry.versionstamp, made.versionstamp);
    const { versionstamp } = entry;
    const changed = kv.atomic().check({ key: ["a", 1], versionstamp })
      .set(["a", 1], "new").delete(["a", 9]);
    assert.equal((await changed.commit()).ok, true);
    assert.equal((await changed.commit()).ok, false);
    assert.deepEqual(
      (await kv.getMany([["a", 1], ["a", 9]])).map((one) => one.value),
      ["new", null],
    );
    assert.deepEqual(await keysOf(kv, { prefix: ["a"] }), [
      "a/s",
      "a/1",
      "a/10",
    ]);
    assert.deepEqual(
      await keysOf(kv, { prefix: ["a"], start: ["a", 2] }),
      ["a/10"],
    );
    const two = await keysOf(kv, { prefix: ["a"] }, { limit: 2, batchSize: 1 });
    assert.deepEqual(two, ["a/s", "a/1"]);
  });
});

Deno.test("MemoryKv refuses what Deno KV refuses", async () => {
  await withEach(async (kv) => {
    const eleven = Array.from({ length: 11 }, (_, i) => ["k", i]);
    await assert.rejects(async () => await kv.getMany(eleven), TypeError);
    await assert.rejects(async () => {
      await kv.atomic().set(["x"], new Uint8Array(66_000)).commit();
    }, TypeError);
    await assert.rejects(async () => {
      await kv.atomic().set(["x".repeat(2_100)], 1).commit();
    }, TypeError);
    const many = kv.atomic();
    for (let i = 0; i <= kvLimits.mutations; i++) many.set(["x", i], 1);
    await assert.rejects(async () => await many.commit(), TypeError);
    const big = kv.atomic();
    for (let i = 0; i < 14; i++) big.set(["x", i], new Uint8Array(60_000));
    await assert.rejects(async () => await big.commit(), TypeError);
    assert.deepEqual(await keysOf(kv, { prefix: ["x"] }), []);
  });
});

Deno.test("MemoryKv takes ten checks, as Deno Deploy does: the embedded one takes more", async () => {
  const checks = new MemoryKv().atomic();
  for (let i = 0; i < 11; i++) {
    checks.check({ key: ["k", i], versionstamp: null });
  }
  await assert.rejects(checks.commit(), TypeError);
});

/** What the twin does with everything of one kind going wrong. */
async function outcome(fault: string): Promise<[string, unknown]> {
  const kv = new MemoryKv({
    random: new SimRandom(1),
    faults: { [fault]: 1_000 },
  });
  const atomic = kv.atomic().check({ key: ["k"], versionstamp: null })
    .set(["k"], 1);
  const late = Promise.withResolvers<string>();
  const timer = setTimeout(() => late.resolve("nothing"), 5);
  const said = await Promise.race([
    atomic.commit().then(({ ok }) => String(ok), () => "error"),
    late.promise,
  ]);
  clearTimeout(timer);
  return [said, kv.peek(["k"]).value];
}

Deno.test("MemoryKv lies in each of the ways of a network (M4)", async () => {
  assert.deepEqual(await outcome("lies"), ["false", 1]);
  assert.deepEqual(await outcome("lost"), ["error", 1]);
  assert.deepEqual(await outcome("twice"), ["false", 1]); // The second time, its check fails.
  assert.deepEqual(await outcome("late"), ["nothing", 1]);
  assert.deepEqual(await outcome("fails"), ["error", null]);
  const unguarded = new MemoryKv({
    random: new SimRandom(1),
    faults: { twice: 1_000 },
  });
  await unguarded.atomic().set(["k"], 1).commit();
  assert.equal(unguarded.usage.mutations, 2);
});

Deno.test("MemoryKv tears lists between batches", async () => {
  const kv = new MemoryKv();
  await kv.atomic().set(["k", 1], "old").set(["k", 2], "old").commit();
  const seen: unknown[] = [];
  for await (const { value } of kv.list({ prefix: ["k"] }, { batchSize: 1 })) {
    seen.push(value);
    await kv.atomic().set(["k", 1], "new").set(["k", 2], "new").commit();
  }
  assert.deepEqual(seen, ["old", "new"]);
});

Deno.test("KvAccess.commit() tells what happened whatever the store says (M4)", async () => {
  for (const fault of ["lies", "lost", "twice"]) {
    const kv = new MemoryKv({
      random: new SimRandom(1),
      faults: { [fault]: 1_000 },
    });
    const access = new KvAccess({
      kv,
      clock: systemClock,
      random: systemRandom,
      timeoutMs: 1_000,
    });
    const w = access.randomHex(8);
    const atomic = access.atomic().check({ key: ["k"], versionstamp: null })
      .set(["k"], { v: 1, w });
    assert.equal(await access.commit(atomic, ["k"], w), true, fault);
    const other = access.atomic().check({ key: ["k"], versionstamp: null })
      .set(["k"], { v: 1, w: "other" });
    if (fault !== "lost") {
      assert.equal(await access.commit(other, ["k"], "other"), false, fault);
    }
  }
});

Deno.test("MemoryKv counts what would be billed", async () => {
  const kv = new MemoryKv();
  await kv.atomic().set(["k"], new Uint8Array(5_000)).set(["l"], 1).commit();
  assert.equal(kv.usage.writeUnits, 6);
  await kv.getMany([["k"], ["l"], ["none"]]);
  assert.equal(kv.usage.readUnits, 4);
});
