/** What happens seldom, and is easily forgotten: each case stands for a line that no other test reaches. */
import { openBatch } from "../../../raft/core/entry_batch.ts";
import { Prng } from "../../../raft/core/prng.ts";
import { assert } from "../../deps.ts";
import { change, CoreCluster } from "../../support/core_cluster.ts";
import { crc32 } from "../../support/entries.ts";
import { batchesOf, only, SingleNode } from "../../support/single_node.ts";

const key = new Uint8Array(16);

Deno.test("A witness does not campaign, though its membership takes it for a voter (rule C9)", () => {
  const cluster = new CoreCluster({ nodeIds: [1, 2, 3], isDown: true });
  cluster.node(1).isWitness = true;
  cluster.start(1);
  assert.equal(cluster.core(1).memberKind(), "voter");
  cluster.tick(1, 100);
  assert.equal(cluster.core(1).role, "follower");
});

Deno.test("A leader whose disk stalls while it hands over waits for that", () => {
  const node = new SingleNode();
  node.lead();
  node.take();
  node.cluster.act(1, (core) => core.transferLeadership(2));
  node.cluster.act(1, (core) => core.setDiskStalled(true));
  node.tick();
  assert.equal(node.core.isLeader(), true);
  assert.equal(node.core.status().transferTarget, 2);
});

Deno.test("A leader whose disk stalls hands over to nobody who is not heard", () => {
  const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
  cluster.elect(1);
  cluster.settle();
  cluster.crash(2);
  cluster.run(15);
  assert.ok(cluster.core(1).isLeader());
  cluster.act(1, (core) => core.setDiskStalled(true));
  cluster.run(2);
  assert.ok(cluster.core(3).isLeader());
});

Deno.test("A leader takes no membership change while it hands over (rule C4)", () => {
  const node = new SingleNode();
  node.lead();
  node.take();
  node.cluster.act(1, (core) => core.transferLeadership(2));
  const taken = node.core.proposeChange(change("addObserver", 4), key);
  assert.equal(taken, "transferring");
});

Deno.test("An observer that was never heard is not promoted when it has caught up", () => {
  const node = new SingleNode();
  node.lead();
  node.take();
  node.cluster.proposeChange(1, change("addObserver", 4));
  node.take();
  node.accept(2, node.core.lastIndex);
  node.take();
  const promotion = { ...change("addNode", 4), whenCaughtUp: true };
  assert.equal(node.core.proposeChange(promotion, key), "notHeard");
});

Deno.test("Peer.applied() of what is applied already changes nothing", () => {
  const node = new SingleNode();
  node.lead();
  node.take();
  const { appliedIndex } = node.core;
  assert.ok(appliedIndex > 0);
  node.core.applied(appliedIndex - 1);
  assert.equal(node.core.appliedIndex, appliedIndex);
});

Deno.test("Peer.progress() of who does not lead is empty", () => {
  assert.deepEqual(new SingleNode().core.progress(), []);
});

Deno.test("A farewell of who is not the leader is ignored, and counted", () => {
  const node = new SingleNode();
  node.append({ from: 2, term: 1, terms: [1] });
  const before = node.core.ignoredMessages().stale;
  node.step("stopped", 3, 1, {});
  assert.equal(node.core.leaderId, 2);
  assert.equal(node.core.ignoredMessages().stale, before + 1);
});

Deno.test("An append that comes in one turn with a snapshot waits for the next one (paper, figure 13)", () => {
  const node = new SingleNode();
  const membership = node.core.membership();
  const snapshot = { index: 9, term: 2, membership };
  node.cluster.act(1, (core) => {
    core.step({ type: "snapshot", from: 2, to: 1, term: 2, snapshot });
    core.step({
      type: "append",
      from: 2,
      to: 1,
      term: 2,
      prevLogIndex: 9,
      prevLogTerm: 2,
      commit: 9,
      batches: batchesOf(10, 2),
    });
  });
  assert.equal(node.core.lastIndex, 9);
  const answers = only(node.take(), "appendResponse");
  assert.deepEqual(answers.map(({ index }) => index), [9]);
});

Deno.test("Nobody streams a snapshot to a follower that is not heard", () => {
  const cluster = new CoreCluster({
    nodeIds: [1, 2, 3],
    settings: { retainBytes: 0 },
  });
  cluster.elect(1);
  cluster.crash(3);
  cluster.run(20);
  for (let i = 0; i < 8; i++) cluster.propose(1, `${i}`);
  cluster.settle();
  cluster.snapshot(1);
  cluster.act(1, (core) => core.reportUnreachable(3));
  cluster.run(20);
  const third = cluster.core(1).progress().find(({ nodeId }) => nodeId === 3);
  assert.equal(third?.isActive, false);
  assert.equal(third.state, "probe");
});

Deno.test("openBatch() refuses what no batch can say: of no term, or with a membership change that is not alone (rule B1)", () => {
  const changed = (change: (view: DataView) => void) => {
    const bytes = batchesOf(1, 1)[0]!.bytes.slice();
    change(new DataView(bytes.buffer));
    return openBatch(bytes, crc32);
  };
  assert.equal(
    changed((view) => {
      view.setUint8(1, 1); // A membership change ...
      view.setUint32(24, 2, true); // ... of two entries.
    }),
    "range",
  );
  assert.equal(changed((view) => view.setUint32(8, 0, true)), "range");
});

Deno.test("Prng.below() draws again what would favour small results", () => {
  const prng = new Prng(7);
  const limit = 3 * 2 ** 30;
  for (let i = 0; i < 100; i++) assert.ok(prng.below(limit) < limit);
});
