/** The extended paper, sections 5.3 and 5.4.2, AppendEntries in figure 2, and figures 7 and 8. */
import { assert } from "../deps.ts";
import { CoreCluster } from "../support/core_cluster.ts";
import {
  batchesOf,
  fillDisk,
  only,
  SingleNode,
} from "../support/single_node.ts";
import type { Sentence } from "./sentence.ts";

/** The leader's log of figure 7, and the followers' (a) to (f). */
const figure7 = {
  leader: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
  followers: {
    a: [1, 1, 1, 4, 4, 5, 5, 6, 6],
    b: [1, 1, 1, 4],
    c: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    d: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    e: [1, 1, 1, 4, 4, 4, 4],
    f: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  },
} as const;

/** A leader in term 8 brings one follower of figure 7 in line; counts the messages that it takes. */
function bringInLine(log: readonly number[]): number {
  const cluster = new CoreCluster({ nodeIds: [1, 2, 3], isDown: true });
  // In the figure the leader was elected by others; here the third node is the one that votes.
  fillDisk(cluster.node(1).disk, { term: 7, log: figure7.leader });
  fillDisk(cluster.node(2).disk, { term: 7, log });
  fillDisk(cluster.node(3).disk, { term: 7, log: [1, 1, 1] });
  cluster.start(1);
  cluster.start(3);
  cluster.elect(1);
  assert.equal(cluster.core(1).term, 8);
  let refusals = 0;
  cluster.dropWhen = (message) => {
    if (message.type === "appendResponse" && message.rejected) refusals++;
    return false;
  };
  cluster.start(2);
  cluster.run(3);
  const terms = (nodeId: number) =>
    cluster.node(nodeId).disk.batches().map((batch) => batch.term);
  assert.deepEqual(terms(2), [...figure7.leader, 8]);
  assert.deepEqual(terms(2), terms(1));
  return refusals;
}

