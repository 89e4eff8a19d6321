/** Requests for clusters of which the NodeHost has no node (rules C7, R1), on NodeHosts with a network in memory. */
import { isRetryable, RaftError } from "../../../raft/errors.ts";
import type { NodeHost } from "../../../raft/nodehost.ts";
import { assert } from "../../deps.ts";
import { Counter, Hosts, until } from "../../support/hosts.ts";

const add = (n: number) => new Uint8Array([n]);

function isError(code: string, outcome: string, message = /./) {
  return (error: unknown) => {
    assert.ok(error instanceof RaftError, String(error));
    assert.deepEqual([error.code, error.outcome], [code, outcome]);
    assert.match(error.message, message);
    return true;
  };
}

/** Three hosts with a cluster, and a fourth without, which knows one of them. */
async function withClient(
  test: (hosts: Hosts, client: NodeHost) => Promise<void>,
  peers = ["host-1:7000"],
): Promise<void> {
  await using hosts = await Hosts.started(3);
  const client = await hosts.open(4, { peers });
  await test(hosts, client);
}

Deno.test("A NodeHost without a node proposes and reads at a member (rule C7)", () =>
  withClient(async (hosts, client) => {
    assert.deepEqual(await client.propose(1, add(5)), { value: 5 });
    assert.equal(await client.read(1, "total"), 5);
    // A write at a member is in a read that begins afterwards.
    await hosts.host(2).propose(1, add(7));
    assert.equal(await client.read(1, "total"), 12);
  }));

Deno.test("A proposal from afar tells of its commit before its result", () =>
  withClient(async (_hosts, client) => {
    const told: string[] = [];
    const result = await client.propose(1, add(5), {
      onCommitted: () => told.push("committed"),
    });
    told.push(`result ${result.value}`);
    assert.deepEqual(told, ["committed", "result 5"]);
  }));

Deno.test("A session works from afar, and its proposals are applied once (rule R2)", () =>
  withClient(async (hosts, client) => {
    const session = await client.openSession(1);
    for (let i = 0; i < 5; i++) await client.propose(session, add(1));
    assert.equal(session.respondedTo, 5);
    assert.equal(await client.read(1, "count"), 5);
    // It is the cluster's, not the NodeHost's.
    assert.equal((await hosts.host(1).propose(session, add(1))).value, 6);
    await client.closeSession(session);
  }));

Deno.test("A session's proposal goes on when the member that had it dies (rules R1, R2)", () =>
  withClient(async (hosts, client) => {
    const session = await client.openSession(1);
    const options = { timeoutMs: 20_000 };
    const leader = hosts.leader();
    const work = Array.from({ length: 3 }, () => 0).reduce(
      (before) =>
        before.then(() => client.propose(session, add(1), options)).then(() => {
        }),
      Promise.resolve(),
    );
    await hosts.close(leader);
    await work;
    assert.equal(await client.read(1, "count", options), 3);
  }, ["host-1:7000", "host-2:7000", "host-3:7000"]));

Deno.test("Membership is asked for, changed and waited for from afar", () =>
  withClient(async (hosts, client) => {
    await client.waitReady(1);
    const before = await client.getMembership(1);
    assert.equal(before.members.length, 3);
    const fifth = await hosts.open(5);
    const after = await client.addObserver(1, {
      nodeId: 5,
      address: hosts.address(5),
      nodeHostId: fifth.nodeHostId,
    });
    assert.deepEqual(after.observers.map((one) => one.nodeId), [5]);
    const target = hosts.leader() % 3 + 1;
    await client.transferLeadership(1, target);
    await until("the leader", () => hosts.leader() === target);
    await assert.rejects(
      client.removeNode(1, { nodeId: 9 }),
      isError("rejected", "notApplied"),
    );
    await client.removeNode(1, { nodeId: 5 });
  }));

