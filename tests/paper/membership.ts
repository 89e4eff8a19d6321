/** The extended paper, section 6, and the thesis, chapter 4: one member at a time (rule C4). */
import { assert } from "../deps.ts";
import { change, CoreCluster } from "../support/core_cluster.ts";
import { SingleNode } from "../support/single_node.ts";
import type { Sentence } from "./sentence.ts";

function ids(cluster: CoreCluster, nodeId: number): number[] {
  return cluster.core(nodeId).membership().members.map((member) =>
    member.nodeId
  );
}

/** Cluster membership changes. */
export const membership: readonly Sentence[] = [
  {
    section: "6",
    says: "a new server is brought up to date and then counts",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      for (let entry = 0; entry < 20; entry++) cluster.propose(1, `${entry}`);
      cluster.join(4);
      cluster.proposeChange(1, change("addNode", 4));
      cluster.run(2);
      assert.deepEqual(ids(cluster, 4), [1, 2, 3, 4]);
      assert.equal(cluster.core(4).appliedIndex, cluster.core(1).appliedIndex);
      // Of four, three are a majority: two are not enough any more.
      cluster.crash(3);
      cluster.crash(4);
      const before = cluster.core(1).commit;
      cluster.propose(1, "needs three");
      cluster.settle();
      assert.equal(cluster.core(1).commit, before);
      cluster.start(4);
      cluster.run(2);
      assert.ok(cluster.core(1).commit > before);
    },
  },
  {
    section: "6",
    says:
      "a leader that is not in the new configuration steps down once it is committed",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      cluster.proposeChange(1, change("removeNode", 1));
      // Until then it manages a cluster that does not contain it.
      assert.equal(cluster.core(1).isLeader(), true);
      cluster.settle();
      assert.equal(cluster.core(1).isLeader(), false);
      cluster.run(40);
      assert.notEqual(cluster.leader()?.nodeId, 1);
      assert.notEqual(cluster.leader(), undefined);
      assert.deepEqual(ids(cluster, 2), [2, 3]);
    },
  },
  {
    section: "6",
    says: "removed servers do not disrupt the cluster",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3, 4] });
      cluster.elect(1);
      // The removed server does not learn of its removal, and times out over and over.
      cluster.partition([1, 2, 3], [4]);
      cluster.proposeChange(1, change("removeNode", 4));
      cluster.settle();
      cluster.heal();
      const term = cluster.core(1).term;
      for (let tick = 0; tick < 100; tick++) {
        cluster.tick(4, 3);
        cluster.run(1);
      }
      assert.equal(cluster.core(1).isLeader(), true);
      assert.equal(cluster.core(1).term, term);
    },
  },
  {
    section: "6",
    says: "servers disregard RequestVote while they believe a leader exists",
    test: () => {
      const node = new SingleNode();
      node.append({ from: 2, term: 1 });
      node.tick(9);
      assert.deepEqual(node.vote({ from: 3, term: 5, last: [9, 1] }), []);
      assert.equal(node.core.term, 1);
      node.tick(1);
      assert.equal(node.vote({ from: 3, term: 5, last: [9, 1] }).length, 1);
      assert.equal(node.core.term, 5);
    },
  },
  {
    section: "thesis 4.1",
    says: "only one change is under way at a time",
    test: () => {
      const node = new SingleNode({ members: [1, 2, 3, 4, 5] });
      node.lead();
      const first = node.cluster.proposeChange(1, change("removeNode", 5));
      assert.equal(typeof first, "object");
      assert.equal(
        node.cluster.proposeChange(1, change("removeNode", 4)),
        "pendingChange",
      );
      node.take();
      node.accept(2, 2);
      node.accept(3, 2);
      assert.equal(node.core.appliedIndex, 2);
      const second = node.cluster.proposeChange(1, change("removeNode", 4));
      assert.equal(typeof second, "object");
    },
  },
  {
    section: "thesis 4.1",
    says:
      "a leader changes nothing before it committed an entry of its term (the bug of 2015)",
    test: () => {
      const node = new SingleNode();
      node.becomeLeader();
      assert.equal(
        node.cluster.proposeChange(1, change("addNode", 4)),
        "noCommitInTerm",
      );
      node.accept(2, 1);
      node.accept(3, 1);
      assert.equal(
        typeof node.cluster.proposeChange(1, change("addNode", 4)),
        "object",
      );
    },
  },
  {
    section: "thesis 4.1",
    says: "a change of an earlier term counts as under way until it is applied",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      cluster.dropWhen = (message) =>
        message.type === "append" && message.to === 3;
      cluster.proposeChange(1, change("addNode", 4));
      cluster.settle();
      cluster.crash(1);
      cluster.dropWhen = undefined;
      cluster.join(4);
      cluster.elect(2);
      assert.deepEqual(ids(cluster, 2), [1, 2, 3, 4]);
      assert.equal(
        typeof cluster.proposeChange(2, change("removeNode", 1)),
        "object",
      );
    },
  },
  {
    section: "thesis 4.2.2",
    says: "a leader that removes itself does not count itself afterwards",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2] });
      cluster.elect(1);
      cluster.proposeChange(1, change("removeNode", 1));
      cluster.settle();
      cluster.run(40);
      assert.equal(cluster.leader()?.nodeId, 2);
      assert.deepEqual(ids(cluster, 2), [2]);
      cluster.propose(2, "alone");
      cluster.settle();
      assert.equal(cluster.core(2).commit, cluster.core(2).lastIndex);
    },
  },
  {
    section: "thesis 4.2.3",
    says:
      "a disruptive server with a longer log cannot depose a leader that is heard",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      const term = cluster.core(1).term;
      cluster.tick(3, 25);
      cluster.settle();
      assert.equal(cluster.core(1).isLeader(), true);
      assert.equal(cluster.core(1).term, term);
    },
  },
  {
    section: "thesis 4.3",
    says:
      "what joint consensus is for, many servers at once, is done by single steps",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      for (const nodeId of [4, 5, 6]) {
        cluster.join(nodeId);
        cluster.proposeChange(1, change("addNode", nodeId));
        cluster.run(2);
      }
      for (const nodeId of [3, 2, 1]) {
        const leader = cluster.leader();
        assert.ok(leader !== undefined);
        cluster.proposeChange(leader.nodeId, change("removeNode", nodeId));
        cluster.run(40);
      }
      const leader = cluster.leader();
      assert.ok(leader !== undefined);
      assert.deepEqual(ids(cluster, leader.nodeId), [4, 5, 6]);
    },
  },
];
