/** Real NodeHosts and a real master in one process: what the master decides happens, and nothing that was written is lost. */
import { assert } from "../deps.ts";
import { httpMasterClient } from "../../master/client.ts";
import { openDenoKv } from "../../master/kv.ts";
import { kvMasterClient } from "../../master/kv_client.ts";
import { KvStore } from "../../master/kv_store.ts";
import type { MasterClientFactory } from "../../master/protocol.ts";
import { createMaster } from "../../master/server.ts";
import type { ClusterRecord } from "../../master/schema.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import { Counter, Hosts } from "../support/hosts.ts";

const periodMs = 60;

/** NodeHosts that report to a master of their own. */
class Managed extends Hosts {
  readonly kv;
  readonly store: KvStore;
  readonly #factory: MasterClientFactory;

  constructor(
    kv: Awaited<ReturnType<typeof openDenoKv>>,
    factory: (store: KvStore) => MasterClientFactory,
  ) {
    super();
    this.kv = kv;
    this.store = new KvStore({ kv, periodMs, busyPeriodMs: periodMs });
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
    kv: Awaited<ReturnType<typeof openDenoKv>>,
  ) => MasterClientFactory,
  work: (hosts: Managed) => Promise<void>,
): Promise<void> {
  const kv = await openDenoKv(":memory:");
  try {
    await using hosts = new Managed(kv, (store) => factory(store, kv));
    await work(hosts);
  } finally {
    kv.close();
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
  for (let i = 1; i <= 10; i++) await survivor.propose(1, Uint8Array.of(i));

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
  assert.equal(await newcomer.read(1, "total"), 55);
  const { members: voters, observers } = await survivor.getMembership(1);
  assert.equal(voters.length, 3);
  assert.equal(observers.length, 0);
}

Deno.test("A NodeHost that closes for good is replaced on another one, through a master over HTTP, and nothing is lost", async () => {
  await withManaged((store) => {
    const master = createMaster({ store });
    return httpMasterClient({ fetch: (request) => master.fetch(request) });
  }, repair);
});

Deno.test("The same through the store itself, without a master's process", async () => {
  await withManaged((_store, kv) => {
    const shared = { ...methodsOf(kv), close: () => {} };
    return kvMasterClient({
      openKv: () => Promise.resolve(shared),
      periodMs,
      busyPeriodMs: periodMs,
    });
  }, repair);
});

function methodsOf(kv: Awaited<ReturnType<typeof openDenoKv>>): typeof kv {
  return {
    get: (...args) => kv.get(...args),
    getMany: (...args) => kv.getMany(...args),
    list: (...args) => kv.list(...args),
    atomic: () => kv.atomic(),
    close: () => kv.close(),
  };
}
