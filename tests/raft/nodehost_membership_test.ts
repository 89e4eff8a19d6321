/** Observers, witnesses and replacement through the public class; the rules themselves are tested in `core/`. */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type { RaftErrorCode } from "../../raft/errors.ts";
import { Hosts, until } from "../support/hosts.ts";

function isRaftError(code: RaftErrorCode, message?: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  };
}

function kindOf(hosts: Hosts, n: number): string {
  return hosts.host(n).info().clusters[0]!.kind;
}

Deno.test("An observer follows, proposes and reads, has no vote, and is promoted where it is", async () => {
  await using hosts = await Hosts.started(3);
  const host = hosts.host(2);
  await host.propose(1, Uint8Array.of(3));
  const observer = await hosts.open(4);
  const target = { nodeId: 4, address: hosts.address(4) };
  const added = await host.addObserver(1, target);
  assert.deepEqual(added.members.map((member) => member.nodeId), [1, 2, 3]);
  assert.deepEqual(added.observers, [{
    ...target,
    nodeHostId: observer.nodeHostId,
  }]);
  await observer.startCluster(hosts.cluster(4, 0, { join: true }));
  await observer.waitReady(1);
  assert.equal(kindOf(hosts, 4), "observer");
  assert.equal((await observer.propose(1, Uint8Array.of(4))).value, 7);
  assert.equal(await observer.read(1, "total"), 7);
  await assert.rejects(
    host.transferLeadership(1, 4),
    isRaftError("invalidTarget", /node 4 is not a voter/),
  );
  await assert.rejects(
    observer.addNode(1, { nodeId: 4, address: hosts.address(1) }),
    isRaftError("rejected", /observer at host-4:7000/),
  );
  await assert.rejects(
    host.addObserver(1, { nodeId: 3, address: hosts.address(3) }),
    isRaftError("rejected", /add observer 3: node 3 is a voter/),
  );

  const promoted = await observer.addNode(1, target);
  assert.deepEqual(promoted.observers, []);
  assert.deepEqual(promoted.members.map((member) => member.nodeId), [
    1,
    2,
    3,
    4,
  ]);
  assert.equal(kindOf(hosts, 4), "voter");
  await observer.transferLeadership(1, 4);
  assert.equal(observer.getLeader(1).leaderId, 4);
});

Deno.test("A cluster does not wait for an observer that is down, and removes it", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const nodeHostId = "3f0c7b9a".repeat(4);
  await host.addObserver(1, {
    nodeId: 2,
    address: hosts.address(2),
    nodeHostId,
  });
  await host.propose(1, Uint8Array.of(3));
  assert.equal(await host.read(1, "total"), 3);
  const { observers } = await host.getMembership(1);
  assert.equal(observers[0]!.nodeHostId, nodeHostId);
  const removed = await host.removeNode(1, { nodeId: 2 });
  assert.deepEqual(removed.observers, []);
  assert.deepEqual(removed.removed, [2]);
  await assert.rejects(
    host.removeNode(1, { nodeId: 1 }),
    isRaftError("rejected", /node 1 is the only voter/),
  );
});

Deno.test("An observer that was removed learns of it, and its id never comes back", async () => {
  await using hosts = await Hosts.started(3);
  const observer = await hosts.open(4);
  const target = { nodeId: 4, address: hosts.address(4) };
  await hosts.host(1).addObserver(1, target);
  await observer.startCluster(hosts.cluster(4, 0, { join: true }));
  await observer.waitReady(1);
  await hosts.host(1).removeNode(1, { nodeId: 4 });
  await until(
    "it learns of it, though nobody asks it for anything",
    () => /removed/.test(observer.info().clusters[0]!.failure ?? ""),
  );
  await assert.rejects(
    observer.waitReady(1, { timeoutMs: 4_000 }),
    isRaftError("nodeRemoved"),
  );
  await assert.rejects(
    hosts.host(1).addObserver(1, target),
    isRaftError("rejected", /removed/),
  );
});

Deno.test("An observer goes on after a restart, and comes by a snapshot if it is far behind", async () => {
  const config = { snapshotEntries: 20, compactionOverhead: 5 };
  await using hosts = await Hosts.started(3, config);
  const host = hosts.host(1);
  for (let i = 0; i < 60; i++) await host.propose(1, Uint8Array.of(1));
  await host.takeSnapshot(1);
  let observer = await hosts.open(4);
  await host.addObserver(1, { nodeId: 4, address: hosts.address(4) });
  await observer.startCluster(
    hosts.cluster(4, 0, { ...config, join: true }),
  );
  await observer.waitReady(1);
  assert.equal(await observer.read(1, "total"), 60);
  await observer.takeSnapshot(1);
  await hosts.close(4);
  await host.propose(1, Uint8Array.of(1));
  observer = await hosts.open(4);
  await observer.startCluster(
    hosts.cluster(4, 0, { ...config, join: true }),
  );
  await observer.waitReady(1);
  assert.equal(kindOf(hosts, 4), "observer");
  assert.equal(await observer.read(1, "total"), 61);
});

Deno.test("The leader refuses a change that could stop the cluster, unless an operator insists (rule C4)", async () => {
  await using hosts = await Hosts.started(3);
  const leader = hosts.leader();
  const [lost, next] = [1, 2, 3].filter((n) => n !== leader) as [
    number,
    number,
  ];
  await hosts.close(lost);
  // Who has just begun to lead has heard from those alone who live.
  const host = hosts.host(next);
  await host.transferLeadership(1, next);
  const target = {
    nodeId: 4,
    address: hosts.address(4),
    nodeHostId: "3f0c7b9a".repeat(4),
  };
  await assert.rejects(
    host.addNode(1, target),
    isRaftError("rejected", /force: true insists/),
  );
  const forced = await host.addNode(1, target, { force: true });
  assert.equal(forced.members.length, 4);
  await assert.rejects(
    host.propose(1, Uint8Array.of(1), { timeoutMs: 100 }),
    isRaftError("timeout"),
  );
});

Deno.test("Arguments of membership changes are checked at once", async () => {
  await using hosts = await Hosts.started(1);
  const host = hosts.host(1);
  const target = { nodeId: 2, address: "host-2:7000" };
  const wrong: [Promise<unknown>, RegExp][] = [
    [host.addObserver(1, { ...target, nodeId: 0 }), /nodeId/],
    [host.addObserver(1, { ...target, address: "host" }), /address/],
    [host.addNode(1, { ...target, nodeHostId: "" }), /nodeHostId/],
    [host.addNode(1, { ...target, nodeHostId: "h4" }), /has 32 digits/],
    [host.addNode(1, target, { force: 1 as never }), /force/],
    [host.removeNode(1, null as never), /object/],
  ];
  for (const [call, message] of wrong) {
    await assert.rejects(call, (error: Error) => {
      assert.ok(error instanceof TypeError || error instanceof RangeError);
      assert.match(error.message, message);
      return true;
    });
  }
});
