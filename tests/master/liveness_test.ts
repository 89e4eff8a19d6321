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
import { someHeard } from "../../master/client_tasks.ts";
import { TickWatch } from "../../master/tick_watch.ts";
import type { KvStore } from "../../master/kv_store.ts";
import { ManualClock, report, withStore } from "./fixtures.ts";
import { alone, ownMemory, storeOver } from "./instances.ts";

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

Deno.test("Whoever falls silent together is judged together, although one of them is missed a tick before the other (M5)", () => {
  const at = (tick: number, second: number) => {
    const hosts = hostsAt(96, second, tick, tick, tick);
    for (const id of ["3", "4", "5"]) {
      hosts.set(id, host(tick, { region: "south" }));
    }
    return takeCensus(clockAt(tick), hosts, ttl);
  };
  const first = at(100, 97);
  assert.deepEqual(first.failing, [], "the other is missed in a tick");
  assert.equal(first.brake, undefined);
  assert.deepEqual(first.silent, ["1", "2"]);
  assert.deepEqual(at(101, 97).brake!.hosts, ["1", "2"]);
  assert.deepEqual(at(101, 101).failing, ["1"], "it was one alone");
  assert.deepEqual(at(100, 98).failing, ["1"], "it may merely be late");
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

Deno.test("However many are silent, all are asked about in turn, and none that others hear is taken for dead (M5)", () => {
  const count = 40;
  const silent = Array.from({ length: count }, (_, i) => `s${100 + i}`);
  const others = Array.from({ length: 60 }, (_, i) => `o${100 + i}`);
  const hears = new Map(others.map((id) => [id, new Map<string, number>()]));
  let clock = clockAt(100);
  for (let tick = 100; tick < 120; tick++) {
    const hosts = new Map<string, HostRecord>();
    for (const id of silent) hosts.set(id, host(99));
    for (const id of others) {
      // It hears all of them, and says so of as many as a report takes.
      const heard = hears.get(id)!;
      const told = someHeard(clock.silent, id, tick);
      assert.ok(told.length <= 16);
      for (const one of told) heard.set(one, tick);
      const rest = [...heard].filter(([, at]) => tick - at < 4);
      hosts.set(id, host(tick, { hears: Object.fromEntries(rest) }));
    }
    const census = takeCensus({ ...clock, tick }, hosts, ttl);
    assert.deepEqual(census.failing, [], `tick ${tick}`);
    clock = { ...clock, silent: [...census.silent] };
  }
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
  const kv = ownMemory("counts what is billed");
  const clock = new ManualClock();
  const store = storeOver({ kv, clock }, alone);
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

/** NodeHosts report at the same time. */
async function tell(store: KvStore, hosts: readonly number[]): Promise<void> {
  await Promise.all(hosts.map((n) => store.report(report(n))));
}

Deno.test("Time grows as slowly as the slowest NodeHost that is heard was told to report, whoever makes it grow (M5)", async () => {
  await withStore(async (_store, kv, clock) => {
    const slow = storeOver({ kv, clock, periodMs: 60_000 });
    const fast = storeOver({ kv, clock, periodMs: 20_000 });
    const stateOf = async (id: string) =>
      ((await kv.get(["h", id])).value as HostRecord).state;
    const tick = async () =>
      ((await kv.get(["clock"])).value as ClockRecord).tick;
    // Of five NodeHosts one writes into the store by itself, the others report to a master.
    const others = [2, 3, 4, 5];
    let before = 0;
    for (let second = 0; second < 1_200; second += 20) {
      if (second % 60 === 0) {
        await tell(slow, others);
        before ||= await tick();
      }
      await fast.report(report(1));
      const states = others.map((n) => stateOf(`host-${n}`));
      for (const state of await Promise.all(states)) assert.equal(state, "ok");
      clock.advance(20_000);
    }
    const grown = await tick() - before;
    assert.ok(grown >= 18 && grown <= 21, `${grown} ticks in twenty minutes`);
  });
});

Deno.test("A master with a shorter period does not miss whom the one before it told to wait, and then is as fast as it says (M5)", async () => {
  await withStore(async (_store, kv, clock) => {
    const before = storeOver({ kv, clock, periodMs: 60_000 });
    const after = storeOver({ kv, clock, periodMs: 2_000 });
    const clockRecord = async () =>
      (await kv.get(["clock"])).value as ClockRecord;
    const all = [1, 2, 3, 4, 5];
    for (let round = 0; round < 3; round++) {
      await tell(before, all);
      clock.advance(60_000);
    }
    // The first two are told now; the others come when they were told to.
    await tell(after, [1, 2]);
    for (let second = 0; second < 58; second += 2) {
      clock.advance(2_000);
      await tell(after, [1, 2]);
    }
    for (const n of all) {
      const { value } = await kv.get(["h", `host-${n}`]);
      assert.equal((value as HostRecord).state, "ok", `NodeHost ${n}`);
    }
    assert.equal((await clockRecord()).brake, undefined);
    for (let second = 0; second < 120; second += 2) {
      await tell(after, all);
      clock.advance(2_000);
    }
    const { tick } = await clockRecord();
    for (let second = 0; second < 20; second += 2) {
      await tell(after, all);
      clock.advance(2_000);
    }
    assert.ok((await clockRecord()).tick - tick >= 9);
  });
});

Deno.test("Masters whose clocks differ by any amount make time grow no faster, however often NodeHosts report (M5)", async () => {
  for (const offMs of [600_000, -600_000, 50_000]) {
    const kv = ownMemory("thousands of reports, one after the other");
    const clocks = [new ManualClock(), new ManualClock()];
    clocks[1]!.advance(offMs);
    const masters = clocks.map((clock) =>
      storeOver({ kv, clock, periodMs: 60_000 }, alone)
    );
    const all = [1, 2, 3, 4];
    for (const n of all) await masters[0]!.report(report(n));
    const tick = async () =>
      ((await kv.get(["clock"])).value as ClockRecord).tick;
    let turn = 0;
    const begin = await tick();
    for (let second = 0; second < 1_200; second += 5) {
      for (const clock of clocks) clock.advance(5_000);
      // Something is being done: all but one know it, and report more often, to whichever master.
      const heard = second % 60 === 0 ? all : [1, 2, 3];
      for (const n of heard) await masters[turn++ % 2]!.report(report(n));
      const { value } = await kv.get(["h", "host-4"]);
      assert.equal((value as HostRecord).state, "ok", `after ${second} s`);
    }
    const grown = await tick() - begin;
    assert.ok(grown >= 15 && grown <= 25, `${grown} ticks in twenty minutes`);
  }
});

Deno.test("A master whose own clock jumps, or that has seen nothing yet, goes by what the store says (M5)", () => {
  const watch = new TickWatch();
  const at = (tick: number, atMs: number) => ({ tick, atMs });
  assert.equal(watch.begunAtMs(at(7, 500), 1_000), 500, "nothing seen before");
  assert.equal(watch.begunAtMs(at(7, 500), 2_000), 500);
  assert.equal(watch.begunAtMs(at(8, 2_500), 3_000), 2_500);
  assert.equal(watch.begunAtMs(at(9, 90_000), 4_000), 4_000, "not later");
  assert.equal(watch.begunAtMs(at(9, 90_000), 5_000), 4_000);
  assert.equal(watch.begunAtMs(at(10, 10), 6_000), 5_000, "not before");
  assert.equal(watch.begunAtMs(at(11, 77), 1_000), 77, "its clock went back");
  assert.equal(watch.begunAtMs(at(10, 10), 1_100), 10, "an older one, late");
  assert.equal(watch.begunAtMs(at(12, 1_150), 1_200), 1_150);
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

Deno.test("Whoever judges a NodeHost's silence, it is by the TTL of the master that took its last report (M5)", async () => {
  await withStore(async (_store, kv, clock) => {
    const stateOf = async (id: string) =>
      ((await kv.get(["h", id])).value as HostRecord).state;
    const patient = storeOver({ kv, clock, limits: { ttl: 10 } });
    const hasty = storeOver({ kv, clock, limits: { ttl: 3 } });
    const all = async (toHasty: number[], toPatient: number[]) => {
      for (const n of toHasty) await hasty.report(report(n));
      for (const n of toPatient) await patient.report(report(n));
      clock.advance(20_000);
    };
    for (let tick = 0; tick < 4; tick++) await all([1, 2, 3], [4, 5]);
    // One of each falls silent; the hasty one makes time grow.
    for (let tick = 0; tick < 9; tick++) {
      await all([1, 2], [4]);
      assert.equal(await stateOf("host-5"), "ok", `${tick} ticks`);
      assert.equal(await stateOf("host-3"), tick < 3 ? "ok" : "failed");
    }
    for (let tick = 0; tick < 4; tick++) await all([1, 2], [4]);
    assert.equal(await stateOf("host-5"), "failed");
    // The other way round: the patient one makes time grow, and does not wait for whom the hasty one heard last.
    await all([1, 2, 3], []);
    for (let tick = 0; tick < 6; tick++) {
      await patient.report(report(4));
      await all([1, 2], [5]);
    }
    assert.equal(await stateOf("host-3"), "failed");
  });
});
