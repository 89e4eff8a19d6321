/** The thesis: leadership transfer (3.10), a leader without a quorum (6.2), pre-vote (9.6). Rule C5. */
import { assert } from "../deps.ts";
import { CoreCluster } from "../support/core_cluster.ts";
import { only, SingleNode } from "../support/single_node.ts";
import type { Sentence } from "./sentence.ts";

/** What the thesis adds. */
export const thesis: readonly Sentence[] = [
  {
    section: "thesis 3.10, step 1",
    says: "the prior leader stops accepting new requests",
    test: () => {
      const node = new SingleNode();
      node.lead();
      assert.equal(node.core.transferLeadership(2), "started");
      assert.equal(node.cluster.propose(1, "x"), "transferring");
    },
  },
  {
    section: "thesis 3.10, step 2",
    says: "the target's log is brought up to date first",
    test: () => {
      const node = new SingleNode();
      node.lead();
      node.cluster.propose(1, "x");
      node.take();
      node.cluster.act(1, (core) => core.transferLeadership(2));
      assert.deepEqual(only(node.take(), "timeoutNow"), []);
      const [now] = only(node.accept(2, 2), "timeoutNow");
      assert.equal(now?.to, 2);
    },
  },
  {
    section: "thesis 3.10, step 3",
    says: "the target begins an election at once, without asking first",
    test: () => {
      const node = new SingleNode();
      node.append({ from: 2, term: 1 });
      const votes = only(node.step("timeoutNow", 2, 1, {}), "vote");
      assert.equal(votes.length, 2);
      assert.ok(votes.every((vote) => vote.transfer && vote.term === 2));
    },
  },
  {
    section: "thesis 3.10",
    says: "such a candidate gets votes though a leader is heard",
    test: () => {
      const node = new SingleNode();
      node.append({ from: 2, term: 1 });
      const [answer] = only(
        node.vote({ from: 3, term: 2, transfer: true }),
        "voteResponse",
      );
      assert.equal(answer?.granted, true);
    },
  },
  {
    section: "thesis 3.10",
    says: "leadership moves, and nothing is lost",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      cluster.propose(1, "x");
      cluster.act(1, (core) => core.transferLeadership(3));
      cluster.settle();
      assert.equal(cluster.leader()?.nodeId, 3);
      assert.equal(cluster.core(1).role, "follower");
      assert.equal(cluster.core(3).commit, 3);
    },
  },
  {
    section: "thesis 3.10",
    says: "a transfer that takes an election timeout is abandoned",
    test: () => {
      const node = new SingleNode();
      node.lead();
      node.core.transferLeadership(2);
      for (let tick = 0; tick < 10; tick++) {
        const [beat] = only(node.tick(), "heartbeat");
        assert.equal(node.core.status().transferTarget === 2, tick < 9);
        node.step("heartbeatResponse", 3, 1, { round: beat?.round ?? 0 });
      }
      assert.equal(typeof node.cluster.propose(1, "x"), "object");
    },
  },
  {
    section: "thesis 3.10",
    says: "only another voting member can be the target",
    test: () => {
      const node = new SingleNode();
      assert.equal(node.core.transferLeadership(2), "notLeader");
      node.lead();
      assert.equal(node.core.transferLeadership(1), "invalidTarget");
      assert.equal(node.core.transferLeadership(7), "invalidTarget");
      assert.equal(node.core.transferLeadership(2), "started");
      assert.equal(node.core.transferLeadership(2), "started");
      assert.equal(node.core.transferLeadership(3), "transferring");
    },
  },
  {
    section: "thesis 6.2",
    says:
      "a leader steps down if no majority answers within an election timeout",
    test: () => {
      const node = new SingleNode({ members: [1, 2, 3, 4, 5] });
      node.lead();
      for (let tick = 0; tick < 30; tick++) {
        const beats = only(node.tick(), "heartbeat");
        for (const beat of beats.filter(({ to }) => to <= 3)) {
          node.step("heartbeatResponse", beat.to, 1, { round: beat.round });
        }
      }
      assert.equal(node.core.isLeader(), true);
      let ticks = 0;
      while (node.core.isLeader() && ticks < 100) {
        const beats = only(node.tick(), "heartbeat");
        ticks++;
        for (const beat of beats.filter(({ to }) => to === 2)) {
          node.step("heartbeatResponse", beat.to, 1, { round: beat.round });
        }
      }
      assert.equal(ticks, 10);
      assert.equal(node.core.leaderId, 0);
    },
  },
  {
    section: "thesis 9.6",
    says: "a candidate asks first, and does not increment its term for it",
    test: () => {
      const node = new SingleNode({ term: 3 });
      const asked = only(node.tickUntilPreVote(), "preVote");
      assert.deepEqual(asked.map((preVote) => preVote.to), [2, 3]);
      assert.ok(asked.every((preVote) => preVote.term === 4));
      assert.equal(node.core.term, 3);
      assert.equal(node.core.status().votedFor, 0);
    },
  },
  {
    section: "thesis 9.6",
    says: "it campaigns only if a majority would vote for it",
    test: () => {
      const node = new SingleNode({ members: [1, 2, 3, 4, 5] });
      node.tickUntilPreVote();
      node.step("preVoteResponse", 2, 1, { granted: true });
      assert.equal(node.core.role, "preCandidate");
      node.step("preVoteResponse", 3, 1, { granted: true });
      assert.equal(node.core.role, "candidate");
      assert.equal(node.core.term, 1);
    },
  },
  {
    section: "thesis 9.6",
    says: "a pre-vote is granted only for a log that is up to date",
    test: () => {
      const node = new SingleNode({ log: [1, 2] });
      const ask = (last: readonly [number, number]) =>
        only(node.preVote({ term: 3, last }), "preVoteResponse")[0]?.granted;
      assert.equal(ask([2, 2]), true);
      assert.equal(ask([5, 1]), false);
      assert.equal(ask([1, 2]), false);
    },
  },
  {
    section: "thesis 9.6",
    says: "a pre-vote is granted only if no leader is heard",
    test: () => {
      const node = new SingleNode();
      node.append({ from: 2, term: 1 });
      node.tick(9);
      assert.deepEqual(node.preVote({ from: 3, term: 2 }), []);
      node.tick(1);
      assert.equal(node.preVote({ from: 3, term: 2 }).length, 1);
    },
  },
  {
    section: "thesis 9.6",
    says: "a pre-vote changes no state of who grants it",
    test: () => {
      const node = new SingleNode({ term: 3, votedFor: 3 });
      const before = node.core.status();
      const [answer] = only(
        node.preVote({ from: 2, term: 9 }),
        "preVoteResponse",
      );
      assert.equal(answer?.granted, true);
      assert.equal(answer?.term, 9);
      assert.deepEqual(node.core.status(), before);
    },
  },
  {
    section: "thesis 9.6",
    says: "a server that was cut off does not disrupt when it returns",
    test: () => {
      const cluster = new CoreCluster({ nodeIds: [1, 2, 3] });
      cluster.elect(1);
      const term = cluster.core(1).term;
      cluster.partition([1, 2], [3]);
      cluster.run(100);
      cluster.heal();
      cluster.run(30);
      assert.equal(cluster.core(1).isLeader(), true);
      assert.equal(cluster.core(3).term, term);
      assert.equal(cluster.core(3).leaderId, 1);
    },
  },
];
