import { assert } from "../../deps.ts";
import type { Message } from "../../../raft/core/types.ts";
import {
  change,
  CoreCluster,
  initialMembership,
} from "../../support/core_cluster.ts";
import { withoutPayloads } from "../../../raft/core/entry_batch.ts";
import { crc32, encodeEntries, makeBatch } from "../../support/entries.ts";
import { only, SingleNode } from "../../support/single_node.ts";

function appendsTo(messages: readonly Message[], to: number) {
  return only(messages, "append").filter((append) => append.to === to);
}

function proposeMany(node: SingleNode, count: number, text: string): void {
  for (let proposal = 0; proposal < count; proposal++) {
    node.core.propose(encodeEntries([text]), 1);
  }
}

Deno.test("An append holds whole batches up to its limit; a bigger batch travels alone (rule B1)", () => {
  const node = new SingleNode({ settings: { maxAppendBytes: 200 } });
  node.lead();
  proposeMany(node, 4, "x".repeat(40)); // Batches of 77 bytes: two fit.
  proposeMany(node, 1, "x".repeat(500));
  proposeMany(node, 1, "y");
  node.cluster.act(1, () => {});
  const appends = appendsTo(node.take(), 2);
  assert.deepEqual(
    appends.map((append) => append.batches.map((batch) => batch.firstIndex)),
    [[2, 3], [4, 5], [6], [7]],
  );
  assert.deepEqual(
    appends.map((append) => append.prevLogIndex),
    [1, 3, 5, 6],
  );
});

Deno.test("No more than so many appends are on the way, and acknowledgements let more go", () => {
  const node = new SingleNode({
    settings: { maxInflightAppends: 2, maxAppendBytes: 1 },
  });
  node.lead();
  proposeMany(node, 5, "x");
  node.cluster.act(1, () => {});
  assert.equal(appendsTo(node.take(), 2).length, 2);
  const [third] = appendsTo(node.accept(2, 2), 2);
  assert.equal(third?.batches[0]?.firstIndex, 4);
});

Deno.test("No more than so many bytes are on the way", () => {
  const node = new SingleNode({
    settings: { maxInflightBytes: 100, maxAppendBytes: 1 },
  });
  node.lead();
  proposeMany(node, 5, "x".repeat(40));
  node.cluster.act(1, () => {});
  assert.equal(appendsTo(node.take(), 2).length, 2);
});

Deno.test("A follower that is full still learns what is committed", () => {
  const node = new SingleNode({
    settings: { maxInflightAppends: 1, maxAppendBytes: 1 },
  });
  node.lead();
  proposeMany(node, 3, "x");
  node.cluster.act(1, () => {});
  node.take();
  const told = appendsTo(node.accept(3, 2), 2);
  assert.deepEqual(
    told.map((append) => [append.prevLogIndex, append.commit]),
    [[2, 2]],
  );
});

Deno.test("What memory has let go is read from disk, one append in an update", () => {
  const node = new SingleNode({
    log: [1, 1, 1, 1, 1, 1],
    settings: { maxAppendBytes: 100, retainBytes: 0 },
  });
  node.becomeLeader();
  node.reject(2, 6, [0, 0]);
  node.cluster.act(1, (core) => {
    core.step({
      type: "appendResponse",
      from: 2,
      to: 1,
      term: 2,
      index: 2,
      rejected: false,
      hintIndex: 0,
      hintTerm: 0,
    });
    const first = core.update();
    assert.equal(appendsTo(first.appends, 2).length, 1);
    assert.equal(core.hasUpdate(), true);
    const second = core.update();
    assert.equal(appendsTo(second.appends, 2).length, 1);
  });
});

Deno.test("reportUnreachable() goes back to probing, since appends were lost", () => {
  const node = new SingleNode();
  node.lead();
  node.cluster.propose(1, "x");
  node.take();
  node.cluster.act(1, (core) => core.reportUnreachable(2));
  const [probe] = appendsTo(node.take(), 2);
  assert.equal(probe?.prevLogIndex, 1);
  assert.equal(probe?.batches.length, 1);
  node.cluster.propose(1, "y");
  assert.deepEqual(appendsTo(node.take(), 2), []);
});