/** Log replication. */
export const replication: readonly Sentence[] = [
  {
    section: "figure 2, AppendEntries 1",
    says: "reply false if term < currentTerm",
    test: () => {
      const node = new SingleNode({ term: 5, log: [1] });
      const [answer] = only(
        node.append({ term: 4, prev: [1, 1], terms: [4] }),
        "appendResponse",
      );
      assert.equal(answer?.rejected, true);
      assert.deepEqual(node.logTerms, [1]);
    },
  },
  {
    section: "figure 2, AppendEntries 2",
    says: "reply false without an entry at prevLogIndex of prevLogTerm",
    test: () => {
      const short = new SingleNode({ log: [1, 1] });
      const tooFar = short.append({ term: 2, prev: [5, 2], terms: [2] });
      assert.equal(only(tooFar, "appendResponse")[0]?.rejected, true);
      const other = new SingleNode({ log: [1, 2] });
      const conflict = other.append({ term: 3, prev: [2, 1], terms: [3] });
      assert.equal(only(conflict, "appendResponse")[0]?.rejected, true);
      assert.deepEqual(other.logTerms, [1, 2]);
    },
  },
  {
    section: "figure 2, AppendEntries 3",
    says: "a conflicting entry is deleted with all that follow it",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 2, 2, 2] });
      const [answer] = only(
        node.append({ term: 3, prev: [2, 1], terms: [3] }),
        "appendResponse",
      );
      assert.equal(answer?.rejected, false);
      assert.equal(answer?.index, 3);
      assert.deepEqual(node.logTerms, [1, 1, 3]);
    },
  },
  {
    section: "figure 2, AppendEntries 4",
    says: "entries that are in the log already are not appended again",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 1, 1] });
      // An old message must not cut off what came after it.
      const [answer] = only(
        node.append({ term: 1, prev: [1, 1], terms: [1, 1] }),
        "appendResponse",
      );
      assert.equal(answer?.index, 3);
      assert.deepEqual(node.logTerms, [1, 1, 1, 1]);
    },
  },
  {
    section: "figure 2, AppendEntries 5",
    says: "commitIndex = min(leaderCommit, index of last new entry)",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 1, 1] });
      node.append({ term: 2, prev: [1, 1], terms: [1], commit: 4 });
      assert.equal(node.core.commit, 2);
      node.append({ term: 2, prev: [4, 1], terms: [2], commit: 3 });
      assert.equal(node.core.commit, 3);
      node.append({ term: 2, prev: [5, 2], commit: 1 });
      assert.equal(node.core.commit, 3);
    },
  },
  {
    section: "figure 2, state",
    says: "entries are on stable storage before they are acknowledged",
    test: () => {
      const node = new SingleNode({ log: [1] });
      node.isDiskHeld = true;
      const held = node.append({
        term: 1,
        prev: [1, 1],
        terms: [1],
        commit: 2,
      });
      assert.deepEqual(held, []);
      assert.equal(node.core.appliedIndex, 0);
      node.isDiskHeld = false;
      assert.equal(only(node.take(), "appendResponse")[0]?.index, 2);
      assert.equal(node.core.appliedIndex, 2);
    },
  },
  {
    section: "figure 2, rules for all servers",
    says: "what is committed is applied, in order and once",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      for (let entry = 0; entry < 10; entry++) cluster.propose(1, `${entry}`);
      cluster.run(1);
      for (const nodeId of [1, 2, 3]) {
        assert.equal(cluster.core(nodeId).appliedIndex, 11);
      }
    },
  },
  {
    section: "figure 2, leaders",
    says: "nextIndex begins at the leader's last index + 1, matchIndex at 0",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 2] });
      const appends = only(node.becomeLeader(), "append");
      assert.deepEqual(
        appends.map((append) => [append.prevLogIndex, append.prevLogTerm]),
        [[3, 2], [3, 2]],
      );
      for (const member of node.core.progress()) {
        if (member.nodeId !== 1) assert.equal(member.match, 0);
      }
    },
  },
  {
    section: "figure 2, leaders",
    says: "an entry from a client is appended and sent to every follower",
    test: () => {
      const node = new SingleNode();
      node.lead();
      node.cluster.propose(1, "x");
      const appends = only(node.take(), "append");
      assert.deepEqual(appends.map((append) => append.to), [2, 3]);
      for (const append of appends) {
        assert.equal(append.prevLogIndex, 1);
        assert.equal(append.batches[0]?.firstIndex, 2);
      }
    },
  },
  {
    section: "figure 2, leaders",
    says: "success updates nextIndex and matchIndex",
    test: () => {
      const node = new SingleNode();
      node.becomeLeader();
      node.accept(2, 1);
      const member = node.core.progress().find((other) => other.nodeId === 2);
      assert.equal(member?.match, 1);
      assert.equal(member?.next, 2);
      assert.equal(member?.state, "replicate");
    },
  },
  {
    section: "figure 2, leaders",
    says: "after an inconsistency nextIndex moves back and the leader retries",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 1] });
      node.becomeLeader();
      const [retry] = only(node.reject(2, 3, [1, 1]), "append");
      assert.equal(retry?.prevLogIndex, 1);
      assert.equal(retry?.batches[0]?.firstIndex, 2);
    },
  },
  {
    section: "5.3",
    says: "an entry is committed once a majority has it, and not before",
    test: () => {
      const node = new SingleNode({ members: [1, 2, 3, 4, 5] });
      node.lead();
      node.cluster.propose(1, "x");
      node.take();
      node.accept(2, 2);
      assert.equal(node.core.commit, 1);
      node.accept(3, 2);
      assert.equal(node.core.commit, 2);
    },
  },
  {
    section: "5.3",
    says: "that commits all preceding entries too",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 2] });
      node.becomeLeader();
      assert.equal(node.core.commit, 0);
      node.accept(3, 4);
      assert.equal(node.core.commit, 4);
      assert.equal(node.core.appliedIndex, 4);
    },
  },
  {
    section: "5.3",
    says: "followers learn of a commit and apply it",
    test: () => {
      const node = new SingleNode();
      node.lead();
      node.cluster.propose(1, "x");
      node.take();
      const told = only(node.accept(2, 2), "append");
      assert.ok(told.some((append) => append.to === 2 && append.commit === 2));
    },
  },
  {
    section: "5.3",
    says: "the leader retries until every follower has everything",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      cluster.crash(3);
      for (let entry = 0; entry < 30; entry++) cluster.propose(1, `${entry}`);
      cluster.run(30);
      assert.equal(cluster.core(1).commit, 31);
      cluster.start(3);
      cluster.run(3);
      assert.equal(cluster.core(3).commit, 31);
    },
  },
  {
    section: "5.3",
    says: "appends are pipelined, and a lost one is found out",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      cluster.propose(1, "a");
      cluster.dropWhen = (message) =>
        message.type === "append" && message.to === 3;
      cluster.settle();
      cluster.dropWhen = undefined;
      assert.equal(cluster.core(3).lastIndex, 1);
      // Nothing else is proposed: only a heartbeat's answer can show that the append was lost.
      cluster.run(3);
      assert.equal(cluster.core(3).commit, 2);
    },
  },
  {
    section: "5.3",
    says: "a refusal skips all entries of a conflicting term at once",
    test: () => {
      const node = new SingleNode({ log: [1, 1, 4, 4, 4, 4] });
      const [answer] = only(
        node.append({ term: 6, prev: [6, 6] }),
        "appendResponse",
      );
      assert.deepEqual([answer?.hintIndex, answer?.hintTerm], [6, 4]);
      const other = new SingleNode({ log: [1, 1, 4, 4, 4, 4] });
      const [skipped] = only(
        other.append({ term: 6, prev: [6, 3] }),
        "appendResponse",
      );
      assert.deepEqual([skipped?.hintIndex, skipped?.hintTerm], [2, 1]);
      // A leader whose own log has no entry of the hinted term skips it as well.
      const leader = new SingleNode({ log: [1, 1, 5, 5, 5, 5] });
      leader.becomeLeader();
      const [retry] = only(leader.reject(2, 6, [6, 4]), "append");
      assert.equal(retry?.prevLogIndex, 2);
    },
  },
  {
    section: "5.3",
    says: "a leader never overwrites or deletes entries in its own log",
    test: () => {
      const node = new SingleNode({ log: [1, 1] });
      node.becomeLeader();
      // Nobody else leads this term; what claims so is ignored, and counted.
      node.append({ from: 2, term: 2, prev: [0, 0], terms: [2] });
      assert.equal(node.core.role, "leader");
      assert.deepEqual(node.logTerms, [1, 1, 2]);
      assert.equal(node.core.ignoredMessages().broken, 1);
    },
  },
  ...Object.entries(figure7.followers).map(([name, log]) => ({
    section: `figure 7, follower (${name})`,
    says: "missing and extra entries are brought in line with the leader",
    test: () => {
      const refusals = bringInLine(log);
      // One refusal for each term that differs, not for each entry (5.3).
      assert.ok(refusals <= 4, `${refusals} refusals`);
    },
  })),
  {
    section: "5.4.2",
    says: "entries of earlier terms are not committed by counting replicas",
    test: () => {
      const node = new SingleNode({ members: [1, 2, 3, 4, 5], log: [1, 2] });
      node.becomeLeader(); // In term 3, whose empty entry is at index 3.
      node.accept(2, 2);
      node.accept(3, 2);
      assert.equal(node.core.commit, 0);
      node.accept(2, 3);
      node.accept(3, 3);
      assert.equal(node.core.commit, 3);
    },
  },
  {
    section: "figure 8",
    says:
      "an entry on a majority can still be overwritten, so it is not committed",
    test: () => {
      const cluster = new CoreCluster({
        nodeIds: [1, 2, 3, 4, 5],
        isDown: true,
      });
      // (b): S1 led term 2 and reached S2; S5 led term 3 and reached nobody.
      fillDisk(cluster.node(1).disk, { term: 3, log: [1, 2] });
      fillDisk(cluster.node(2).disk, { term: 3, log: [1, 2] });
      fillDisk(cluster.node(3).disk, { term: 3, log: [1] });
      fillDisk(cluster.node(4).disk, { term: 3, log: [1] });
      fillDisk(cluster.node(5).disk, { term: 3, votedFor: 5, log: [1, 3] });
      // (c): S1 leads term 4 and brings the entry of term 2 to S3, a majority, but not its own of term 4.
      for (const nodeId of [1, 2, 3]) cluster.start(nodeId);
      cluster.dropWhen = (message) =>
        message.type === "append" &&
        message.batches.some((batch) => batch.term === 4);
      cluster.elect(1);
      assert.equal(cluster.core(1).term, 4);
      const [batch] = batchesOf(2, 2);
      assert.ok(batch !== undefined);
      for (const to of [2, 3]) {
        cluster.act(to, (core) =>
          core.step({
            type: "append",
            from: 1,
            to,
            term: 4,
            prevLogIndex: 1,
            prevLogTerm: 1,
            commit: 0,
            batches: [batch],
          }));
      }
      cluster.settle();
      for (const nodeId of [1, 2, 3]) {
        assert.equal(cluster.node(nodeId).disk.termOf(2), 2);
      }
      assert.equal(cluster.core(1).commit, 0);
      // (d): S1 crashes, S5 is elected and overwrites index 2 everywhere.
      cluster.crash(1);
      cluster.dropWhen = undefined;
      cluster.start(4);
      cluster.start(5);
      cluster.crash(2); // Holds the same as S3; S5 needs S3 and S4.
      cluster.partition([5, 4, 3], [1, 2]);
      cluster.elect(5);
      cluster.run(2);
      assert.equal(cluster.node(3).disk.termOf(2), 3);
      assert.ok(cluster.core(5).commit >= 3);
    },
  },
  {
    section: "figure 8",
    says:
      "(e) once an entry of its own term is on a majority, all before it is safe",
    test: () => {
      const cluster = new CoreCluster({
        nodeIds: [1, 2, 3, 4, 5],
        isDown: true,
      });
      fillDisk(cluster.node(1).disk, { term: 3, log: [1, 2] });
      fillDisk(cluster.node(2).disk, { term: 3, log: [1, 2] });
      fillDisk(cluster.node(3).disk, { term: 3, log: [1] });
      fillDisk(cluster.node(4).disk, { term: 3, log: [1] });
      fillDisk(cluster.node(5).disk, { term: 3, votedFor: 5, log: [1, 3] });
      for (const nodeId of [1, 2, 3]) cluster.start(nodeId);
      cluster.elect(1);
      cluster.run(2);
      assert.equal(cluster.core(1).commit, 3);
      cluster.crash(1);
      cluster.start(4);
      cluster.start(5);
      // S5 cannot win any more: S2 and S3 hold a later term.
      cluster.run(100);
      assert.notEqual(cluster.leader()?.nodeId, 5);
      assert.equal(cluster.node(5).disk.termOf(2), 2);
    },
  },
  {
    section: "5.5",
    says: "a repeated AppendEntries does no harm",
    test: () => {
      const node = new SingleNode({ log: [1] });
      const send = () =>
        node.append({ term: 2, prev: [1, 1], terms: [2, 2], commit: 2 });
      const first = only(send(), "appendResponse");
      const second = only(send(), "appendResponse");
      assert.deepEqual(first, second);
      assert.deepEqual(node.logTerms, [1, 2, 2]);
    },
  },
];
