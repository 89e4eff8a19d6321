/** What is left of nodes that are no members any more: masters say so, and NodeHosts remove it (M9). */
import { assert } from "../deps.ts";
import { ClientTasks } from "../../master/client_tasks.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type {
  MasterRequest,
  NodeInfo,
  ReportReply,
} from "../../master/protocol.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import { cluster, report, withStore } from "./fixtures.ts";
import { inThisProcess } from "./instances.ts";

const nodes = { 1: "h1:7001", 2: "h2:7001", 4: "h4:7001" };

/** Cluster 1 had nodes 1, 2 and 3; then 4 came for 3. NodeHost 3 keeps what it had. */
async function replaced(
  store: KvStore,
): Promise<(seq: number) => Promise<ReportReply>> {
  for (const n of [1, 2, 3]) await store.report(report(n, [cluster(1, n)]));
  const wish = { app: "kv" };
  await store.command({ type: "adoptCluster", clusterId: 1, wish });
  for (const n of [1, 2]) {
    const later = cluster(1, n, { nodes, configChangeIndex: 9 });
    await store.report(report(n, [later]));
  }
  return (seq) =>
    store.report(report(3, [], {
      boot: 2,
      seq,
      leftovers: [
        { clusterId: 1, nodeId: 3 },
        { clusterId: 1, nodeId: 2 },
        { clusterId: 8, nodeId: 5 },
      ],
    }));
}

Deno.test("The data of a node that was removed while its NodeHost was away is to go, that of members and strangers stays (M9)", async () => {
  await withStore(async (store) => {
    const tell = await replaced(store);
    const { forget } = await tell(1);
    assert.deepEqual(forget, [{ clusterId: 1, nodeId: 3 }]);
    assert.deepEqual((await tell(2)).forget, forget, "until it is gone");
    const silent = await store.report(report(3, [], { boot: 2, seq: 3 }));
    assert.equal(silent.forget, undefined);
  });
});

Deno.test("A report that comes twice, since its answer was lost, is told the same of what is to go (M9, M10)", async () => {
  await withStore(async (store) => {
    const tell = await replaced(store);
    const { forget } = await tell(1);
    const again = await tell(1);
    assert.equal(again.accepted, false);
    assert.deepEqual(again.forget, forget);
    await store.report(report(3, [], { boot: 3, seq: 1 }));
    assert.equal((await tell(2)).forget, undefined, "an older process");
  }, inThisProcess("it makes the calls twice itself"));
});

Deno.test("Nothing is to go while decisions are paused, or a majority has not confirmed that it was removed (M9)", async () => {
  await withStore(async (store) => {
    const tell = await replaced(store);
    await store.command({ type: "pauseCluster", clusterId: 1 });
    assert.equal((await tell(1)).forget, undefined);
    await store.command({ type: "resumeCluster", clusterId: 1 });
    await store.command({ type: "pause" });
    assert.equal((await tell(2)).forget, undefined);
    await store.command({ type: "resume" });
    const others = { 1: "h1:7001", 5: "h5:7001", 4: "h4:7001" };
    const last = cluster(1, 1, { nodes: others, configChangeIndex: 12 });
    await store.report(report(1, [last]));
    assert.equal((await tell(3)).forget, undefined, "one alone says so");
  });
});

const aloneOnFirst = { nodes: { 1: "h1:7001" } };

/** A cluster of one is adopted, and to be deleted. */
async function deleteAdopted(store: KvStore): Promise<void> {
  await store.report(report(1, [cluster(1, 1, aloneOnFirst)]));
  await store.command({
    type: "adoptCluster",
    clusterId: 1,
    wish: { app: "kv" },
  });
  await store.command({ type: "deleteCluster", clusterId: 1 });
}

Deno.test("A node of a deleted cluster that turns up again is to stop, but not while decisions are paused (M9, M19)", async () => {
  await withStore(async (store, _kv, clock) => {
    await deleteAdopted(store);
    for (let i = 0; i < 8; i++) {
      await store.report(report(1));
      clock.advance(20_000);
    }
    assert.equal(await store.cluster(1), undefined);
    const asked = async () => {
      const again = report(2, [cluster(1, 1, aloneOnFirst)]);
      const { requests = [] } = await store.report(again);
      return requests.map(({ kind }) => kind);
    };
    await store.command({ type: "pause" });
    assert.deepEqual(await asked(), []);
    assert.deepEqual(await asked(), []);
    await store.command({ type: "resume" });
    assert.deepEqual(await asked(), ["kill"], "it is not forgotten");
    assert.equal(await store.cluster(1), undefined);
  });
});

Deno.test("The data of nodes of a deleted cluster is to go", async () => {
  await withStore(async (store, _kv, clock) => {
    await deleteAdopted(store);
    await store.command({ type: "declareHostDead", hostId: "host-1" });
    await store.report(report(2));
    for (let i = 0; i < 8 && await store.cluster(1) !== undefined; i++) {
      clock.nowMs += 20_000;
      await store.report(report(2));
    }
    assert.equal(await store.cluster(1), undefined);
    const leftovers = [{ clusterId: 1, nodeId: 1 }];
    const reply = await store.report(report(1, [], { leftovers }));
    assert.deepEqual(reply.forget, leftovers);
  });
});

Deno.test("What a report said is said again if no master took it: memberships, and what became of requests (M10)", async () => {
  const host = { info: () => ({ clusters: [], links: [] }) };
  const tasks = new ClientTasks(host as unknown as NodeHost, {
    now: () => 0,
    retentionMs: undefined,
  });
  const info = report(1, [cluster(1, 1)]);
  const taken: ReportReply = { accepted: true, want: [], epoch: "e1" };
  const request = {
    epoch: "e1",
    clusterId: 1,
    n: 1,
    kind: "unknown",
    nodeId: 1,
    expectedConfigChangeIndex: 0,
  } as unknown as MasterRequest;
  tasks.delivered(tasks.prepare(report(1)), { ...taken, requests: [request] });
  await tasks.handleRequests();
  const first = tasks.prepare(info);
  assert.equal(first.acknowledgements.length, 1);
  assert.equal(first.info.clusterInfoList[0]?.incomplete, false);
  tasks.delivered(first, { ...taken, accepted: false });
  assert.deepEqual(tasks.prepare(info), first);
  tasks.delivered(first, taken);
  const next = tasks.prepare(info);
  assert.deepEqual(next.acknowledgements, []);
  assert.equal(next.info.clusterInfoList[0]?.incomplete, true);
});

Deno.test("A report tells as many leftovers as a master looks at, each time others", () => {
  const tasks = new ClientTasks(undefined, {
    now: () => 0,
    retentionMs: undefined,
  });
  const leftovers: NodeInfo[] = Array.from({ length: 120 }, (_, i) => ({
    clusterId: i + 1,
    nodeId: 1,
  }));
  const seen = new Set<number>();
  for (let i = 0; i < 3; i++) {
    const { info } = tasks.prepare(report(1, [], { leftovers }));
    assert.equal(info.leftovers?.length, 50);
    for (const { clusterId } of info.leftovers!) seen.add(clusterId);
  }
  assert.equal(seen.size, 120);
});
