/** What a quiet month costs on Deno KV: computed, compared with what is counted, and with what docs/BUDGET.md says. */
import { assert } from "../deps.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type { ClusterInfo, NodeHostInfo } from "../../master/protocol.ts";
import type { ClockRecord, ClusterRecord } from "../../master/schema.ts";
import { FakeHost, type FakeWorld } from "../../testing/master/fake_host.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import { cluster, ManualClock, report } from "./fixtures.ts";
import { alone, ownMemory, storeOver } from "./instances.ts";
import { fixedCells } from "./scale/table.ts";

const monthSeconds = 30 * 24 * 3_600;

/** Bytes of a NodeHost's record and its key: with an id, addresses, a region, a secret and one app as they are in practice. */
const hostBytes = 454;

/** Units that eight clusters of three cost, with ids as they are in practice. */
const sweepUnits = 2;

/** A master that goes on running reads its deployment once in so many seconds, with a report. */
const metaSeconds = 60;

interface Cost {
  requests: number;
  readUnits: number;
  writeUnits: number;
}

/**
 * Of one tick in which nothing happens, without the page of clusters that every fourth looks at, and up to which it
 * writes into the clock once more. Each report reads the
 * clock and its NodeHost, two units, and writes the NodeHost, one. One of them makes time grow, writes the clock and
 * lists what is to be done (one unit, even if it is empty) and the NodeHosts (4 KiB per unit).
 */
function tickCost(hosts: number): Cost {
  return {
    requests: hosts,
    readUnits: 2 * hosts + 1 + Math.ceil(hosts * hostBytes / 4_096),
    writeUnits: hosts + 1,
  };
}

/** Of a month, with the platform's timer each five minutes, in an instance of its own. */
function monthCost(hosts: number, periodSeconds: number): Cost {
  const ticks = monthSeconds / periodSeconds;
  const timer = monthSeconds / 300;
  const metas = monthSeconds / Math.max(metaSeconds, periodSeconds);
  const { requests, readUnits, writeUnits } = tickCost(hosts);
  return {
    requests: Math.round(ticks * requests + timer),
    readUnits: Math.round(
      ticks * (readUnits + sweepUnits / 4) + metas + 2 * timer,
    ),
    writeUnits: Math.round(ticks * (writeUnits + 1 / 4)),
  };
}

function readBudget(): Promise<string> {
  return Deno.readTextFile(
    new URL("../../docs/BUDGET.md", import.meta.url),
  );
}

/** As long as the id that a NodeHost makes for itself. */
const idOf = (n: number) => n.toString(16).padStart(32, "0");

/** As many on each NodeHost, or some would move. */
const clustersOf = (hosts: number) => Math.ceil(80 / hosts) * hosts;

/** What NodeHost `n` of so many reports in practice. */
function realReport(n: number, hosts: number, rest = {}): NodeHostInfo {
  const address = (one: number) =>
    `host-${String(one).padStart(3, "0")}.example.net:7001`;
  const list: ClusterInfo[] = [];
  for (let clusterId = 1; clusterId <= clustersOf(hosts); clusterId++) {
    const on = [0, 1, 2].map((k) => (clusterId + k) % hosts + 1);
    if (!on.includes(n)) continue;
    const nodes = Object.fromEntries(on.map((one) => [one, address(one)]));
    const isLeader = n === on[0];
    list.push(cluster(clusterId, n, { nodes, isLeader, ...rest }));
  }
  return report(n, list, {
    nodeHostId: idOf(n),
    nodeHostAddress: address(n),
    nodeHostApiAddress: `host-${String(n).padStart(3, "0")}.example.net:8001`,
    region: "europe-west",
    apps: ["kv"],
    boot: 1,
  });
}

