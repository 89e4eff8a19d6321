/** The extended paper, section 8, and the thesis, section 6.4: reads that never touch the log (rule C7). */
import { assert } from "../deps.ts";
import { CoreCluster } from "../support/core_cluster.ts";
import { only, SingleNode } from "../support/single_node.ts";
import type { Sentence } from "./sentence.ts";

function readCount(cluster: CoreCluster, nodeId: number): number {
  return cluster.node(nodeId).readStates.length;
}

/** Client interaction. */
export const clients: readonly Sentence[] = [
  {
    section: "8",
    says: "a leader begins its term with a blank entry",
    test: () => {
      const node = new SingleNode({ log: [1, 1] });
      const [append] = only(node.becomeLeader(), "append");
      assert.equal(append?.batches.length, 1);
      assert.equal(append?.batches[0]?.term, 2);
      assert.equal(append?.batches[0]?.firstIndex, 3);
      assert.equal(append?.batches[0]?.lastIndex, 3);
    },
  },
  {
    section: "8",
    says:
      "a leader checks with a majority that it leads before it answers a read",
    test: () => {
      const node = new SingleNode({ members: [1, 2, 3, 4, 5] });
      node.lead();
      node.cluster.read(1);
      const beats = only(node.take(), "heartbeat");
      assert.deepEqual(beats.map((beat) => beat.to), [2, 3, 4, 5]);
      const round = beats[0]?.round ?? 0;
      node.step("heartbeatResponse", 2, 1, { round });
      assert.equal(readCount(node.cluster, 1), 0);
      node.step("heartbeatResponse", 2, 1, { round });
      assert.equal(readCount(node.cluster, 1), 0);
      node.step("heartbeatResponse", 3, 1, { round });
      assert.equal(readCount(node.cluster, 1), 1);
    },
  },
  {
    section: "thesis 6.4, step 1",
    says: "a read waits until the leader committed an entry of its term",
    test: () => {
      const node = new SingleNode({ log: [1, 1] });
      node.becomeLeader();
      node.cluster.read(1);
      assert.deepEqual(only(node.take(), "heartbeat"), []);
      const [beat] = only(node.accept(2, 3), "heartbeat");
      node.step("heartbeatResponse", 2, 2, { round: beat?.round ?? 0 });
      assert.equal(node.node.readStates[0]?.index, 3);
    },
  },
  {
    section: "thesis 6.4, step 2",
    says: "the read index is the commit index when the read began, or later",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      cluster.propose(1, "a", "b");
      cluster.settle();
      cluster.read(1);
      cluster.settle();
      assert.equal(cluster.node(1).readStates[0]?.index, 3);
    },
  },
  {
    section: "thesis 6.4, step 3",
    says: "a round that began before the read does not confirm it",
    test: () => {
      const node = new SingleNode();
      node.lead();
      const [old] = only(node.tick(), "heartbeat");
      node.cluster.read(1);
      node.take();
      node.step("heartbeatResponse", 2, 1, { round: old?.round ?? 0 });
      assert.equal(readCount(node.cluster, 1), 0);
      // A later round confirms it, should its own get lost.
      const [later] = only(node.tick(), "heartbeat");
      node.step("heartbeatResponse", 2, 1, { round: later?.round ?? 0 });
      assert.equal(readCount(node.cluster, 1), 1);
    },
  },
  {
    section: "thesis 6.4",
    says: "reads of one turn share a round",
    test: () => {
      const node = new SingleNode();
      node.lead();
      node.core.readIndex({ nodeId: 1, incarnation: 1, counter: 1 });
      node.core.readIndex({ nodeId: 1, incarnation: 1, counter: 2 });
      node.step("readIndex", 3, 1, {
        context: { nodeId: 3, incarnation: 1, counter: 9 },
      });
      const answered = node.step("heartbeatResponse", 2, 1, {
        round: 1,
      });
      assert.equal(readCount(node.cluster, 1), 2);
      const [response] = only(answered, "readIndexResponse");
      assert.equal(response?.to, 3);
      assert.equal(response?.index, 1);
      assert.equal(response?.rejected, false);
    },
  },
  {
    section: "thesis 6.4",
    says: "a follower asks its leader for the read index",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      cluster.read(2);
      cluster.settle();
      assert.equal(cluster.node(2).readStates[0]?.index, 1);
    },
  },
  {
    section: "thesis 6.4",
    says: "a deposed leader answers no read",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      cluster.partition([1], [2, 3]);
      cluster.read(1);
      cluster.settle();
      cluster.run(40);
      assert.equal(cluster.node(1).readStates.length, 0);
      assert.equal(cluster.node(1).droppedReads.length, 1);
    },
  },
  {
    section: "thesis 6.4",
    says: "without a leader a read is given up at once",
    test: () => {
      const node = new SingleNode();
      node.cluster.read(1);
      node.take();
      assert.equal(node.node.droppedReads.length, 1);
    },
  },
  {
    section: "thesis 6.4",
    says: "a forwarded read whose answer is lost is given up",
    test: () => {
      const node = new SingleNode();
      node.append({ from: 2, term: 1 });
      node.cluster.read(1);
      assert.equal(only(node.take(), "readIndex")[0]?.to, 2);
      for (let tick = 0; tick < 10; tick++) {
        node.tick();
        node.step("heartbeat", 2, 1, { commit: 0, round: tick });
      }
      assert.equal(node.node.droppedReads.length, 1);
    },
  },
];
