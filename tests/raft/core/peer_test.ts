import { assert } from "../../deps.ts";
import { batchHeaderBytes } from "../../../raft/core/entry_batch.ts";
import type { Update } from "../../../raft/core/types.ts";
import { CoreCluster } from "../../support/core_cluster.ts";
import { encodeEntries } from "../../support/entries.ts";
import { batchesOf, only, SingleNode } from "../../support/single_node.ts";

/** Takes one update by hand; nothing becomes durable by itself. */
function updateOf(node: SingleNode): Update {
  assert.equal(node.core.hasUpdate(), true);
  return node.core.update();
}

Deno.test("Peer has nothing to say while nothing happens, and ticks change that only for a leader", () => {
  const node = new SingleNode();
  assert.equal(node.core.hasUpdate(), false);
  node.core.tick();
  assert.equal(node.core.hasUpdate(), false);
  node.lead();
  assert.equal(node.core.hasUpdate(), false);
  node.core.tick();
  assert.deepEqual(
    updateOf(node).appends.map((message) => message.type),
    ["heartbeat", "heartbeat"],
  );
  assert.equal(node.core.hasUpdate(), false);
});

Deno.test("Peer.propose() seals the batch in the bytes it is given (rule B4)", () => {
  const node = new SingleNode();
  node.lead();
  const bytes = encodeEntries(["a", "b"]);
  const batch = node.core.propose(bytes, 2);
  assert.ok(typeof batch === "object");
  assert.equal(batch.bytes, bytes);
  assert.deepEqual([batch.firstIndex, batch.lastIndex, batch.term], [2, 3, 1]);
  assert.equal(new DataView(bytes.buffer).getUint32(24, true), 2);
  assert.ok(bytes.length > batchHeaderBytes);
});

Deno.test("Peer.propose() is refused by who does not lead", () => {
  const node = new SingleNode();
  assert.equal(node.core.propose(encodeEntries(["a"]), 1), "notLeader");
  assert.equal(node.core.lastIndex, 0);
});

Deno.test("Proposals of one turn share an append, a record and a write (rule B3)", () => {
  const node = new SingleNode();
  node.lead();
  for (const name of ["a", "b", "c"]) {
    node.core.propose(encodeEntries([name]), 1);
  }
  const update = updateOf(node);
  assert.deepEqual(
    only(update.appends, "append").map((append) => append.batches.length),
    [3, 3],
  );
  assert.equal(update.records?.batches.length, 3);
  assert.equal(update.records?.mustSync, true);
  assert.equal(update.promises.length, 0);
  assert.equal(node.core.hasUpdate(), false);
});

Deno.test("Appends carry the very batch that is written, never a copy (rule B1)", () => {
  const node = new SingleNode();
  node.lead();
  const batch = node.core.propose(encodeEntries(["a"]), 1);
  const update = updateOf(node);
  for (const append of only(update.appends, "append")) {
    assert.equal(append.batches[0], batch);
  }
  assert.equal(update.records?.batches[0], batch);
});

Deno.test("A leader counts itself only once its disk is done (rule C2)", () => {
  const node = new SingleNode();
  node.lead();
  node.isDiskHeld = true;
  node.cluster.propose(1, "a");
  node.accept(2, 2);
  assert.equal(node.core.commit, 1);
  node.isDiskHeld = false;
  node.take();
  assert.equal(node.core.commit, 2);
});

Deno.test("A commit of the others does not wait for the leader's disk, applying does (rules C2, C3)", () => {
  const node = new SingleNode();
  node.lead();
  node.isDiskHeld = true;
  node.cluster.propose(1, "a");
  node.accept(2, 2);
  node.accept(3, 2);
  assert.equal(node.core.commit, 2);
  assert.equal(node.node.applying, undefined);
  node.isDiskHeld = false;
  node.take();
  assert.equal(node.core.appliedIndex, 2);
});

Deno.test("A single voter leads only when its vote is on disk (rule C2)", () => {
  const node = new SingleNode({ members: [1] });
  node.isDiskHeld = true;
  node.tick(20);
  assert.equal(node.core.role, "candidate");
  node.isDiskHeld = false;
  node.take();
  assert.equal(node.core.role, "leader");
  assert.equal(node.core.appliedIndex, 1);
});

Deno.test("Vote requests wait for the candidate's own vote (rule C2)", () => {
  const node = new SingleNode();
  node.tickUntilPreVote();
  node.isDiskHeld = true;
  const held = node.step("preVoteResponse", 2, 1, { granted: true });
  assert.deepEqual(held, []);
  node.isDiskHeld = false;
  assert.equal(only(node.take(), "vote").length, 2);
});

Deno.test("A commit index alone is written without a sync, and promises do not wait for it (rule L3)", () => {
  const node = new SingleNode({ log: [1, 1] });
  const synced = node.core.update().promisesAfter;
  node.core.step({
    type: "heartbeat",
    from: 2,
    to: 1,
    term: 1,
    commit: 2,
    round: 1,
  });
  const update = updateOf(node);
  assert.equal(update.records?.mustSync, false);
  assert.deepEqual(update.records?.hardState, {
    term: 1,
    votedFor: 0,
    commit: 2,
  });
  assert.equal(update.promisesAfter, synced);
  assert.equal(update.promises.length, 1);
  assert.equal(update.committed?.lastIndex, 2);
});