for (const hosts of [3, 8, 20, 100]) {
  Deno.test(`A quiet tick of ${hosts} NodeHosts costs exactly what docs/BUDGET.md computes with`, async () => {
    const kv = ownMemory("counts what is billed");
    const clock = new ManualClock();
    const store = storeOver({ kv, clock, random: new SimRandom(1) }, alone);
    const secret = "0".repeat(43);
    let seq = 0;
    let metaAtMs = -Infinity;
    let metas = 0;
    const tick = async (rest = {}) => {
      seq++;
      if (clock.nowMs - metaAtMs >= metaSeconds * 1_000) {
        metaAtMs = clock.nowMs;
        metas++;
      }
      for (let n = 1; n <= hosts; n++) {
        const one = { ...realReport(n, hosts, rest), seq };
        await store.report(one, { secret });
      }
      clock.advance(20_000);
    };
    await tick();
    for (let clusterId = 1; clusterId <= clustersOf(hosts); clusterId++) {
      const wish = { app: "kv" };
      await store.command({ type: "adoptCluster", clusterId, wish });
    }
    const quiet = { incomplete: true, nodes: {} };
    for (let i = 0; i < 12; i++) await tick(quiet);
    assert.deepEqual(kv.peekAll(["att"]), []);
    for (let count = 1; count <= hosts; count++) {
      const { readUnits } = kv.usage;
      const batch = { limit: count, batchSize: count };
      for await (const _ of kv.list({ prefix: ["h"] }, batch));
      const units = kv.usage.readUnits - readUnits;
      assert.equal(units, Math.ceil(count * hostBytes / 4_096), `${count}`);
    }
    for (let i = 0; i < 12; i++) {
      const before = { ...kv.usage };
      const metasBefore = metas;
      await tick(quiet);
      const { tick: now } = kv.peek(["clock"]).value as ClockRecord;
      const { readUnits, writeUnits } = tickCost(hosts);
      const isSweep = now % 4 === 0;
      assert.deepEqual({
        readUnits: kv.usage.readUnits - before.readUnits,
        writeUnits: kv.usage.writeUnits - before.writeUnits,
      }, {
        readUnits: readUnits + (isSweep ? sweepUnits : 0) + metas -
          metasBefore,
        writeUnits: writeUnits + (isSweep ? 1 : 0),
      }, `tick ${now}`);
      const round = kv.usage.readUnits - before.readUnits - 2 * hosts;
      assert.ok(round - (metas - metasBefore) <= 5 + hosts / 4);
    }
  });
}

Deno.test("The platform's timer costs two read units when nothing is to be done, and one if the instance was in use", async () => {
  const kv = ownMemory("counts what is billed");
  const clock = new ManualClock();
  const make = () => storeOver({ kv, clock, random: new SimRandom(1) }, alone);
  const warm = make();
  const tell = async () => {
    for (const n of [1, 2, 3]) await warm.report(report(n));
  };
  const costOf = async (store: KvStore) => {
    const before = { ...kv.usage };
    assert.equal(await store.tick(), false);
    return {
      readUnits: kv.usage.readUnits - before.readUnits,
      writeUnits: kv.usage.writeUnits - before.writeUnits,
    };
  };
  for (let second = 0; second < 300; second += 20) {
    await tell();
    clock.advance(20_000);
  }
  await tell();
  assert.deepEqual(await costOf(warm), { readUnits: 1, writeUnits: 0 });
  assert.deepEqual(await costOf(make()), { readUnits: 2, writeUnits: 0 });
  const idle = make();
  await idle.tick();
  for (let second = 0; second < 300; second += 20) {
    await tell();
    clock.advance(20_000);
  }
  assert.deepEqual(await costOf(idle), { readUnits: 2, writeUnits: 0 });
});

