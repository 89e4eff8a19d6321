/** What a voter is told while its removal is under way (rule C9). */
import { assert } from "../../deps.ts";
import { change, CoreCluster } from "../../support/core_cluster.ts";
import type { Message } from "../../../raft/core/types.ts";

function entriesTo(cluster: CoreCluster, nodeId: number): number[] {
  return cluster.queue.flatMap((message) =>
    message.type === "append" && message.to === nodeId
      ? message.batches.map(({ lastIndex }) => lastIndex)
      : []
  );
}

/** Lets `nodeId` win while nobody else ticks; what it appends as a leader is not durable yet. */
function electUnsynced(cluster: CoreCluster, nodeId: number): void {
  for (let step = 0; step < 1_000; step++) {
    if (cluster.core(nodeId).isLeader()) return;
    if (cluster.queue.length > 0) cluster.deliver(0);
    else if (cluster.node(nodeId).writes.length > 0) cluster.sync(nodeId, 1);
    else {
      const other = cluster.up().find((id) =>
        id !== nodeId && cluster.node(id).writes.length > 0
      );
      if (other === undefined) cluster.tick(nodeId);
      else cluster.sync(other);
    }
  }
  assert.fail("the node must win when nobody hinders it");
}

/** Whether a message tells node 6 that `index` is committed. */
function tellsCommit(message: Message, index: number): boolean {
  return message.to === 6 &&
    (message.type === "append" || message.type === "heartbeat") &&
    message.commit >= index;
}

Deno.test("A cluster of two that shrinks to one goes on, though the one that stays loses power before its first entry is durable (rule C9)", () => {
  const cluster = new CoreCluster({ nodeIds: [4, 6] });
  cluster.elect(4);
  cluster.settle();
  const removal = cluster.proposeChange(4, change("removeNode", 4));
  assert.ok(typeof removal === "object");
  cluster.dropWhen = (message) => tellsCommit(message, removal.firstIndex);
  cluster.settle();
  assert.equal(cluster.node(4).decisions.length, 1); // 4 is out, and 6 does not know.
  assert.equal(cluster.core(4).isLeader(), false);
  assert.equal(cluster.core(6).lastIndex, removal.firstIndex);
  assert.ok(cluster.core(6).commit < removal.firstIndex);
  cluster.dropWhen = undefined;
  electUnsynced(cluster, 6);
  // What it has sent arrives, and is durable there: only its own disk takes its time.
  while (cluster.queue.length > 0 || cluster.node(4).writes.length > 0) {
    cluster.sync(4);
    if (cluster.queue.length > 0) cluster.deliver(0);
  }
  assert.equal(cluster.core(4).lastIndex, removal.firstIndex);
  cluster.crash(6);
  cluster.start(6);
  cluster.run(100);
  assert.ok(cluster.core(6).isLeader());
  cluster.propose(6, "goes on");
  cluster.settle();
  assert.equal(cluster.core(6).appliedIndex, cluster.core(6).lastIndex);
});

Deno.test("A voter that is removed hears of an entry only when enough of those who stay hold it (rule C9)", () => {
  const cluster = new CoreCluster({ nodeIds: [1, 2, 3, 4] });
  cluster.elect(1);
  cluster.settle();
  cluster.proposeChange(1, change("removeNode", 4));
  const index = cluster.core(1).lastIndex;
  assert.deepEqual(entriesTo(cluster, 2), [index]); // Those who stay hear of it at once.
  assert.deepEqual(entriesTo(cluster, 4), []);
  cluster.sync(1);
  assert.deepEqual(entriesTo(cluster, 4), []); // Of four, it and the leader are no quorum.
  cluster.partition([1, 2, 4], [3]);
  cluster.settle(); // It and two who stay are: its word is needed, and it gives it.
  assert.deepEqual(cluster.node(1).decisions.map((one) => one.accepted), [
    true,
  ]);
});

Deno.test("A removal of another is found by the next leader, and delays no commit (rule C9)", () => {
  for (const [nodeIds, down] of [[[1, 2, 3], 3], [[1, 2, 3, 4], 1]] as const) {
    const cluster = new CoreCluster({ nodeIds });
    cluster.elect(1);
    cluster.settle();
    cluster.dropWhen = (message) => message.type === "appendResponse";
    cluster.proposeChange(1, change("removeNode", nodeIds.length));
    cluster.settle();
    cluster.dropWhen = undefined;
    cluster.crash(down);
    cluster.run(100);
    const leader = cluster.leader();
    assert.ok(leader !== undefined);
    assert.deepEqual(leader.decisions.map((one) => one.accepted), [true]);
    assert.equal(leader.core.appliedIndex, leader.core.lastIndex);
  }
});

Deno.test("A removal that is refused keeps nothing from the member that stays (rule C9)", () => {
  const cluster = new CoreCluster({ nodeIds: [1, 2] });
  cluster.elect(1);
  cluster.settle();
  cluster.proposeChange(1, {
    ...change("removeNode", 2),
    expectedConfigChangeIndex: 99,
  });
  cluster.settle();
  assert.deepEqual(cluster.node(1).decisions.map((one) => one.accepted), [
    false,
  ]);
  cluster.propose(1, "x");
  assert.deepEqual(entriesTo(cluster, 2), [cluster.core(1).lastIndex]);
  cluster.settle();
  assert.equal(cluster.core(2).commit, cluster.core(1).lastIndex);
});

Deno.test("The only voter beside a witness goes on when it is asked to remove itself, which is refused (rule C9)", () => {
  const cluster = new CoreCluster({ nodeIds: [1] });
  cluster.elect(1);
  cluster.settle();
  cluster.join(9, { isWitness: true });
  cluster.proposeChange(1, change("addWitness", 9));
  cluster.run(5);
  cluster.proposeChange(1, change("removeNode", 1));
  cluster.run(5);
  assert.equal(cluster.node(1).decisions.at(-1)?.accepted, false);
  const batch = cluster.propose(1, "goes on");
  assert.ok(typeof batch === "object");
  cluster.run(5);
  assert.equal(cluster.core(1).appliedIndex, batch.lastIndex);
});
