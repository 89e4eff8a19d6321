/**
 * What many clusters and NodeHosts cost a master on an embedded Deno KV, in time, operations and bytes. The same
 * operations are counted by `scale_test.ts`, `budget_test.ts` and `liveness_test.ts`, which run with all tests; times are
 * measured here, on a machine that has nothing else to do.
 */
import { openDenoKv } from "../../../master/kv.ts";
import { KvStore, type KvStoreOptions } from "../../../master/kv_store.ts";
import type { ClusterInfo, NodeHostInfo } from "../../../master/protocol.ts";
import { decide } from "../../../master/scheduler/decide.ts";
import type { ClusterRecord } from "../../../master/schema.ts";
import { createMaster } from "../../../master/server.ts";
import { encodeCbor, writeReport } from "../../../master/wire/mod.ts";
import { MemoryKv } from "../../../testing/master/memory_kv.ts";
import { SimRandom } from "../../../testing/sim/random.ts";
import { cluster, FaultyKv, ManualClock, report } from "../fixtures.ts";
import { deadHost, host, image, member, view } from "../scheduler_fixtures.ts";

/** One figure, with what it may be at most. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly atMost: number;
  /** One for each run. */
  readonly values: readonly number[];
}

const periodMs = 20_000;
const manyClusters = 10_000;
const manyHosts = 100;

function reportOf(
  n: number,
  count: number,
  rest: Parameters<typeof cluster>[2] = {},
  more: Partial<NodeHostInfo> = {},
): NodeHostInfo {
  return report(
    n,
    Array.from({ length: count }, (_, i) => cluster(i + 1, n, rest)),
    { region: `r${n}`, apps: ["kv"], ...more },
  );
}

/** What a NodeHost says when the master knows the members already. */
const known = { incomplete: true, nodes: {} };

async function timed(work: () => unknown): Promise<number> {
  const before = performance.now();
  await work();
  return performance.now() - before;
}

async function withFile<T>(
  dir: string,
  work: (kv: FaultyKv) => Promise<T>,
): Promise<T> {
  const path = `${dir}/${crypto.randomUUID()}.kv`;
  const kv = new FaultyKv(await openDenoKv(path));
  try {
    return await work(kv);
  } finally {
    kv.close();
  }
}

/** The pure scheduler, in which a hundredth of the NodeHosts is dead. */
export function measureScheduler(runs: number): Figure[] {
  const hosts = Array.from(
    { length: manyHosts },
    (_, i) => i === 0 ? deadHost(1) : host(i + 1, { n: 300 }),
  );
  const all = view(hosts);
  const images = Array.from({ length: manyClusters }, (_, i) => {
    const ids = [0, 1, 2].map((k) => (i + k * 33) % manyHosts + 1);
    return image({
      members: Object.fromEntries(ids.map((id) => [id, member(id)])),
    });
  });
  const values = Array.from({ length: runs }, () => {
    const before = performance.now();
    for (const one of images) decide(all, one);
    return performance.now() - before;
  });
  const what = "scheduler: 10,000 clusters, 100 NodeHosts";
  return [{ what, unit: "ms", atMost: 1_000, values }];
}

/** The reports of 100 NodeHosts that carry 10,000 clusters of three, evenly; the first ones, or all others. */
function reportsOfMany(rest: Parameters<typeof cluster>[2]): NodeHostInfo[] {
  const lists = Array.from({ length: manyHosts }, () => [] as ClusterInfo[]);
  for (let i = 0; i < manyClusters; i++) {
    const on = [0, 1, 2].map((k) => (i + k * 33) % manyHosts + 1);
    const nodes = Object.fromEntries(on.map((n) => [n, `h${n}:7001`]));
    const leader = on[Math.floor(i / manyHosts) % 3];
    for (const n of on) {
      const isLeader = n === leader;
      lists[n - 1]!.push(cluster(i + 1, n, { nodes, isLeader, ...rest }));
    }
  }
  return lists.map((list, i) =>
    report(i + 1, list, { region: `r${i % 5}`, apps: ["kv"] })
  );
}