Deno.test("A repair writes as many units as docs/BUDGET.md says", async () => {
  const kv = ownMemory("counts what is billed");
  const clock = new ManualClock();
  const store = storeOver({ kv, clock, random: new SimRandom(1) }, alone);
  const world: FakeWorld = {
    clusters: new Map(),
    now: () => clock.nowMs,
    isRunning: (clusterId, nodeId) =>
      hosts.some((host) =>
        host.isUp && host.nodes.get(clusterId)?.nodeId === nodeId
      ),
  };
  const hosts = ["a", "b", "c", "d"].map((region, i) =>
    new FakeHost(`host-${i + 1}`, `h${i + 1}:7001`, region, world)
  );
  const run = async (times: number) => {
    for (let i = 0; i < times; i++) {
      for (const host of hosts) {
        if (!host.isUp) continue;
        const info = host.report();
        await host.receive(info, await store.report(info));
      }
      clock.advance(5_000);
    }
  };
  const clusterNow = () => kv.peek(["c", 1]).value as ClusterRecord;
  await run(5);
  const wish = { app: "kv", size: 3 };
  await store.command({ type: "createCluster", clusterId: 1, wish });
  await run(40);
  assert.equal(clusterNow().life, "ok");
  assert.deepEqual(kv.peekAll(["att"]), []);
  const written: Record<string, number> = {};
  kv.afterCommit = (keys) => {
    for (const [kind] of keys) {
      written[String(kind)] = (written[String(kind)] ?? 0) + 1;
    }
  };
  const before = { ...kv.usage };
  hosts[0]!.crash();
  await run(60);
  assert.deepEqual(kv.peekAll(["att"]), []);
  assert.ok(
    Object.values(clusterNow().members)
      .every(({ host, since }) => host !== "host-1" && since !== undefined),
  );
  assert.equal(
    kv.usage.writeUnits - before.writeUnits,
    kv.usage.mutations - before.mutations,
    "no value has more than 1 KiB",
  );
  const { h: _, clock: __, ...repair } = written;
  assert.deepEqual(repair, {
    c: 15, // Seven decisions, and what reports tell in between.
    q: 7,
    ev: 5, // One of them tells of the death itself.
    slot: 4,
    att: 3,
    m: 2,
    hl: 10, // What three NodeHosts list changed with each membership.
  });
  const units = Object.values(repair).reduce((sum, n) => sum + n, 0);
  const text = await readBudget();
  assert.ok(
    text.replaceAll("\n", " ").includes(
      `writes ${units - repair.hl!} units and ${repair.hl} for`,
    ),
    `${units - repair.hl!} and ${repair.hl}`,
  );
});

Deno.test("A NodeHost that seeks others costs a read unit for each in a report, and else nothing (M17)", async () => {
  const kv = ownMemory("counts what is billed");
  const clock = new ManualClock();
  const store = storeOver({ kv, clock, random: new SimRandom(1) }, alone);
  for (const n of [1, 2, 3]) await store.report(report(n));
  const costOf = async (seeks: string[]) => {
    const before = { ...kv.usage };
    await store.report(report(1, [], seeks.length === 0 ? {} : { seeks }));
    return {
      readUnits: kv.usage.readUnits - before.readUnits,
      writeUnits: kv.usage.writeUnits - before.writeUnits,
    };
  };
  assert.deepEqual(await costOf([]), { readUnits: 2, writeUnits: 1 });
  const two = await costOf(["host-2", "host-3"]);
  assert.deepEqual(two, { readUnits: 4, writeUnits: 1 });
});

Deno.test("docs/BUDGET.md says what is computed", async () => {
  const text = await readBudget();
  const rows = [
    ...text.matchAll(
      /^\| +(\d+) +\| +(\d+) s +\| +([\d,]+) +\| +([\d,]+) +\| +([\d,]+) +\|/gm,
    ),
  ];
  assert.ok(rows.length >= 6);
  for (const [, hosts, period, ...told] of rows) {
    const { requests, readUnits, writeUnits } = monthCost(
      Number(hosts),
      Number(period),
    );
    assert.deepEqual(
      told.map((one) => Number(one.replaceAll(",", ""))),
      [requests, readUnits, writeUnits],
      `${hosts} NodeHosts, ${period} s`,
    );
  }
});

Deno.test("docs/BUDGET.md shows the table that deno task bench:master prints", async () => {
  const text = await readBudget();
  const lines = text.slice(text.indexOf("## With many")).split("\n")
    .filter((line) => line.startsWith("|"));
  const rows = lines.slice(2).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  assert.deepEqual(
    rows.map(([what, atMost, _, test]) => ({ what, atMost, test })),
    fixedCells(),
  );
  for (const [what, , measured] of rows) {
    assert.match(
      measured!,
      /^[\d.]+( \([\d.]+ to [\d.]+\))?( ms| KiB)?$/,
      `what was measured of "${what}"`,
    );
  }
});
