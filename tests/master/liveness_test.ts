import { assert } from "../deps.ts";
import {
  isTickDue,
  isUnreported,
  longestPeriodMs,
  takeCensus,
} from "../../master/liveness.ts";
import {
  type ClockRecord,
  type HostRecord,
  newClock,
} from "../../master/schema.ts";
import { KvStore } from "../../master/kv_store.ts";
import { MemoryKv } from "../../testing/master/memory_kv.ts";
import { ManualClock, report, withStore } from "./fixtures.ts";

const ttl = 3;

function clockAt(tick: number, rest: Partial<ClockRecord> = {}): ClockRecord {
  return { ...newClock(1_000_000), tick, ...rest };
}

function host(tick: number, rest: Partial<HostRecord> = {}): HostRecord {
  return {
    v: 2,
    w: "",
    boot: 1,
    seq: 1,
    atMs: 0,
    addr: "",
    api: "",
    region: "north",
    n: 0,
    leads: 0,
    digest: "",
    slices: 0,
    logDigest: "",
    logSlices: 0,
    tick,
    since: 1,
    state: "ok",
    ...rest,
  };
}

/** NodeHosts "1", "2", … last heard at these ticks. */
function hostsAt(...ticks: number[]): Map<string, HostRecord> {
  return new Map(ticks.map((tick, i) => [String(i + 1), host(tick)]));
}

Deno.test("Time grows by a report of a NodeHost that was heard in this tick, most of a period later in either direction (M5)", () => {
  const clock = clockAt(7);
  const isDue = (hostTick: number | undefined, afterMs: number) =>
    isTickDue(clock, hostTick, clock.atMs + afterMs, 1_000);
  assert.equal(isDue(7, 800), true);
  assert.equal(isDue(7, 799), false);
  assert.equal(isDue(7, -800), true, "a clock that went back does not stop it");
  assert.equal(isDue(6, 5_000), false, "one that was silent does not drive it");
  assert.equal(isDue(undefined, 5_000), false);
});

Deno.test("A NodeHost fails when it was silent for more ticks than the TTL, not sooner (master-reference 12, image)", () => {
  const late = (age: number) =>
    takeCensus(clockAt(100), hostsAt(100 - age, 100, 100, 100), ttl).failing;
  assert.deepEqual(late(ttl), []);
  assert.deepEqual(late(ttl + 1), ["1"]);
  const dead = new Map([...hostsAt(100, 100, 100), [
    "4",
    host(1, { state: "failed" }),
  ]]);
  assert.deepEqual(takeCensus(clockAt(100), dead, ttl).failing, [], "once");
});

Deno.test("Mass silence engages the brake: more than half, or a whole region of two or more (M5)", () => {
  const half = takeCensus(clockAt(100), hostsAt(1, 1, 100, 100), ttl);
  assert.deepEqual([half.failing, half.brake], [["1", "2"], undefined]);
  const most = takeCensus(clockAt(100), hostsAt(1, 1, 1, 100), ttl);
  assert.deepEqual(most.failing, []);
  assert.match(most.brake!.why, /3 of 4 NodeHosts/);
  const regions = hostsAt(1, 1, 100, 100, 100, 100);
  for (const id of ["1", "2"]) {
    regions.set(id, host(1, { region: "south" }));
  }
  assert.match(takeCensus(clockAt(100), regions, ttl).brake!.why, /"south"/);
  regions.delete("2");
  const alone = takeCensus(clockAt(100), regions, ttl);
  assert.deepEqual([alone.failing, alone.brake], [["1"], undefined]);
});

Deno.test("NodeHosts that fall silent one after the other within a short time count together (M5)", () => {
  const hosts = hostsAt(96, 97, 100, 100);
  hosts.set("1", host(96, { state: "failed" }));
  hosts.set("2", host(96));
  assert.equal(takeCensus(clockAt(100), hosts, ttl).brake, undefined);
  hosts.set("3", host(96));
  const census = takeCensus(clockAt(100), hosts, ttl);
  assert.deepEqual(census.brake!.hosts, ["1", "2", "3"]);
  assert.deepEqual(census.failing, []);
});

Deno.test("The brake goes off when they return; an operator may release it for those it is about (M5)", () => {
  const brake = { at: 90, why: "", hosts: ["1", "2", "3"] };
  const back = takeCensus(
    clockAt(100, { brake }),
    hostsAt(99, 99, 99, 100),
    ttl,
  );
  assert.equal(back.brake, undefined);
  const some = takeCensus(
    clockAt(100, { brake }),
    hostsAt(1, 99, 99, 100),
    ttl,
  );
  assert.deepEqual(some.brake!.hosts, ["1"]);
  assert.deepEqual(some.failing, []);
  const released = { ...brake, isReleased: true };
  const gone = takeCensus(
    clockAt(100, { brake: released }),
    hostsAt(1, 1, 1, 100),
    ttl,
  );
  assert.deepEqual(gone.failing, ["1", "2", "3"]);
  assert.equal(gone.brake!.isReleased, true);
});

Deno.test("A NodeHost that others hear is unreported, not dead, for ten TTLs (M5)", () => {
  const hosts = hostsAt(90, 100, 100, 100);
  hosts.set("2", host(100, { hears: { 1: 99 } }));
  assert.equal(isUnreported("1", hosts, 100, ttl), true);
  assert.deepEqual(takeCensus(clockAt(100), hosts, ttl).failing, []);
  assert.deepEqual(takeCensus(clockAt(100), hosts, ttl).silent, ["1"]);
  hosts.set("2", host(100, { hears: { 1: 96 } }));
  assert.equal(isUnreported("1", hosts, 100, ttl), false, "not any more");
  hosts.set("2", host(130, { hears: { 1: 130 } }));
  assert.equal(isUnreported("1", hosts, 130, ttl), false, "too long ago");
});

