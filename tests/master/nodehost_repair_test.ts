/** Real NodeHosts and a real master in one process: what the master decides happens, and nothing that was written is lost. */
import { assert } from "../deps.ts";
import { httpMasterClient } from "../../master/client.ts";
import type { Kv } from "../../master/kv.ts";
import { kvMasterClient } from "../../master/kv_client.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type { MasterClientFactory } from "../../master/protocol.ts";
import type { ClusterRecord } from "../../master/schema.ts";
import { isRetryable } from "../../raft/errors.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";
import { isFar, masterOver, openEmptyKv, storeOver } from "./instances.ts";

/** A store that is far away takes its time. */
const periodMs = isFar ? 300 : 60;
/** What a NodeHost had asked for when it was closed may be under way for longer than the test. */
const lastWords = { sanitizeOps: !isFar, sanitizeResources: !isFar };

/** NodeHosts that report to a master of their own. */
class Managed extends Hosts {
  readonly kv: Kv;
  readonly store: KvStore;
  readonly #factory: MasterClientFactory;

  constructor(
    kv: Kv,
    factory: (store: KvStore) => MasterClientFactory,
  ) {
    super();
    this.kv = kv;
    this.store = storeOver({ kv, periodMs, busyPeriodMs: periodMs });
    this.#factory = factory(this.store);
  }

  async openManaged(n: number, region: string): Promise<NodeHost> {
    return await this.open(n, {
      region,
      stateMachines: { counter: () => new Counter() },
      masterServers: ["http://master"],
      masterClientFactory: this.#factory,
      reportPeriodMs: periodMs,
    });
  }

  /** What the master has stored of cluster 1. */
  async record(): Promise<ClusterRecord | null> {
    return (await this.kv.get(["c", 1])).value as ClusterRecord | null;
  }

