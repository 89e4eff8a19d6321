/**
 * What many clusters and NodeHosts cost a master on an embedded Deno KV, in time, operations and bytes. The same
 * operations are counted by `scale_test.ts`, `budget_test.ts` and `liveness_test.ts`, which run with all tests; times are
 * measured here, on a machine that has nothing else to do.
 */
import { openDenoKv } from "../../../master/kv.ts";
import { KvStore } from "../../../master/kv_store.ts";
import type {
  ClusterInfo,
  NodeHostInfo,
  ReportReply,
} from "../../../master/protocol.ts";
import { decide } from "../../../master/scheduler/decide.ts";
import type { ClusterRecord, PlanRecord } from "../../../master/schema.ts";
import { createMaster } from "../../../master/server.ts";
import { encodeCbor, writeReport } from "../../../master/wire/mod.ts";
import { MemoryKv } from "../../../testing/master/memory_kv.ts";
import { SimRandom } from "../../../testing/sim/random.ts";
import { cluster, FaultyKv, ManualClock, report } from "../fixtures.ts";
import { deadHost, host, image, member, view } from "../scheduler_fixtures.ts";
import type { FigureName, Figures } from "./table.ts";

/** Some of the figures. */
type Some<Name extends FigureName> = Pick<Figures, Name>;

/** By hand, and by itself: rounds end by their time, as they do for users. */
class RunningClock extends ManualClock {
  readonly #beginMs = performance.now();

  override wallTime(): number {
    return this.nowMs + Math.floor(performance.now() - this.#beginMs);
  }
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
export function measureScheduler(runs: number): Some<"scheduler"> {
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
  return { scheduler: values };
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
export async function measureQuietRound(): Promise<
  Some<"quietReads" | "quietWrites">
> {
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
  return { quietReads: units, quietWrites: others };
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
): Promise<Some<"death" | "deathRounds" | "deathRound" | "deathStarted">> {
  const all: DeathResult[] = [];
  for (let run = 0; run < runs; run++) {
    all.push(await withFile(dir, (kv) => deathOf(kv, 300)));
  }
  return {
    death: all.map(({ ms }) => ms),
    deathRounds: all.map(({ rounds }) => rounds),
    deathRound: all.map(({ longestMs }) => longestMs),
    deathStarted: all.map(({ started }) => started),
  };
}

interface DeathResult {
  /** From the report that finds it dead until the last plan is stored, with the pauses between rounds. */
  readonly ms: number;
  readonly rounds: number;
  readonly longestMs: number;
  readonly started: number;
}

async function deathOf(kv: FaultyKv, nodes: number): Promise<DeathResult> {
  const clock = new RunningClock();
  const store = new KvStore({ kv, clock }); // As it is by default.
  const tell = (n: number, rest: Parameters<typeof cluster>[2] = known) =>
    store.report(reportOf(n, n <= 3 ? nodes : 0, rest));
  const plans = () => plansIn(kv);
  for (let n = 1; n <= 6; n++) await tell(n, {});
  for (let clusterId = 1; clusterId <= nodes; clusterId++) {
    const wish = { app: "kv" };
    await store.command({ type: "adoptCluster", clusterId, wish });
  }
  for (let i = 0; i < 40; i++) {
    for (let n = 1; n <= 6; n++) await tell(n);
    clock.advance(periodMs);
    if (!(await store.status()).busy) break;
  }
  for (let tick = 0; tick < 20; tick++) {
    for (const n of [1, 2, 4, 5, 6]) {
      const before = performance.now();
      const { nextReportMs } = await tell(n);
      const tookMs = performance.now() - before;
      const isFound = n === 1 && (await plans()).length > 0;
      if (!isFound) continue;
      return await goOn({ tell, plans, nodes, tookMs, nextReportMs });
    }
    clock.advance(periodMs);
  }
  throw new Error("Nobody was found dead");
}

/** Nobody but the NodeHost whose report found the death reports until all plans are stored. */
async function goOn(
  { tell, plans, nodes, tookMs, nextReportMs = 0 }: {
    tell: (n: number) => Promise<ReportReply>;
    plans: () => Promise<PlanRecord[]>;
    nodes: number;
    tookMs: number;
    nextReportMs: number | undefined;
  },
): Promise<DeathResult> {
  let ms = tookMs;
  let longestMs = tookMs;
  for (let rounds = 1; rounds < 60; rounds++) {
    const made = await plans();
    if (made.length === nodes) {
      const started = made.filter(({ slots }) => slots.length > 0).length;
      return { ms, rounds, longestMs, started };
    }
    ms += nextReportMs;
    const before = performance.now();
    ({ nextReportMs = 0 } = await tell(1));
    const took = performance.now() - before;
    ms += took;
    longestMs = Math.max(longestMs, took);
  }
  throw new Error("Not all plans were made");
}

async function plansIn(kv: FaultyKv): Promise<PlanRecord[]> {
  const found: PlanRecord[] = [];
  for await (const { value } of kv.list({ prefix: ["c"] })) {
    const { plan } = value as ClusterRecord;
    if (plan !== undefined) found.push(plan);
  }
  return found;
}

/** Reports of a NodeHost with 1,000 clusters, as a master gets them over HTTP. */
export async function measureReports(
  dir: string,
  runs: number,
): Promise<Some<"firstReport" | "sameReport" | "sameReads" | "sameWrites">> {
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
  return {
    firstReport: firstMs,
    sameReport: againMs,
    sameReads: reads,
    sameWrites: writes,
  };
}

/** The page with 10,000 clusters and 100 NodeHosts, as a browser asks for it for the first time, over a socket. */
export async function measurePage(
  dir: string,
  runs: number,
): Promise<Some<"page" | "pageBytes">> {
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
  return { page: ms, pageBytes: kib };
}