/** What is read and written by a report that makes time grow, and by the round in it, when all is well. */
export async function measureQuietRound(): Promise<Figure[]> {
  const kv = new MemoryKv(); // Deno KV does not tell units.
  const clock = new ManualClock();
  const random = new SimRandom(1);
  // All that is to be settled first is settled in one round.
  const store = new KvStore({ kv, clock, random, roundMs: Infinity });
  const tell = async (reports: readonly NodeHostInfo[]) => {
    for (const one of reports) await store.report(one);
    clock.advance(periodMs);
  };
  await tell(reportsOfMany({}));
  const reports = reportsOfMany(known);
  await tell(reports);
  for (let clusterId = 1; clusterId <= manyClusters; clusterId++) {
    const wish = { app: "kv" };
    await store.command({ type: "adoptCluster", clusterId, wish });
  }
  for (let i = 0; kv.peekAll(["att"]).length > 0; i++) {
    if (i > 100) throw new Error("The clusters are not settled");
    await tell(reports);
  }
  await tell(reports);
  const units: number[] = [];
  const others: number[] = [];
  for (let tick = 0; tick < 8; tick++) {
    const before = versionsOf(kv);
    const { readUnits } = kv.usage;
    await store.report(reports[0]!);
    units.push(kv.usage.readUnits - readUnits - 2);
    const after = versionsOf(kv);
    const mine = ["clock", "h/host-1"];
    others.push(
      [...after].filter(([key, version]) =>
        before.get(key) !== version && !mine.includes(key)
      ).length,
    );
    await tell(reports.slice(1));
  }
  const what = "quiet round, 10,000 clusters, 100 NodeHosts";
  return [
    {
      what: `${what}: read units`,
      unit: "",
      atMost: 5 + manyHosts / 4,
      values: units,
    },
    {
      what: "    values written beside the clock",
      unit: "",
      atMost: 0,
      values: others,
    },
  ];
}

function versionsOf(kv: MemoryKv): Map<string, string | null> {
  return new Map(
    kv.peekAll([]).map(({ key, versionstamp }) => [
      key.join("/"),
      versionstamp,
    ]),
  );
}

/** A NodeHost of six that dies, with 300 nodes. */
export async function measureDeath(
  dir: string,
  runs: number,
): Promise<Figure[]> {
  const all: DeathResult[] = [];
  for (let run = 0; run < runs; run++) {
    all.push(await withFile(dir, (kv) => deathOf(kv, 300)));
  }
  return [
    {
      what: "death with 300 nodes: 300 durable plans, all rounds together",
      unit: "ms",
      atMost: 2_000,
      values: all.map(({ ms }) => ms),
    },
    {
      what: "    repairs that were started at once: 4 for each of 3 targets",
      unit: "",
      atMost: 12,
      values: all.map(({ started }) => started),
    },
    {
      what: "    the longest of its rounds, 25 decisions or 300 ms",
      unit: "ms",
      atMost: 400,
      values: all.map(({ longestMs }) => longestMs),
    },
  ];
}

interface DeathResult {
  readonly ms: number;
  readonly longestMs: number;
  readonly started: number;
}

async function deathOf(kv: FaultyKv, nodes: number): Promise<DeathResult> {
  const clock = new ManualClock();
  const options: KvStoreOptions = { kv, clock };
  const store = new KvStore(options);
  const everyone = async (isDead: boolean) => {
    let ms = 0;
    for (let n = 1; n <= 6; n++) {
      if (isDead && n === 3) continue;
      const one = reportOf(n, n <= 3 ? nodes : 0, known);
      ms += await timed(() => store.report(one));
    }
    clock.advance(periodMs);
    return ms;
  };
  for (let n = 1; n <= 6; n++) {
    await store.report(reportOf(n, n <= 3 ? nodes : 0));
  }
  for (let clusterId = 1; clusterId <= nodes; clusterId++) {
    const wish = { app: "kv" };
    await store.command({ type: "adoptCluster", clusterId, wish });
  }
  for (let i = 0; i < 40; i++) {
    await everyone(false);
    if (!(await store.status()).busy) break;
  }
  const plans = async () => {
    const found: NonNullable<ClusterRecord["plan"]>[] = [];
    for await (const { value } of kv.list({ prefix: ["c"] })) {
      const { plan } = value as ClusterRecord;
      if (plan !== undefined) found.push(plan);
    }
    return found;
  };
  const quietMs = Math.min(await everyone(false), await everyone(false));
  let ms = 0;
  let longestMs = 0;
  for (let tick = 0; tick < 60; tick++) {
    const took = Math.max(0, await everyone(true) - quietMs);
    const made = await plans();
    // From the round that finds it dead to the one that stores the last plan.
    if (made.length > 0) {
      ms += took;
      longestMs = Math.max(longestMs, took);
    }
    if (made.length === nodes) {
      const started = made.filter(({ slots }) => slots.length > 0).length;
      return { ms, longestMs, started };
    }
  }
  throw new Error("Not all plans were made");
}

