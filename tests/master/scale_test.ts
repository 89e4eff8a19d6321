/** What many clusters and NodeHosts cost, counted; and how long it takes on an embedded Deno KV. */
import { assert } from "../deps.ts";
import { openDenoKv } from "../../master/kv.ts";
import { KvStore } from "../../master/kv_store.ts";
import type { ClusterRecord } from "../../master/schema.ts";
import { MemoryKv } from "../../testing/master/memory_kv.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import { cluster, FaultyKv, ManualClock, report } from "./fixtures.ts";

const clusterCount = 1_000;

/** All clusters of NodeHost `n`, each with its members on NodeHosts 1, 2 and 3. */
function clusters(n: number, rest = {}): ReturnType<typeof cluster>[] {
  return Array.from(
    { length: clusterCount },
    (_, i) => cluster(i + 1, n, rest),
  );
}

/** The shortest of a few times, since anything may hold a machine up once. */
async function best(times: number, work: () => Promise<void>): Promise<number> {
  let shortest = Infinity;
  for (let i = 0; i < times; i++) {
    const before = performance.now();
    await work();
    shortest = Math.min(shortest, performance.now() - before);
  }
  return shortest;
}

Deno.test("A first report of 1,000 clusters takes under two seconds, an unchanged one 50 ms and one write", async () => {
  const kv = new FaultyKv(await openDenoKv(":memory:"));
  try {
    const store = new KvStore({ kv });
    const first = await best(1, async () => {
      const { want } = await store.report(report(1, clusters(1)));
      assert.deepEqual(want, []);
    });
    assert.ok(first < 2_000, `${first} ms`);
    const known = report(1, clusters(1, { incomplete: true, nodes: {} }));
    await store.report(known);
    const before = { ...kv.counts };
    const again = await best(5, async () => {
      await store.report(known);
    });
    assert.ok(again < 50, `${again} ms`);
    assert.equal(kv.counts.getMany - before.getMany, 5); // Of two values: clock and NodeHost.
    assert.equal(kv.counts.get, before.get);
    assert.equal(kv.counts.list, before.list);
    assert.equal(kv.counts.set - before.set, 5);
  } finally {
    kv.close();
  }
});

Deno.test("A NodeHost with 300 nodes that dies becomes 300 durable plans, of which as many start as limits allow", async () => {
  const kv = new MemoryKv();
  const clock = new ManualClock();
  const random = new SimRandom(1);
  const store = new KvStore({
    kv,
    clock,
    random,
    decisionsPerRound: 1_000,
    roundMs: 60_000,
  });
  const apps = ["kv"];
  const count = 300;
  const list = (n: number) => clusters(n, {}).slice(0, count);
  const everyone = async (dead: boolean) => {
    for (let n = 1; n <= 6; n++) {
      if (dead && n === 3) continue;
      await store.report(
        report(n, n <= 3 ? list(n) : [], { apps, region: `r${n}` }),
      );
    }
    clock.advance(20_000);
  };
  await everyone(false);
  for (let i = 1; i <= count; i++) {
    await store.command({
      type: "adoptCluster",
      clusterId: i,
      wish: { app: "kv" },
    });
  }
  for (let i = 0; i < 4; i++) await everyone(false);
  assert.deepEqual(kv.peekAll(["att"]), [], "all is well");
  const plans = () =>
    kv.peekAll(["c"]).map(({ value }) => (value as ClusterRecord).plan)
      .filter((plan) => plan !== undefined);
  for (let i = 0; i < 5; i++) await everyone(true);
  assert.equal(plans().length, count);
  const started = plans().filter(({ slots }) => slots.length > 0);
  assert.equal(started.length, 12); // Four at once to each of three NodeHosts.
  assert.equal(kv.peekAll(["slot"]).length, 24);
});

Deno.test("Clusters that are adopted while NodeHosts have nothing new to say are settled, cost no more than others, and are repaired (M7)", async () => {
  const kv = new MemoryKv();
  const clock = new ManualClock();
  const store = new KvStore({ kv, clock, random: new SimRandom(1) });
  const count = 30;
  const tell = async (hosts: number[], rest = {}) => {
    for (const n of hosts) {
      const carried = n > 3 ? [] : clusters(n, rest).slice(0, count);
      await store.report(report(n, carried, { apps: ["kv"] }));
    }
    clock.advance(20_000);
  };
  const known = { incomplete: true, nodes: {} };
  await tell([1, 2, 3, 4]);
  await tell([1, 2, 3, 4], known); // From here on they say the same.
  for (let clusterId = 1; clusterId <= count; clusterId++) {
    const wish = { app: "kv" };
    await store.command({ type: "adoptCluster", clusterId, wish });
  }
  for (let i = 0; i < 4; i++) await tell([1, 2, 3, 4], known);
  assert.deepEqual(kv.peekAll(["att"]), []);
  for (const { value } of kv.peekAll(["c"])) {
    for (const member of Object.values((value as ClusterRecord).members)) {
      assert.notEqual(member.since, undefined, "it is known to run");
    }
  }
  const before = kv.usage.mutations;
  await tell([1, 2, 3, 4], known);
  assert.equal(kv.usage.mutations - before, 5, "four reports, and the clock");
  for (let i = 0; i < 8; i++) await tell([1, 2, 4], known);
  const plans = kv.peekAll(["c"]).filter(({ value }) =>
    (value as ClusterRecord).plan?.kind === "repair"
  );
  assert.equal(plans.length, count);
});

Deno.test("A round reads no more of 10,000 clusters than of ten, if all are well", async () => {
  const units = [];
  for (const count of [10, 10_000]) {
    const kv = new MemoryKv();
    const clock = new ManualClock();
    const store = new KvStore({ kv, clock, random: new SimRandom(1) });
    const of = (n: number, rest = {}) =>
      report(
        n,
        Array.from({ length: count }, (_, i) =>
          cluster(i + 1, n, { isLeader: false, ...rest })),
      );
    await store.report(of(1));
    const reports = [1, 2, 3].map((n) =>
      of(n, { incomplete: true, nodes: {} })
    );
    for (let i = 0; i < 3; i++) {
      for (const one of reports) await store.report(one);
      clock.advance(20_000);
    }
    const before = kv.usage.readUnits;
    for (let tick = 0; tick < 8; tick++) {
      for (const one of reports) await store.report(one);
      clock.advance(20_000);
    }
    units.push(kv.usage.readUnits - before);
  }
  assert.ok(units[1]! <= units[0]! + 4, units.join());
});