  async untilRecord(
    what: string,
    isSo: (record: ClusterRecord) => boolean,
  ): Promise<ClusterRecord> {
    let record: ClusterRecord | null = null;
    for (let turn = 0; turn < 10_000; turn++) {
      record = await this.record();
      if (record !== null && isSo(record)) return record;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return assert.fail(`waited in vain for ${what}: ${JSON.stringify(record)}`);
  }
}

async function withManaged(
  factory: (
    store: KvStore,
    kv: Kv,
  ) => MasterClientFactory,
  work: (hosts: Managed) => Promise<void>,
): Promise<void> {
  const kv = await openEmptyKv();
  try {
    await using hosts = new Managed(kv, (store) => factory(store, kv));
    await work(hosts);
  } finally {
    kv.close();
  }
}

async function proposeOn(host: NodeHost, value: number): Promise<void> {
  for (let attempt = 0;; attempt++) {
    try {
      await host.propose(1, Uint8Array.of(value));
      return;
    } catch (error) {
      if (!isRetryable(error) || attempt > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** On a busy machine there may be an election at any time. */
async function totalOn(host: NodeHost): Promise<unknown> {
  for (let attempt = 0;; attempt++) {
    try {
      await host.waitReady(1);
      return await host.read(1, "total");
    } catch (error) {
      if (!isRetryable(error) || attempt > 20) throw error;
    }
  }
}

const isWhole = (record: ClusterRecord): boolean =>
  record.life === "ok" && record.plan === undefined &&
  record.step === undefined && Object.keys(record.members).length === 3 &&
  Object.values(record.members).every((member) =>
    member.role === "voter" && member.since !== undefined &&
    member.missingSince === undefined
  );

async function repair(hosts: Managed): Promise<void> {
  const regions = ["north", "south", "west", "west"];
  for (const [i, region] of regions.entries()) {
    await hosts.openManaged(i + 1, region);
  }
  const wish = { app: "counter", size: 3 };
  await hosts.store.command({ type: "createCluster", clusterId: 1, wish });
  const launched = await hosts.untilRecord("a launch", isWhole);
  const numberOf = (hostId: string | undefined) =>
    [1, 2, 3, 4].find((n) => hosts.host(n)?.nodeHostId === hostId)!;
  const members = Object.values(launched.members).map(({ host }) =>
    numberOf(host)
  );
  const [victim, ...rest] = members;
  const survivor = hosts.host(rest[0]!);
  await survivor.waitReady(1);
  for (let i = 1; i <= 10; i++) await proposeOn(survivor, i);

  const spare = [1, 2, 3, 4].find((n) => !members.includes(n))!;
  const deadId = hosts.host(victim!).nodeHostId;
  await hosts.close(victim!);
  const repaired = await hosts.untilRecord(
    "a repair",
    (record) =>
      isWhole(record) &&
      Object.values(record.members).every(({ host }) => host !== deadId),
  );
  const now = Object.values(repaired.members).map(({ host }) => host);
  assert.ok(now.includes(hosts.host(spare).nodeHostId));
  const newcomer = hosts.host(spare);
  await newcomer.waitReady(1);
  assert.equal(await totalOn(newcomer), 55);
  const { members: voters, observers } = await survivor.getMembership(1);
  assert.equal(voters.length, 3);
  assert.equal(observers.length, 0);
}

Deno.test(
  "A NodeHost that closes for good is replaced on another one, through a master over HTTP, and nothing is lost",
  lastWords,
  async () => {
    await withManaged((store) => {
      const master = masterOver({ store });
      return httpMasterClient({ fetch: (request) => master.fetch(request) });
    }, repair);
  },
);

Deno.test(
  "The same through the store itself, without a master's process",
  lastWords,
  async () => {
    await withManaged((_store, kv) => {
      const shared = { ...methodsOf(kv), close: () => {} };
      return kvMasterClient({
        openKv: () => Promise.resolve(shared),
        periodMs,
        busyPeriodMs: periodMs,
      });
    }, repair);
  },
);

/** A master over HTTP, whose NodeHosts keep nothing of removed nodes. */
function forgettingAtOnce(store: KvStore): MasterClientFactory {
  const master = masterOver({ store });
  return httpMasterClient({
    fetch: (request) => master.fetch(request),
    retentionMs: 0,
  });
}

/** The NodeHosts that run a node of cluster 1. */
function carriers(hosts: Managed, count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1).filter((n) =>
    hosts.host(n).info().clusters.some((one) => one.failure === undefined)
  );
}

Deno.test(
  "Real NodeHosts are drained, take a cluster that grows and shrinks, are restarted, and forget one that is deleted",
  lastWords,
  async () => {
    await withManaged(forgettingAtOnce, async (hosts) => {
      const { store } = hosts;
      for (const n of [1, 2, 3, 4]) await hosts.openManaged(n, `r${n}`);
      const wish = { app: "counter", size: 3 };
      await store.command({ type: "createCluster", clusterId: 1, wish });
      await hosts.untilRecord("a launch", isWhole);
      const [first] = carriers(hosts, 4);
      await hosts.host(first!).waitReady(1);
      for (let i = 1; i <= 10; i++) {
        await proposeOn(hosts.host(first!), i);
      }

      const hostId = hosts.host(first!).nodeHostId;
      await store.command({ type: "drainHost", hostId });
      await hosts.untilRecord(
        "a drained NodeHost",
        (record) =>
          isWhole(record) &&
          Object.values(record.members).every(({ host }) => host !== hostId),
      );
      await until(
        "it stops its node",
        () => !carriers(hosts, 4).includes(first!),
      );
      await store.command({ type: "uncordonHost", hostId });

      // The NodeHost that was drained has data of an old node, and takes a new one.
      const sized = (size: number) => (record: ClusterRecord) =>
        record.plan === undefined && record.step === undefined &&
        Object.keys(record.members).length === size &&
        Object.values(record.members).every(({ role, since }) =>
          role === "voter" && since !== undefined
        );
      await store.command({
        type: "changeCluster",
        clusterId: 1,
        wish: { size: 4 },
      });
      await hosts.untilRecord("a fourth voter", sized(4));
      await hosts.host(first!).waitReady(1);
      assert.equal(await totalOn(hosts.host(first!)), 55);

      await hosts.close(first!);
      await hosts.openManaged(first!, `r${first}`);
      await hosts.host(first!).waitReady(1);
      await store.command({
        type: "changeCluster",
        clusterId: 1,
        wish: { size: 1 },
      });
      const alone = await hosts.untilRecord("a single voter", sized(1));
      const [{ host: last } = { host: "" }] = Object.values(alone.members);
      const keeper = [1, 2, 3, 4].find((n) =>
        hosts.host(n).nodeHostId === last
      )!;
      assert.equal(await totalOn(hosts.host(keeper)), 55);

      await store.command({ type: "deleteCluster", clusterId: 1 });
      for (
        let turn = 0;
        turn < 5_000 && await hosts.record() !== null;
        turn++
      ) {
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      assert.equal(await hosts.record(), null);
      await until("all nodes stop", () => carriers(hosts, 4).length === 0);
      // What was stopped because the cluster was deleted leaves nothing behind, so it does not start again either.
      await hosts.close(keeper);
      const again = await hosts.openManaged(keeper, `r${keeper}`);
      assert.deepEqual(again.info().clusters, []);
    });
  },
);

function methodsOf(kv: Kv): Kv {
  return {
    get: (...args) => kv.get(...args),
    getMany: (...args) => kv.getMany(...args),
    list: (...args) => kv.list(...args),
    atomic: () => kv.atomic(),
    close: () => kv.close(),
  };
}

Deno.test(
  "A node that was removed while its NodeHost was away leaves nothing behind when that returns (M9)",
  lastWords,
  async () => {
    await withManaged(forgettingAtOnce, async (hosts) => {
      for (const n of [1, 2, 3, 4]) await hosts.openManaged(n, `r${n}`);
      const wish = { app: "counter", size: 3 };
      await hosts.store.command({ type: "createCluster", clusterId: 1, wish });
      await hosts.untilRecord("a launch", isWhole);
      const [victim] = carriers(hosts, 4);
      const hostId = hosts.host(victim!).nodeHostId;
      await hosts.close(victim!);
      await hosts.untilRecord("a repair", (record) =>
        isWhole(record) &&
        Object.values(record.members).every(({ host }) => host !== hostId));
      const host = await hosts.openManaged(victim!, "away");
      let log: unknown[] = [];
      for (let turn = 0; turn < 5_000; turn++) {
        log = await hosts.store.logInfo(hostId) ?? [];
        if (log.length === 0 && host.info().clusters.length === 0) break;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      assert.deepEqual(log, []);
      assert.deepEqual(host.info().clusters, []);
    });
  },
);
