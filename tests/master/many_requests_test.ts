/** A reply that asks for much: all of it arrives, is done, is acknowledged in one report, and is asked for no more. */
import { assert } from "../deps.ts";
import { HttpMasterClient } from "../../master/client.ts";
import type { ClusterInfo, NodeHostInfo } from "../../master/protocol.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import { cluster, ManualClock, report } from "./fixtures.ts";
import { isFar, masterOver, openEmptyKv, storeOver } from "./instances.ts";

/** As many as a reply carries; less where each of them takes its time. */
const count = isFar ? 40 : 1_000;
const createdAtOnce = 20;

/** What masters reach of a NodeHost. */
class Started {
  readonly nodes = new Map<number, { nodeId: number; members: object }>();

  info() {
    const clusters = [...this.nodes].map(([clusterId, { nodeId }]) => ({
      clusterId,
      nodeId,
    }));
    return { clusters, links: [] };
  }

  startCluster(
    { clusterId, nodeId, initialMembers }: {
      clusterId: number;
      nodeId: number;
      initialMembers: Record<number, string>;
    },
  ): Promise<void> {
    assert.equal(this.nodes.has(clusterId), false, "started once");
    this.nodes.set(clusterId, { nodeId, members: initialMembers });
    return Promise.resolve();
  }
}

Deno.test("A reply with 1,000 requests is carried out by each of three NodeHosts, and told in one report (M9, M10)", async () => {
  const kv = await openEmptyKv();
  const clock = new ManualClock();
  const store = storeOver({
    kv,
    clock,
    decisionsPerRound: 10_000,
    roundMs: 600_000,
    timeoutMs: 60_000,
  });
  const master = masterOver({ store });
  const url = "http://master";
  const hosts = [1, 2, 3].map((n) => {
    const started = new Started();
    const client = new HttpMasterClient(
      { fetch: (request) => master.fetch(request), clock },
      started as unknown as NodeHost,
    );
    let seq = 0;
    const tell = () => {
      const running: ClusterInfo[] = [...started.nodes].map(
        ([clusterId, { nodeId, members: nodes }]) =>
          cluster(clusterId, nodeId, {
            nodes: nodes as ClusterInfo["nodes"],
            isLeader: n === 1,
            app: "kv",
          }),
      );
      const more: Partial<NodeHostInfo> = {
        apps: ["kv"],
        region: `r${n}`,
        boot: 1,
        seq: ++seq,
      };
      return client.sendNodeHostInfo(url, report(n, running, more));
    };
    return { started, client, tell };
  });
  for (const { tell } of hosts) await tell();
  const ids = Array.from({ length: count }, (_, i) => i + 1);
  for (let i = 0; i < count; i += createdAtOnce) {
    await Promise.all(
      ids.slice(i, i + createdAtOnce).map((clusterId) => {
        const wish = { app: "kv", size: 3 };
        return store.command({ type: "createCluster", clusterId, wish });
      }),
    );
  }
  for (let round = 0; round < 2; round++) {
    clock.advance(20_000);
    for (const { tell } of hosts) await tell();
  }
  for (const { started, client, tell } of hosts) {
    const { requests = [] } = await tell();
    assert.deepEqual(
      requests.map(({ clusterId }) => clusterId).sort((a, b) => a - b),
      ids,
    );
    assert.ok(requests.every(({ kind }) => kind === "launch"));
    await client.handleMasterRequests();
    assert.equal(started.nodes.size, count);
  }
  // All say what runs, and that it was done; then a round sees that nothing is left.
  for (let round = 0; round < 3; round++) {
    for (const { tell } of hosts) assert.equal((await tell()).accepted, true);
    clock.advance(20_000);
  }
  for (const { client, tell } of hosts) {
    const { requests = [] } = await tell();
    assert.deepEqual(requests, []);
    await client.stop();
  }
  assert.equal(
    (await store.clusters()).filter(({ life }) => life === "ok").length,
    count,
  );
  kv.close();
});