Deno.test("Masters' time stands while nobody reports, and does not jump after it (M5; master-reference 2)", async () => {
  await withStore(async (store, kv, clock) => {
    const tickOf = async () => {
      const { value } = await kv.get(["clock"]);
      return (value as ClockRecord).tick;
    };
    for (let i = 0; i < 4; i++) {
      for (const n of [1, 2, 3]) await store.report(report(n));
      clock.advance(20_000);
    }
    assert.equal(await tickOf(), 4);
    clock.advance(3_600_000);
    for (const n of [1, 2, 3]) await store.report(report(n));
    assert.equal(await tickOf(), 5);
    clock.nowMs -= 7_200_000;
    for (const n of [1, 2, 3]) await store.report(report(n));
    assert.equal(await tickOf(), 6);
    for (const n of [1, 2, 3]) await store.report(report(n));
    assert.equal(await tickOf(), 6);
  });
});

Deno.test("A report that changes nothing costs two read units and one write; a quiet round a few reads and the clock", async () => {
  const kv = new MemoryKv();
  const clock = new ManualClock();
  const store = new KvStore({ kv, clock });
  const hostCount = 12;
  const all = async () => {
    for (let n = 1; n <= hostCount; n++) await store.report(report(n));
    clock.advance(20_000);
  };
  for (let i = 0; i < 3; i++) await all();
  for (let round = 0; round < 8; round++) {
    const before = { ...kv.usage };
    await store.report(report(1)); // Makes time grow, and runs the round.
    const reads = kv.usage.readUnits - before.readUnits;
    assert.ok(reads <= 2 + 5 + hostCount / 4, `${reads} read units`);
    const isSweep = kv.usage.mutations - before.mutations - 2;
    assert.ok(isSweep === 0 || isSweep === 1, "the report, and the clock");
    for (let n = 2; n <= hostCount; n++) {
      const quiet = { ...kv.usage };
      await store.report(report(n));
      assert.equal(kv.usage.readUnits - quiet.readUnits, 2);
      assert.equal(kv.usage.gets - quiet.gets, 1);
      assert.equal(kv.usage.mutations - quiet.mutations, 1);
      assert.equal(kv.usage.lists, quiet.lists);
    }
    clock.advance(20_000);
  }
});

Deno.test("Time grows as slowly as the slowest NodeHost that is heard was told to report, whoever makes it grow (M5)", async () => {
  const kv = new MemoryKv();
  const clock = new ManualClock();
  const slow = new KvStore({ kv, clock, periodMs: 60_000 });
  const fast = new KvStore({ kv, clock, periodMs: 20_000 });
  const stateOf = async (id: string) =>
    ((await kv.get(["h", id])).value as HostRecord).state;
  const tick = async () =>
    ((await kv.get(["clock"])).value as ClockRecord).tick;
  // Of five NodeHosts one writes into the store by itself, the others report to a master.
  const others = [2, 3, 4, 5];
  let before = 0;
  for (let second = 0; second < 1_200; second += 20) {
    if (second % 60 === 0) {
      for (const n of others) await slow.report(report(n));
      before ||= await tick();
    }
    await fast.report(report(1));
    for (const n of others) assert.equal(await stateOf(`host-${n}`), "ok");
    clock.advance(20_000);
  }
  const grown = await tick() - before;
  assert.ok(grown >= 18 && grown <= 21, `${grown} ticks in twenty minutes`);
});

Deno.test("A master with a shorter period does not miss whom the one before it told to wait, and then is as fast as it says (M5)", async () => {
  const kv = new MemoryKv();
  const clock = new ManualClock();
  const before = new KvStore({ kv, clock, periodMs: 60_000 });
  const after = new KvStore({ kv, clock, periodMs: 2_000 });
  const clockRecord = async () =>
    (await kv.get(["clock"])).value as ClockRecord;
  const all = [1, 2, 3, 4, 5];
  for (let round = 0; round < 3; round++) {
    for (const n of all) await before.report(report(n));
    clock.advance(60_000);
  }
  // The first two are told now; the others come when they were told to.
  for (const n of [1, 2]) await after.report(report(n));
  for (let second = 0; second < 58; second += 2) {
    clock.advance(2_000);
    for (const n of [1, 2]) await after.report(report(n));
  }
  for (const n of all) {
    const { value } = await kv.get(["h", `host-${n}`]);
    assert.equal((value as HostRecord).state, "ok", `NodeHost ${n}`);
  }
  assert.equal((await clockRecord()).brake, undefined);
  for (let second = 0; second < 120; second += 2) {
    for (const n of all) await after.report(report(n));
    clock.advance(2_000);
  }
  const { tick } = await clockRecord();
  for (let second = 0; second < 20; second += 2) {
    for (const n of all) await after.report(report(n));
    clock.advance(2_000);
  }
  assert.ok((await clockRecord()).tick - tick >= 9);
});

Deno.test("Whoever is silent for good does not slow time down", () => {
  const hosts = hostsAt(100, 100, 90, 100);
  const told = (id: string, periodMs: number, rest = {}) =>
    hosts.set(id, { ...hosts.get(id)!, periodMs, ...rest });
  assert.equal(longestPeriodMs(hosts, 100, ttl), undefined);
  told("1", 2_000);
  told("2", 5_000);
  told("3", 60_000);
  told("4", 60_000, { state: "gone" });
  assert.equal(longestPeriodMs(hosts, 100, ttl), 5_000);
});
