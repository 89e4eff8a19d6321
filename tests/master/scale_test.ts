/** What many clusters and NodeHosts cost, counted; and how long it takes on an embedded Deno KV. */
import { assert } from "../deps.ts";
import type { KvEntry } from "../../master/kv.ts";
import type { ReportReply } from "../../master/protocol.ts";
import type { ClockRecord, ClusterRecord } from "../../master/schema.ts";
import type { MemoryKv } from "../../testing/master/memory_kv.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import { cluster, FaultyKv, ManualClock, report } from "./fixtures.ts";
import {
  alone,
  ownEmbedded,
  ownMemory,
  type Place,
  storeOver,
} from "./instances.ts";

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
  const kv = new FaultyKv(
    await ownEmbedded("measures how long that takes"),
  );
  try {
    const store = storeOver({ kv }, alone);
    let n = 3; // Each time another NodeHost, which tells of clusters that nobody knows.
    const first = await best(3, async () => {
      const list = clusters(n).map((one) => ({
        ...one,
        clusterId: one.clusterId + (n - 1) * clusterCount,
      }));
      const { want } = await store.report(report(n--, list));
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

const dyingNodes = 300;

/** Six NodeHosts, of which the first three carry 300 clusters that are all well; the third is silent from now on. */
async function withDeath(
  work: (death: {
    kv: MemoryKv;
    faulty: FaultyKv;
    clock: ManualClock;
    /** A report of NodeHost `n`. */
    tell: (n: number) => Promise<ReportReply>;
    plans: () => NonNullable<ClusterRecord["plan"]>[];
    clockNow: () => ClockRecord;
  }) => Promise<void>,
  place: Place = alone,
): Promise<void> {
  const kv = ownMemory("looks at what is stored after each step");
  const faulty = new FaultyKv(kv);
  const clock = new ManualClock();
  const random = new SimRandom(1);
  const store = storeOver({ kv: faulty, clock, random }, place);
  const tell = (n: number, members = {}) => {
    const carried = n <= 3 ? clusters(n, members).slice(0, dyingNodes) : [];
    const rest = { apps: ["kv"], region: `r${n}` };
    return store.report(report(n, carried, rest));
  };
  const known = { incomplete: true, nodes: {} };
  const everyone = async (members = {}) => {
    for (let n = 1; n <= 6; n++) await tell(n, members);
    clock.advance(20_000);
  };
  await everyone();
  for (let clusterId = 1; clusterId <= dyingNodes; clusterId++) {
    const wish = { app: "kv" };
    await store.command({ type: "adoptCluster", clusterId, wish });
  }
  for (let i = 0; i < 4; i++) await everyone(known);
  assert.deepEqual(kv.peekAll(["att"]), [], "all is well");
  const plans = () =>
    kv.peekAll(["c"]).map(({ value }) => (value as ClusterRecord).plan)
      .filter((plan) => plan !== undefined);
  const clockNow = () => kv.peek(["clock"]).value as ClockRecord;
  // NodeHost 1 reports first, and so makes time grow.
  const tellAgain = (n: number) => tell(n, known);
  for (let i = 0; i < 3; i++) {
    for (const n of [1, 2, 4, 5, 6]) await tellAgain(n);
    clock.advance(20_000);
  }
  assert.equal(plans().length, 0, "it may be alive");
  await work({ kv, faulty, clock, tell: tellAgain, plans, clockNow });
}

Deno.test("A NodeHost with 300 nodes that dies becomes 300 durable plans in one round, of which as many start as limits allow", async () => {
  await withDeath(async ({ kv, tell, plans, clockNow }) => {
    const { nextReportMs } = await tell(1);
    assert.equal(plans().length, dyingNodes);
    const started = plans().filter(({ slots }) => slots.length > 0);
    assert.equal(started.length, 12); // Four at once to each of three NodeHosts.
    assert.equal(kv.peekAll(["slot"]).length, 24);
    assert.equal(kv.peekAll(["q"]).length, 12, "nobody is asked for more");
    assert.equal(clockNow().pass, undefined);
    assert.equal(nextReportMs, 5_000);
  }, {});
});

Deno.test("A round that had more to do than time is continued by the next report, whosever it is, and each cluster is looked at once", async () => {
  await withDeath(async ({ kv, faulty, clock, tell, plans, clockNow }) => {
    faulty.letCommitsTake(20, clock);
    const reply = await tell(1);
    const { tick } = clockNow();
    const first = plans().length;
    assert.ok(first >= 10 && first < 150, `${first} plans in 300 ms`);
    assert.notEqual(clockNow().pass, undefined);
    assert.equal(reply.nextReportMs, 1_000, "it comes soon, if nobody else");
    const written: Record<string, number> = {};
    kv.afterCommit = (keys) => {
      for (const [kind] of keys) {
        written[String(kind)] = (written[String(kind)] ?? 0) + 1;
      }
    };
    let reports = 0;
    for (const n of [2, 1, 6, 1, 1, 1, 1]) {
      if (clockNow().pass === undefined) break;
      const soFar = plans().length;
      await tell(n);
      reports++;
      assert.ok(plans().length >= Math.min(soFar + 50, dyingNodes));
    }
    assert.equal(plans().length, dyingNodes);
    assert.ok(reports >= 2 && reports <= 6, `${reports} reports`);
    assert.equal(clockNow().pass, undefined);
    assert.equal(clockNow().tick, tick, "no time passed");
    // A plan that waits: its record, its entry on the list, a line of history. Each report takes what is left out of the
    // clock, and all but the last put back what they left.
    const left = dyingNodes - first;
    assert.deepEqual(written, {
      h: reports,
      clock: 2 * reports - 1,
      c: left,
      att: left,
      ev: left,
    });
    assert.equal((await tell(2)).nextReportMs, 5_000);
  });
});

Deno.test("Reports that come in the midst of a busy round do not wait for it, and begin no other one", async () => {
  await withDeath(async ({ kv, faulty, tell, plans }) => {
    const other = { atPlans: 0, gets: 0, lists: 0 };
    let commits = 0;
    faulty.beforeCommit = async () => {
      if (++commits !== 20) return;
      // The round waits here; who reports now gets an answer.
      faulty.beforeCommit = undefined;
      const before = { ...kv.usage };
      await tell(2);
      other.gets = kv.usage.gets - before.gets;
      other.lists = kv.usage.lists - before.lists;
      other.atPlans = plans().length;
    };
    await tell(1);
    assert.ok(other.atPlans > 0 && other.atPlans < dyingNodes);
    assert.equal(other.gets, 1, "the clock and itself");
    assert.equal(other.lists, 0, "no round");
    assert.equal(plans().length, dyingNodes);
  });
});

Deno.test("Plans that wait are stored by tens; if one of their records changed, the other nine are stored nevertheless (M3)", async () => {
  await withDeath(async ({ kv, faulty, tell, plans }) => {
    const before = kv.usage.commits;
    let changed = 0;
    faulty.beforeCommit = async () => {
      if (plans().length < 40 || changed > 0) return;
      // Another master writes one that is decided about at this moment.
      const hasPlan = ({ value }: KvEntry) =>
        (value as ClusterRecord).plan !== undefined;
      const { key, value, versionstamp } = kv.peekAll(["c"])
        .find((entry, i, all) => !hasPlan(entry) && hasPlan(all.at(i - 1)!))!;
      changed = Number(key[1]);
      const atomic = kv.atomic().check({ key, versionstamp });
      await atomic.set(key, { ...value as ClusterRecord, w: "another" })
        .commit();
    };
    await tell(1);
    assert.notEqual(changed, 0);
    assert.equal(plans().length, dyingNodes - 1);
    const { plan } = kv.peek(["c", changed]).value as ClusterRecord;
    assert.equal(plan, undefined);
    // The report, the walk, twelve repairs that begin, 29 tens, one of them once more singly, the clock; and ours.
    const { commits } = kv.usage;
    assert.ok(commits - before < 70, `${commits - before} commits`);
  });
});

Deno.test("Clusters that wait for something keep no other one from its turn, however many they are (M3)", async () => {
  const kv = ownMemory("counts what is billed");
  const clock = new ManualClock();
  const store = storeOver({ kv, clock, random: new SimRandom(1) });
  const everyone = async () => {
    for (const n of [1, 2, 3]) {
      await store.report(report(n, [], { apps: ["kv"] }));
    }
    clock.advance(20_000);
  };
  await everyone();
  const define = async (clusterId: number, app: string) => {
    const wish = { app, size: 3 };
    await store.command({ type: "createCluster", clusterId, wish });
  };
  // More than a round reads of the list, and no NodeHost has what they need.
  for (let id = 1; id <= 2_100; id++) await define(id, "other");
  const late = 1_000_000;
  await define(late, "kv");
  const lifeOf = () => (kv.peek(["c", late]).value as ClusterRecord).life;
  const before = kv.usage.readUnits;
  let ticks = 0;
  while (lifeOf() === "defined" && ticks < 10) {
    await everyone();
    ticks++;
  }
  assert.equal(lifeOf(), "launching");
  assert.ok(ticks <= 4, `${ticks} ticks`);
  // Those that wait are looked at in turn: a page of a thousand a tick, though there are three reports in it.
  const units = (kv.usage.readUnits - before) / ticks;
  assert.ok(units < 1_200, `${units} read units a tick`);
});

Deno.test("Clusters that are adopted while NodeHosts have nothing new to say are settled, cost no more than others, and are repaired (M7)", async () => {
  const kv = ownMemory("counts what is billed");
  const clock = new ManualClock();
  const store = storeOver({ kv, clock, random: new SimRandom(1) });
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
    const kv = ownMemory("counts what is billed");
    const clock = new ManualClock();
    const store = storeOver({ kv, clock, random: new SimRandom(1) });
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