Deno.test("What the state machine throws, and what cannot travel, comes as such (rule C7)", () =>
  withClient(async (hosts, client) => {
    await assert.rejects(client.read(1, "throw"), /no such query/);
    assert.throws(() => client.read(1, { ask: () => 1 }), TypeError);
    await hosts.host(1).startCluster(hosts.cluster(1, 1, {
      clusterId: 2,
      stateMachine: () =>
        Object.assign(new Counter(), { lookup: () => () => "a function" }),
    }));
    await client.waitReady(2);
    await assert.rejects(
      client.read(2, "x"),
      (error) => error instanceof TypeError && /the answer/.test(error.message),
    );
    await assert.rejects(
      client.propose(1, new Uint8Array(1024 * 1024)),
      isError("payloadTooBig", "notApplied"),
    );
  }));

Deno.test("A peer without a node says who has one", async () => {
  await using hosts = await Hosts.started(3);
  const between = await hosts.open(4, { peers: ["host-2:7000"] });
  await between.propose(1, add(3));
  const client = await hosts.open(5, { peers: ["host-4:7000"] });
  assert.equal(await client.read(1, "total"), 3);
});

Deno.test("A peer that knows nothing names others to ask", async () => {
  await using hosts = await Hosts.started(3);
  // It carries another cluster together with host 1, and nothing of cluster 1.
  await hosts.open(4, { peers: [] });
  const initialMembers = { 1: hosts.address(1), 4: hosts.address(4) };
  for (const n of [1, 4]) {
    const config = hosts.cluster(n, 1, { clusterId: 2, initialMembers });
    await hosts.host(n).startCluster(config);
  }
  await hosts.host(4).waitReady(2);
  const client = await hosts.open(5, { peers: ["host-4:7000"] });
  assert.deepEqual(await client.propose(1, add(4)), { value: 4 });
});

Deno.test("A cluster that nobody knows is not found, at once if all were asked", () =>
  withClient(async (_hosts, client) => {
    await assert.rejects(
      client.propose(77, add(1)),
      isError("clusterNotFound", "notApplied", /none of the NodeHosts/),
    );
    await assert.rejects(client.read(77, ""), /host-1:7000/);
  }));

Deno.test("Without peers, a cluster that is not here is not looked for", async () => {
  await using hosts = await Hosts.started(1);
  const other = await hosts.open(2);
  await assert.rejects(
    other.propose(1, add(1)),
    isError("clusterNotFound", "notApplied"),
  );
});

Deno.test("Where nobody can be reached a proposal ends in time, not applied (rule R1)", async () => {
  await using hosts = new Hosts();
  const client = await hosts.open(1, { peers: ["nowhere:1"] });
  const wait = { timeoutMs: 60 };
  await assert.rejects(
    client.propose(1, add(1), wait),
    isError(
      "timeout",
      "notApplied",
      /no NodeHost that answers .*; asked: nowhere:1 \(.+\)$/,
    ),
  );
  await assert.rejects(
    client.read(1, "total", wait),
    (error) => isRetryable(error),
  );
});

Deno.test("An aborted request ends at once, here", async () => {
  await using hosts = new Hosts();
  const client = await hosts.open(1, { peers: ["nowhere:1"] });
  const giveUp = new AbortController();
  const waiting = client.propose(1, add(1), { signal: giveUp.signal });
  giveUp.abort("enough");
  await assert.rejects(waiting, (reason) => reason === "enough");
});

Deno.test("A closed NodeHost ends what waits", async () => {
  await using hosts = new Hosts();
  const client = await hosts.open(1, { peers: ["nowhere:1"] });
  const waiting = assert.rejects(
    client.propose(1, add(1)),
    isError("closed", "notApplied"),
  );
  await hosts.close(1);
  await waiting;
});

Deno.test("A member that stops is passed over", () =>
  withClient(async (hosts, client) => {
    await client.propose(1, add(1));
    const leader = hosts.leader();
    await hosts.host(leader).stopCluster(1);
    assert.equal(await client.read(1, "total", { timeoutMs: 20_000 }), 1);
    const other = leader % 3 + 1;
    await hosts.host(other).waitReady(1);
    assert.equal(
      (await client.propose(1, add(1), { timeoutMs: 20_000 })).value,
      2,
    );
  }));