/** Reports of a NodeHost with 1,000 clusters, as a master gets them over HTTP. */
export async function measureReports(
  dir: string,
  runs: number,
): Promise<Figure[]> {
  const firstMs: number[] = [];
  const againMs: number[] = [];
  const reads: number[] = [];
  const writes: number[] = [];
  for (let run = 0; run < runs; run++) {
    await withFile(dir, async (kv) => {
      const clock = new ManualClock();
      const master = createMaster({ store: new KvStore({ kv, clock }) });
      const send = async (info: NodeHostInfo) => {
        const body = encodeCbor(writeReport(info)).slice();
        const headers = { "content-type": "application/cbor" };
        const init = { method: "POST", body, headers };
        const { status } = await master.request("/v1/report", init);
        if (status !== 200) throw new Error(`A report: ${status}`);
      };
      firstMs.push(await timed(() => send(reportOf(1, 1_000))));
      const quiet = reportOf(1, 1_000, known);
      await send(quiet);
      const before = { ...kv.counts };
      againMs.push(await timed(() => send(quiet)));
      reads.push(
        2 * (kv.counts.getMany - before.getMany) + kv.counts.get - before.get +
          kv.counts.list - before.list,
      );
      writes.push(kv.counts.set - before.set);
    });
  }
  const thousand = "of 1,000 clusters";
  return [
    {
      what: `first report ${thousand}`,
      unit: "ms",
      atMost: 2_000,
      values: firstMs,
    },
    {
      what: `unchanged report ${thousand}`,
      unit: "ms",
      atMost: 50,
      values: againMs,
    },
    {
      what: "    values read: the clock and the NodeHost",
      unit: "",
      atMost: 2,
      values: reads,
    },
    {
      what: "    values written: the NodeHost",
      unit: "",
      atMost: 1,
      values: writes,
    },
  ];
}

/** The page with 10,000 clusters and 100 NodeHosts, as a browser asks for it for the first time, over a socket. */
export async function measurePage(
  dir: string,
  runs: number,
): Promise<Figure[]> {
  const ms: number[] = [];
  const kib: number[] = [];
  await withFile(dir, async (kv) => {
    const store = new KvStore({ kv });
    for (const one of reportsOfMany({})) await store.report(one);
    for (let run = 0; run < runs; run++) {
      // An instance that nobody looked at before.
      const master = createMaster({ store: new KvStore({ kv }) });
      await using server = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen: () => {} },
        (request) => master.fetch(request),
      );
      let bytes = 0;
      const load = async (path: string) => {
        const url = `http://127.0.0.1:${server.addr.port}/${path}`;
        // Not compressed: what it is at most.
        const headers = { "accept-encoding": "identity" };
        const response = await fetch(url, { headers });
        if (path === "v1/board/stream") {
          const reader = response.body!.getReader();
          for (let text = ""; !text.includes("\n\n");) {
            const { value } = await reader.read();
            bytes += value!.length;
            text += new TextDecoder().decode(value);
          }
          await reader.cancel();
        } else bytes += (await response.bytes()).length;
      };
      ms.push(
        await timed(async () => {
          await load("");
          await Promise.all(["page.css", "page.js", "icon.svg"].map(load));
          await load("v1/session");
          await Promise.all([
            load("v1/board/stream"),
            load("v1/board/clusters?limit=25"),
          ]);
        }),
      );
      kib.push(bytes / 1_024);
      master.close();
    }
  });
  const what = "page, 10,000 clusters, 100 NodeHosts: first view";
  return [
    { what, unit: "ms", atMost: 1_000, values: ms },
    { what: `${what}, KiB`, unit: "KiB", atMost: 200, values: kib },
  ];
}