Deno.test("A leader notices a follower that refuses what it had acknowledged, once a term (rules L2, I2)", () => {
  const node = new SingleNode();
  node.lead();
  node.cluster.propose(1, "x");
  node.take();
  node.accept(2, 2);
  const refuse = (index: number) => appendsTo(node.reject(2, index, [0, 0]), 2);
  const lost = () =>
    node.core.progress().filter((member) => member.hasLostEntries)
      .map((member) => member.nodeId);
  node.cluster.propose(1, "y");
  node.take();
  assert.equal(refuse(2)[0]?.prevLogIndex, 2); // It may be an old answer: a probe finds out.
  assert.equal(refuse(2)[0]?.prevLogIndex, 2);
  assert.equal(node.core.lossCount, 0);
  assert.deepEqual(refuse(2), [], "it would go on for ever");
  assert.deepEqual([node.core.lossCount, lost()], [1, [2]]);
  node.step("heartbeatResponse", 2, node.core.term, { round: 0 });
  assert.deepEqual(refuse(2), []);
  assert.equal(node.core.lossCount, 1, "told once");
});

Deno.test("A leader does not take old refusals for a loss", () => {
  const node = new SingleNode();
  node.lead();
  node.cluster.propose(1, "x");
  node.take();
  node.accept(2, 2);
  node.cluster.propose(1, "y");
  node.take();
  for (let time = 0; time < 3; time++) {
    node.reject(2, 2, [1, 1]); // Makes it probe ...
    node.reject(2, 2, [1, 1]); // ... and answers, as it seems, the probe.
    node.accept(2, 2 + time);
  }
  node.reject(2, 1, [0, 0]);
  assert.equal(node.core.lossCount, 0);
  assert.equal(node.core.progress()[1]!.hasLostEntries, false);
});

Deno.test("A heartbeat never commits more than the follower is known to hold (figure 2)", () => {
  const node = new SingleNode();
  node.lead();
  node.cluster.propose(1, "x");
  node.take();
  node.accept(2, 2);
  const beats = only(node.tick(), "heartbeat");
  assert.deepEqual(beats.map((beat) => [beat.to, beat.commit]), [[2, 2], [
    3,
    1,
  ]]);
});

Deno.test("An append whose batches do not fit together is ignored and counted (rule B1)", () => {
  const node = new SingleNode();
  const gap = makeBatch({ term: 1, firstIndex: 3, commands: ["x"] });
  node.step("append", 2, 1, {
    prevLogIndex: 0,
    prevLogTerm: 0,
    commit: 0,
    batches: [gap],
  });
  const older = makeBatch({ term: 1, firstIndex: 1, commands: ["x"] });
  node.step("append", 2, 3, {
    prevLogIndex: 0,
    prevLogTerm: 2,
    commit: 0,
    batches: [older],
  });
  const later = makeBatch({ term: 9, firstIndex: 1, commands: ["x"] });
  node.step("append", 2, 3, {
    prevLogIndex: 0,
    prevLogTerm: 0,
    commit: 0,
    batches: [later],
  });
  assert.equal(node.core.lastIndex, 0);
  assert.equal(node.core.ignoredMessages().broken, 3);
});

Deno.test("A conflict inside a batch is ignored and counted, and nothing is cut (rule B1)", () => {
  const node = new SingleNode();
  const batch = makeBatch({
    term: 1,
    firstIndex: 1,
    commands: ["a", "b", "c"],
  });
  node.step("append", 2, 1, {
    prevLogIndex: 0,
    prevLogTerm: 0,
    commit: 0,
    batches: [batch],
  });
  node.append({ term: 2, prev: [1, 1], terms: [2] });
  assert.equal(node.core.lastIndex, 3);
  assert.equal(node.core.ignoredMessages().broken, 1);
});

Deno.test("What a peer wants replaced although it is committed is ignored and counted", () => {
  const node = new SingleNode({ log: [1, 1, 1], commit: 3 });
  node.append({ term: 2, prev: [1, 1], terms: [2, 2, 2] });
  assert.deepEqual(node.logTerms, [1, 1, 1]);
  assert.equal(node.core.ignoredMessages().broken, 1);
});

