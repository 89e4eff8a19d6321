import { assert } from "../../deps.ts";
import { change, CoreCluster } from "../../support/core_cluster.ts";
import { only, SingleNode } from "../../support/single_node.ts";

Deno.test("A node does not campaign between a change that is committed and its application (rule C4)", () => {
  const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
  cluster.elect(1);
  cluster.proposeChange(1, change("removeNode", 3));
  cluster.deliver(cluster.queue.findIndex((message) => message.to === 2));
  cluster.sync(2);
  cluster.crash(1);
  const node = cluster.node(2);
  cluster.queue = [];
  // The change is known to be committed, and its application takes long.
  cluster.act(2, (core) =>
    core.step({
      type: "heartbeat",
      from: 1,
      to: 2,
      term: 1,
      commit: 2,
      round: 9,
    }));
  assert.equal(node.applying?.lastIndex, 2);
  cluster.tick(2, 40);
  assert.equal(node.core.role, "follower");
  assert.equal(node.core.leaderId, 0);
  cluster.apply(2);
  cluster.tick(2, 1);
  assert.equal(node.core.role, "preCandidate");
});

Deno.test("A node does not campaign while a snapshot is being restored", () => {
  const node = new SingleNode();
  node.isDiskHeld = true;
  node.step("snapshot", 2, 2, {
    snapshot: {
      index: 9,
      term: 2,
      membership: node.core.membership(),
    },
  });
  node.tick(50);
  assert.equal(node.core.role, "follower");
  node.isDiskHeld = false;
  node.take();
  node.tick(1);
  assert.equal(node.core.role, "preCandidate");
});

Deno.test("A refused pre-vote tells the term that stands in the way (rule C5)", () => {
  const node = new SingleNode({ term: 3 });
  node.tickUntilPreVote();
  node.step("preVoteResponse", 2, 8, { granted: false });
  assert.equal(node.core.role, "follower");
  assert.equal(node.core.term, 8);
});

Deno.test("The vote of who is no member any more does not count (rule C4)", () => {
  const node = new SingleNode();
  node.tickUntilPreVote();
  node.step("preVoteResponse", 2, 1, { granted: true });
  assert.equal(node.core.role, "candidate");
  node.step("voteResponse", 9, 1, { granted: true });
  assert.equal(node.core.role, "candidate");
  node.step("voteResponse", 2, 1, { granted: true });
  assert.equal(node.core.role, "leader");
});

Deno.test("A grant of an older pre-vote does not count", () => {
  const node = new SingleNode({ term: 3 });
  node.tickUntilPreVote();
  node.step("preVoteResponse", 2, 3, { granted: true });
  assert.equal(node.core.role, "preCandidate");
  assert.equal(node.core.ignoredMessages().stale, 1);
});

Deno.test("A pre-vote for the term a node is in follows its vote (rule C5)", () => {
  const voted = new SingleNode({ term: 3, votedFor: 2 });
  const ask = (from: number) =>
    only(voted.preVote({ from, term: 3 }), "preVoteResponse")[0]?.granted;
  assert.equal(ask(2), true);
  assert.equal(ask(3), false);
  assert.equal(
    only(new SingleNode({ term: 5 }).preVote({ term: 4 }), "preVoteResponse")[0]
      ?.term,
    5,
  );
});

Deno.test("timeoutNow of anybody but the leader is ignored", () => {
  const node = new SingleNode();
  node.append({ from: 2, term: 1 });
  node.step("timeoutNow", 3, 1, {});
  assert.equal(node.core.role, "follower");
  assert.equal(node.core.ignoredMessages().stale, 1);
});

Deno.test("A leader hands over to nobody who was removed meanwhile", () => {
  const node = new SingleNode({ members: [1, 2, 3, 4] });
  node.lead();
  node.cluster.proposeChange(1, change("removeNode", 2));
  node.take();
  assert.equal(node.core.transferLeadership(2), "started");
  node.accept(3, 2);
  node.accept(4, 2);
  assert.equal(node.core.appliedIndex, 2);
  assert.equal(node.core.status().transferTarget, 0);
});

Deno.test("A leader in a pause of its own does not step down before it could be answered", () => {
  const node = new SingleNode();
  node.lead();
  // New leaders have heard nobody yet; they get an election timeout too.
  node.tick(9);
  assert.equal(node.core.isLeader(), true);
  node.tick(1);
  assert.equal(node.core.isLeader(), false);
});

Deno.test("A vote request during a lease changes nothing, not even the term (rule C5)", () => {
  const node = new SingleNode();
  node.lead();
  assert.deepEqual(node.vote({ from: 3, term: 9, last: [9, 9] }), []);
  assert.equal(node.core.term, 1);
  assert.equal(node.core.isLeader(), true);
  assert.equal(node.core.ignoredMessages().leased, 1);
});

Deno.test("A node that was admitted to a new cluster campaigns within one election timeout, not twice that (rule I2)", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new CoreCluster({
      nodeIds: [1, 2, 3],
      seed,
      isDown: true,
    });
    cluster.start(1, { mayVote: false });
    cluster.tick(1, 100);
    assert.equal(cluster.core(1).role, "follower");
    cluster.act(1, (core) => core.admit());
    cluster.tick(1, 10);
    assert.equal(cluster.core(1).role, "preCandidate", `seed ${seed}`);
  }
});

Deno.test("Of a new cluster one member campaigns first, again and again until it is heard, and the others soon after it", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new CoreCluster({
      nodeIds: [1, 2, 3],
      seed,
      isDown: true,
    });
    for (const nodeId of [1, 2]) cluster.start(nodeId, { mayVote: false });
    cluster.act(1, (core) => core.admit("now"));
    cluster.act(2, (core) => core.admit("later"));
    const campaigns = (nodeId: number, ticks: number) => {
      let count = 0;
      for (let tick = 0; tick < ticks; tick++) {
        const before = cluster.core(nodeId).role;
        cluster.tick(nodeId, 1);
        const { role } = cluster.core(nodeId);
        if (role === "preCandidate" && before !== role) count++;
      }
      return count;
    };
    assert.equal(campaigns(1, 2), 1, `seed ${seed}`);
    assert.equal(campaigns(2, 5), 0, `seed ${seed}`);
    assert.equal(campaigns(2, 5), 1, `seed ${seed}`);
    const { core } = new SingleNode({ mayVote: false });
    core.admit("now");
    let asked = 0;
    for (let tick = 0; tick < 8; tick++) {
      core.tick();
      asked += core.update().promises.filter(({ type }) => type === "preVote")
        .length;
    }
    assert.ok(asked >= 8, "it asks both others every other tick at least");
    // Whoever has seen a term waits like anybody else.
    cluster.act(1, (core) =>
      core.step({
        type: "voteResponse",
        from: 3,
        to: 1,
        term: 7,
        granted: false,
      }));
    assert.equal(cluster.core(1).role, "follower");
    assert.equal(campaigns(1, 9), 0, `seed ${seed}`);
  }
});
