/** The extended paper, section 7, and InstallSnapshot in figure 13. */
import { assert } from "../deps.ts";
import { CoreCluster, initialMembership } from "../support/core_cluster.ts";
import { only, SingleNode } from "../support/single_node.ts";
import type { Sentence } from "./sentence.ts";

/** A snapshot from the leader, node 2. */
function install(
  node: SingleNode,
  snapshot: { term: number; index: number; lastTerm: number },
): ReturnType<SingleNode["take"]> {
  return node.step("snapshot", 2, snapshot.term, {
    snapshot: {
      index: snapshot.index,
      term: snapshot.lastTerm,
      membership: initialMembership([1, 2, 3]),
    },
  });
}

/** A cluster of three whose third node was down while the others compacted the log. */
function withLaggard(): CoreCluster {
  const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
  cluster.elect(1);
  cluster.crash(3);
  for (let entry = 0; entry < 20; entry++) {
    cluster.propose(1, "x".repeat(100));
  }
  cluster.settle();
  cluster.snapshot(1);
  cluster.start(3);
  return cluster;
}

/** Log compaction. */
export const snapshots: readonly Sentence[] = [
  {
    section: "figure 13, InstallSnapshot 1",
    says: "reply immediately if term < currentTerm",
    test: () => {
      const node = new SingleNode({ term: 5, log: [1, 1] });
      const [answer] = only(
        install(node, { term: 4, index: 9, lastTerm: 4 }),
        "appendResponse",
      );
      assert.equal(answer?.rejected, true);
      assert.equal(answer?.term, 5);
      assert.equal(node.core.lastIndex, 2);
    },
  },
  {
    section: "figure 13, InstallSnapshot 6",
    says: "if the log has the snapshot's last entry, what follows it is kept",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 2, 2] });
      const [answer] = only(
        install(node, { term: 3, index: 3, lastTerm: 2 }),
        "appendResponse",
      );
      assert.equal(answer?.rejected, false);
      assert.equal(answer?.index, 3);
      assert.equal(node.core.commit, 3);
      assert.equal(node.core.lastIndex, 4);
      assert.equal(node.node.disk.snapshot(), undefined);
    },
  },
  {
    section: "figure 13, InstallSnapshot 7",
    says: "otherwise the entire log is discarded",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 1, 1, 1] });
      install(node, { term: 3, index: 4, lastTerm: 2 });
      assert.equal(node.core.lastIndex, 4);
      assert.deepEqual(node.logTerms, []);
      assert.equal(node.node.disk.lastIndex(), 4);
      assert.equal(node.node.disk.termOf(4), 2);
    },
  },
  {
    section: "figure 13, InstallSnapshot 8",
    says: "the state machine is reset, and the cluster configuration loaded",
    test: () => {
      const node = new SingleNode();
      node.step("snapshot", 2, 3, {
        snapshot: {
          index: 7,
          term: 2,
          membership: initialMembership([1, 2, 3, 4]),
        },
      });
      assert.equal(node.core.appliedIndex, 7);
      assert.equal(node.core.membership().members.length, 4);
    },
  },
  {
    section: "7",
    says: "a snapshot is answered only when it is durable here",
    test: () => {
      const node = new SingleNode();
      node.isDiskHeld = true;
      assert.deepEqual(install(node, { term: 3, index: 7, lastTerm: 2 }), []);
      assert.equal(node.core.appliedIndex, 0);
      node.isDiskHeld = false;
      assert.equal(only(node.take(), "appendResponse")[0]?.index, 7);
      assert.equal(node.node.disk.hardState()?.commit, 7);
    },
  },
  {
    section: "7",
    says: "an old snapshot changes nothing and tells the sender how far we are",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 1, 1], commit: 3 });
      const [answer] = only(
        install(node, { term: 2, index: 2, lastTerm: 1 }),
        "appendResponse",
      );
      assert.equal(answer?.index, 3);
      assert.equal(node.core.lastIndex, 4);
    },
  },
  {
    section: "7",
    says: "a leader that has discarded what a follower needs sends a snapshot",
    test: () => {
      const cluster = withLaggard();
      let snapshotCount = 0;
      cluster.dropWhen = (message) => {
        if (message.type === "snapshot") snapshotCount++;
        return false;
      };
      cluster.run(4);
      assert.equal(snapshotCount, 1);
      assert.equal(cluster.node(3).disk.snapshot()?.index, 21);
      cluster.propose(1, "after it");
      cluster.run(1);
      assert.equal(cluster.core(3).appliedIndex, 22);
    },
  },
  {
    section: "7",
    says:
      "a snapshot that got lost is sent again, but not to a silent follower",
    test: () => {
      const cluster = withLaggard();
      let snapshotCount = 0;
      cluster.dropWhen = (message) => {
        if (message.type !== "snapshot") return false;
        snapshotCount++;
        return snapshotCount < 3;
      };
      cluster.run(10);
      assert.equal(snapshotCount, 3);
      assert.equal(cluster.core(3).commit, cluster.core(1).commit);
      cluster.crash(3);
      cluster.propose(1, "x".repeat(2_000));
      cluster.settle();
      cluster.snapshot(1);
      cluster.run(12);
      cluster.act(1, (core) => core.reportUnreachable(3));
      assert.deepEqual(only(cluster.queue, "snapshot"), []);
    },
  },
  {
    section: "7",
    says:
      "each server takes snapshots on its own; a restart begins with the last",
    test: () => {
      const cluster = withLaggard();
      cluster.run(4);
      cluster.snapshot(2);
      cluster.crash(2);
      cluster.start(2);
      assert.equal(cluster.core(2).appliedIndex, 21);
      cluster.propose(1, "x");
      cluster.run(2);
      assert.equal(cluster.core(2).appliedIndex, 22);
    },
  },
];