Deno.test("A follower with a snapshot inside a batch gets that batch whole (rule B2)", () => {
  const node = new SingleNode();
  node.step("snapshot", 2, 2, {
    snapshot: { index: 4, term: 2, membership: initialMembership([1, 2, 3]) },
  });
  const batch = makeBatch({ term: 2, firstIndex: 2, commands: [..."abcde"] });
  const [answer] = only(
    node.step("append", 2, 2, {
      prevLogIndex: 1,
      prevLogTerm: 1,
      commit: 6,
      batches: [batch],
    }),
    "appendResponse",
  );
  assert.equal(answer?.index, 6);
  assert.equal(node.core.appliedIndex, 6);
});

Deno.test("A leader whose log begins inside a batch can still feed a follower that ends there (rule B2)", () => {
  const node = new SingleNode();
  node.step("snapshot", 2, 2, {
    snapshot: { index: 4, term: 2, membership: initialMembership([1, 2, 3]) },
  });
  const batch = makeBatch({ term: 2, firstIndex: 2, commands: [..."abcde"] });
  node.step("append", 2, 2, {
    prevLogIndex: 1,
    prevLogTerm: 1,
    commit: 4,
    batches: [batch],
  });
  node.becomeLeader();
  // Follower 3 has the same snapshot and nothing else. What stands before the batch is not known here, so the leader
  // first asks whether the logs agree at the end of the snapshot; another snapshot would bring the follower no further.
  const [probe] = appendsTo(node.reject(3, 6, [4, 2]), 3);
  assert.deepEqual([probe?.prevLogIndex, probe?.prevLogTerm], [4, 2]);
  assert.deepEqual(probe?.batches, []);
  const [append] = appendsTo(node.accept(3, 4), 3);
  assert.equal(append?.prevLogIndex, 1);
  assert.equal(append?.batches[0]?.lastIndex, 6);
});

Deno.test("A follower takes such an append, since it lies below its commit index (rule B2)", () => {
  const node = new SingleNode();
  node.step("snapshot", 2, 2, {
    snapshot: { index: 4, term: 2, membership: initialMembership([1, 2, 3]) },
  });
  const batch = makeBatch({ term: 2, firstIndex: 2, commands: [..."abcde"] });
  const [answer] = only(
    node.step("append", 3, 3, {
      prevLogIndex: 1,
      prevLogTerm: 0,
      commit: 4,
      batches: [batch],
    }),
    "appendResponse",
  );
  assert.equal(answer?.rejected, false);
  assert.equal(answer?.index, 6);
});

Deno.test("A slow follower catches up from disk while the others go on", () => {
  const cluster = new CoreCluster({
    nodeIds: [1, 2, 3],
    settings: { retainBytes: 0, maxAppendBytes: 300, maxInflightAppends: 4 },
  });
  cluster.elect(1);
  cluster.crash(3);
  for (let entry = 0; entry < 200; entry++) {
    cluster.propose(1, `entry ${entry}`, `and ${entry}`);
    cluster.settle();
  }
  cluster.start(3);
  cluster.run(5);
  assert.equal(cluster.core(3).appliedIndex, cluster.core(1).commit);
});

Deno.test("A node that is no witness does not store headers alone, and says that it is taken for one (rule C9)", () => {
  const node = new SingleNode();
  const batch = withoutPayloads(
    makeBatch({ term: 1, firstIndex: 1, commands: ["a"] }),
    crc32,
  );
  const sent = node.step("append", 2, 1, {
    prevLogIndex: 0,
    prevLogTerm: 0,
    commit: 1,
    batches: [batch],
  });
  assert.deepEqual(only(sent, "appendResponse"), []);
  assert.equal(node.core.lastIndex, 0);
  assert.equal(node.core.isTakenForWitness(), true);
  assert.equal(node.core.ignoredMessages().broken, 1);
});

Deno.test("What witnesses alone say they hold is not committed (rule C9)", () => {
  const cluster = new CoreCluster({ nodeIds: [1] });
  cluster.elect(1);
  for (const nodeId of [2, 3]) {
    cluster.join(nodeId, { isWitness: true });
    cluster.proposeChange(1, change("addWitness", nodeId));
    cluster.run(3);
  }
  const { commit } = cluster.core(1);
  cluster.propose(1, "not on any disk");
  const { lastIndex, term } = cluster.core(1);
  for (const from of [2, 3]) {
    cluster.act(1, (core) =>
      core.step({
        type: "appendResponse",
        from,
        to: 1,
        term,
        index: lastIndex,
        rejected: false,
        hintIndex: 0,
        hintTerm: 0,
      }));
  }
  assert.equal(cluster.core(1).commit, commit);
});