Deno.test("No entry is written before the commit index that was known when it arrived (rule L3)", () => {
  const node = new SingleNode({ log: [1, 1] });
  node.core.step({
    type: "append",
    from: 2,
    to: 1,
    term: 1,
    prevLogIndex: 2,
    prevLogTerm: 1,
    commit: 2,
    batches: batchesOf(3, 1),
  });
  const update = updateOf(node);
  assert.equal(update.records?.batches.length, 1);
  assert.equal(update.records?.hardState?.commit, 2);
});

Deno.test("Acknowledgements of one turn become one", () => {
  const node = new SingleNode();
  for (let index = 0; index < 5; index++) {
    node.core.step({
      type: "append",
      from: 2,
      to: 1,
      term: 1,
      prevLogIndex: index,
      prevLogTerm: index === 0 ? 0 : 1,
      commit: 0,
      batches: batchesOf(index + 1, 1),
    });
  }
  const answers = only(updateOf(node).promises, "appendResponse");
  assert.deepEqual(answers.map((answer) => answer.index), [5]);
});

Deno.test("One range at a time is given out to be applied", () => {
  const node = new SingleNode({
    log: [1, 1, 1],
    settings: { maxApplyBytes: 1 },
  });
  node.core.step({
    type: "heartbeat",
    from: 2,
    to: 1,
    term: 1,
    commit: 3,
    round: 1,
  });
  assert.equal(updateOf(node).committed?.lastIndex, 1);
  assert.equal(node.core.hasUpdate(), false);
  node.core.applied(1);
  assert.equal(updateOf(node).committed?.lastIndex, 2);
});

Deno.test("Who may not vote does neither vote nor campaign until it is admitted (rule I2)", () => {
  const node = new SingleNode({ mayVote: false });
  assert.deepEqual(node.vote({ term: 1 }), []);
  assert.deepEqual(node.preVote({ term: 1 }), []);
  node.tick(100);
  assert.equal(node.core.role, "follower");
  assert.equal(node.core.term, 0);
  // It follows, though.
  const [answer] = only(node.append({ term: 1, terms: [1] }), "appendResponse");
  assert.equal(answer?.rejected, false);
  node.step("timeoutNow", 2, 1, {});
  assert.equal(node.core.role, "follower");
  node.core.admit();
  node.tick(20);
  assert.equal(node.core.role, "preCandidate");
});

Deno.test("Who may not vote does not in the term it is in either (rule I2)", () => {
  const node = new SingleNode({ mayVote: false, term: 3 });
  assert.deepEqual(node.vote({ term: 3 }), []);
  assert.equal(node.core.status().votedFor, 0);
  node.core.admit();
  assert.equal(node.vote({ term: 3 }).length, 1);
});

Deno.test("Who is not a member never campaigns, but votes", () => {
  const node = new SingleNode({ nodeId: 7, members: [1, 2, 3] });
  node.tick(100);
  assert.equal(node.core.role, "follower");
  const [answer] = only(node.vote({ from: 2, term: 1 }), "voteResponse");
  assert.equal(answer?.granted, true);
});

Deno.test("Answers of who is not a member are ignored, whatever their term", () => {
  const node = new SingleNode();
  node.lead();
  node.step("heartbeatResponse", 9, 99, { round: 1 });
  node.step("appendResponse", 9, 1, {
    index: 1,
    rejected: false,
    hintIndex: 0,
    hintTerm: 0,
  });
  assert.equal(node.core.isLeader(), true);
  assert.equal(node.core.ignoredMessages().notMember, 2);
});

Deno.test("A request of who is not a member yet is answered: this node may lag behind", () => {
  const node = new SingleNode();
  const [vote] = only(node.vote({ from: 9, term: 1 }), "voteResponse");
  assert.equal(vote?.granted, true);
  const [append] = only(
    node.append({ from: 9, term: 2, terms: [2] }),
    "appendResponse",
  );
  assert.equal(append?.rejected, false);
});

Deno.test("Messages for somebody else are ignored and counted", () => {
  const node = new SingleNode();
  node.core.step({
    type: "heartbeat",
    from: 2,
    to: 3,
    term: 5,
    commit: 0,
    round: 1,
  });
  assert.equal(node.core.term, 0);
  assert.equal(node.core.ignoredMessages().misrouted, 1);
});

Deno.test("A heartbeat that commits more than is held shows a lost disk, and commits nothing", () => {
  const node = new SingleNode({ log: [1] });
  node.step("heartbeat", 2, 1, { commit: 5, round: 1 });
  assert.equal(node.core.commit, 0);
  assert.equal(node.core.ignoredMessages().broken, 1);
});

Deno.test("A node that restarts remembers its term, vote, commit index and log", () => {
  const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
  cluster.elect(1);
  cluster.propose(1, "a", "b");
  cluster.run(1);
  const before = cluster.core(2).status();
  cluster.crash(2);
  cluster.start(2);
  const after = cluster.core(2).status();
  assert.deepEqual(
    [after.term, after.votedFor, after.commit, after.lastIndex],
    [before.term, before.votedFor, before.commit, before.lastIndex],
  );
  assert.equal(after.leaderId, 0);
  cluster.settle();
  assert.equal(cluster.core(2).appliedIndex, 3);
});

Deno.test("Peer gives the same updates for the same inputs, byte for byte (rule C11)", () => {
  const record = () => {
    const cluster = new CoreCluster({ nodeIds: [1, 2, 3], seed: 9 });
    const seen: string[] = [];
    cluster.dropWhen = (message) => {
      seen.push(JSON.stringify(message));
      return false;
    };
    cluster.run(50);
    const leader = cluster.leader();
    assert.ok(leader !== undefined);
    cluster.propose(leader.nodeId, "x");
    cluster.run(20);
    return seen;
  };
  assert.deepEqual(record(), record());
});
