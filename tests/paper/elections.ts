/** The extended paper, sections 5.1, 5.2, 5.4.1, and RequestVote in figure 2. */
import { assert } from "../deps.ts";
import { CoreCluster } from "../support/core_cluster.ts";
import { only, SingleNode } from "../support/single_node.ts";
import type { Sentence } from "./sentence.ts";

/** Whether a node with `log` grants a vote to a candidate whose log ends as told. */
function grantsTo(
  log: readonly number[],
  last: readonly [index: number, term: number],
): boolean {
  const node = new SingleNode({ log });
  const [answer] = only(node.vote({ term: 9, last }), "voteResponse");
  assert.ok(answer !== undefined);
  return answer.granted;
}

/** Elections. */
export const elections: readonly Sentence[] = [
  {
    section: "figure 2, state",
    says: "currentTerm and votedFor are on stable storage before a vote leaves",
    test: () => {
      const node = new SingleNode();
      node.isDiskHeld = true;
      assert.deepEqual(node.vote({ term: 3 }), []);
      assert.equal(node.node.disk.hardState(), undefined);
      node.isDiskHeld = false;
      const [answer] = only(node.take(), "voteResponse");
      assert.equal(answer?.granted, true);
      assert.equal(node.node.disk.hardState()?.term, 3);
      assert.equal(node.node.disk.hardState()?.votedFor, 2);
    },
  },
  {
    section: "figure 2, state",
    says: "a server that restarts has its term and its vote",
    test: () => {
      const node = new SingleNode({ term: 4, votedFor: 3 });
      const [refused] = only(node.vote({ from: 2, term: 4 }), "voteResponse");
      assert.equal(refused?.granted, false);
      const [granted] = only(node.vote({ from: 3, term: 4 }), "voteResponse");
      assert.equal(granted?.granted, true);
    },
  },
  {
    section: "figure 2, RequestVote 1",
    says: "reply false if term < currentTerm",
    test: () => {
      const node = new SingleNode({ term: 4 });
      const [answer] = only(node.vote({ term: 3 }), "voteResponse");
      assert.equal(answer?.granted, false);
      assert.equal(answer?.term, 4);
    },
  },
  {
    section: "figure 2, RequestVote 2",
    says: "grant if votedFor is null or candidateId, and the log is up to date",
    test: () => {
      const node = new SingleNode({ term: 4 });
      const ask = (from: number) =>
        only(node.vote({ from, term: 4 }), "voteResponse")[0]?.granted;
      assert.equal(ask(2), true);
      assert.equal(ask(2), true);
      assert.equal(ask(3), false);
    },
  },
  {
    section: "figure 2, rules for all servers",
    says: "a message with a higher term makes any server a follower of it",
    test: () => {
      const candidate = new SingleNode();
      candidate.becomeCandidate();
      const leader = new SingleNode();
      leader.becomeLeader();
      for (const node of [candidate, leader, new SingleNode()]) {
        node.append({ from: 3, term: 7 });
        assert.equal(node.core.role, "follower");
        assert.equal(node.core.term, 7);
        assert.equal(node.core.leaderId, 3);
      }
    },
  },
  {
    section: "figure 2, candidates",
    says:
      "on conversion: increment the term, vote for self, ask all other servers",
    test: () => {
      const node = new SingleNode({ log: [1, 2] });
      const votes = only(node.becomeCandidate(), "vote");
      assert.equal(node.core.term, 3);
      assert.equal(node.core.status().votedFor, 1);
      assert.deepEqual(votes.map((vote) => vote.to), [2, 3]);
      for (const vote of votes) {
        assert.equal(vote.term, 3);
        assert.equal(vote.lastLogIndex, 2);
        assert.equal(vote.lastLogTerm, 2);
      }
    },
  },
  {
    section: "figure 2, candidates",
    says: "votes from a majority of servers make a leader, fewer do not",
    test: () => {
      const node = new SingleNode({ members: [1, 2, 3, 4, 5] });
      node.becomeCandidate();
      node.step("voteResponse", 2, 1, { granted: true });
      assert.equal(node.core.role, "candidate");
      node.step("voteResponse", 2, 1, { granted: true }); // A duplicate is one vote.
      assert.equal(node.core.role, "candidate");
      node.step("voteResponse", 4, 1, { granted: true });
      assert.equal(node.core.role, "leader");
    },
  },
  {
    section: "figure 2, candidates",
    says: "AppendEntries from a new leader converts to follower",
    test: () => {
      const node = new SingleNode();
      node.becomeCandidate();
      node.append({ from: 2, term: 1 });
      assert.equal(node.core.role, "follower");
      assert.equal(node.core.leaderId, 2);
    },
  },
  {
    section: "figure 2, candidates",
    says: "if the election timeout elapses, start a new election",
    test: () => {
      const node = new SingleNode();
      node.becomeCandidate();
      const asked = only(node.tick(20), "preVote");
      assert.ok(asked.length >= 2);
      assert.equal(asked[0]?.term, 2);
    },
  },
  {
    section: "5.1",
    says: "a stale leader or candidate steps down at once",
    test: () => {
      const leader = new SingleNode();
      leader.lead();
      leader.step("heartbeatResponse", 2, 5, { round: 0 });
      assert.equal(leader.core.role, "follower");
      assert.equal(leader.core.term, 5);
      const candidate = new SingleNode();
      candidate.becomeCandidate();
      candidate.step("voteResponse", 2, 5, { granted: false });
      assert.equal(candidate.core.role, "follower");
      assert.equal(candidate.core.term, 5);
    },
  },
  {
    section: "5.1",
    says: "a request with a stale term is rejected",
    test: () => {
      const node = new SingleNode({ term: 5 });
      const [append] = only(
        node.append({ term: 4, terms: [4] }),
        "appendResponse",
      );
      assert.equal(append?.rejected, true);
      assert.equal(append?.term, 5);
      const [beat] = node.step("heartbeat", 2, 4, { commit: 0, round: 1 });
      assert.equal(beat?.term, 5);
      assert.equal(node.core.lastIndex, 0);
      assert.equal(node.core.leaderId, 0);
    },
  },
  {
    section: "5.2",
    says: "servers start as followers",
    test: () => {
      assert.equal(new SingleNode().core.role, "follower");
      assert.equal(
        new SingleNode({ term: 3, votedFor: 1, log: [1, 3] }).core.role,
        "follower",
      );
    },
  },
  {
    section: "5.2",
    says: "a server that hears its leader remains a follower",
    test: () => {
      const node = new SingleNode();
      for (let beat = 0; beat < 50; beat++) {
        node.tick(9);
        node.step("heartbeat", 2, 1, { commit: 0, round: beat });
        assert.equal(node.core.role, "follower");
      }
    },
  },
  {
    section: "5.2",
    says: "without communication it begins an election after a timeout",
    test: () => {
      const node = new SingleNode();
      node.tick(9);
      assert.equal(node.core.role, "follower");
      node.tick(11);
      assert.notEqual(node.core.role, "follower");
    },
  },
  {
    section: "5.2",
    says: "granting a vote resets the election timer, refusing one does not",
    test: () => {
      for (let seed = 0; seed < 20; seed++) {
        const voter = new SingleNode({ seed });
        voter.tick(9);
        voter.vote({ term: 1 });
        voter.tick(9);
        assert.equal(voter.core.role, "follower");
        const refuser = new SingleNode({ log: [1], seed });
        refuser.tick(9);
        refuser.vote({ term: 2 });
        refuser.tick(11);
        assert.notEqual(refuser.core.role, "follower");
      }
    },
  },
  {
    section: "5.2",
    says: "each server votes for at most one candidate in a term, first come",
    test: () => {
      const node = new SingleNode();
      const [first] = only(node.vote({ from: 3, term: 1 }), "voteResponse");
      const [second] = only(node.vote({ from: 2, term: 1 }), "voteResponse");
      assert.equal(first?.granted, true);
      assert.equal(second?.granted, false);
    },
  },
  {
    section: "5.2",
    says: "a winner sends heartbeats to all to prevent new elections",
    test: () => {
      const node = new SingleNode();
      const sent = node.becomeLeader();
      assert.deepEqual(
        only(sent, "append").map((append) => append.to),
        [2, 3],
      );
      const beats = only(node.tick(), "heartbeat");
      assert.deepEqual(beats.map((beat) => beat.to), [2, 3]);
    },
  },
  {
    section: "5.2",
    says: "a candidate rejects a leader with a smaller term and goes on",
    test: () => {
      const node = new SingleNode({ term: 6 });
      node.becomeCandidate();
      node.append({ from: 2, term: 6 });
      assert.equal(node.core.role, "candidate");
      assert.equal(node.core.term, 7);
    },
  },
  {
    section: "5.2",
    says: "a candidate that too many refuse is a follower again",
    test: () => {
      const node = new SingleNode();
      node.becomeCandidate();
      node.step("voteResponse", 2, 1, { granted: false });
      assert.equal(node.core.role, "candidate");
      node.step("voteResponse", 3, 1, { granted: false });
      assert.equal(node.core.role, "follower");
    },
  },
  {
    section: "5.2",
    says: "election timeouts are random in a fixed interval",
    test: () => {
      const timeouts = new Set<number>();
      for (let seed = 0; seed < 100; seed++) {
        // Each cluster has them in another order, and each member some of them (turns.ts).
        const settings = { turnOffset: seed };
        const node = new SingleNode({ seed, settings });
        let ticks = 0;
        while (node.core.role === "follower") {
          node.tick();
          ticks++;
        }
        timeouts.add(ticks);
      }
      const sorted = [...timeouts].sort((left, right) => left - right);
      assert.deepEqual(sorted, [11, 12, 13, 14, 15, 16, 17, 18, 19]);
    },
  },
  {
    section: "5.2",
    says: "split votes are rare and resolved quickly",
    test: () => {
      for (let seed = 0; seed < 50; seed++) {
        const cluster = new CoreCluster({ nodeIds: [1, 2, 3, 4, 5], seed });
        cluster.run(80);
        assert.ok(cluster.leader() !== undefined);
        assert.ok(cluster.checks.termCount <= 3);
      }
    },
  },
  {
    section: "5.4.1",
    says: "the log with the later last term is more up to date",
    test: () => {
      assert.equal(grantsTo([1, 2], [1, 3]), true);
      assert.equal(grantsTo([1, 3], [9, 2]), false);
    },
  },
  {
    section: "5.4.1",
    says: "of two logs that end with the same term the longer one is",
    test: () => {
      assert.equal(grantsTo([1, 2], [2, 2]), true);
      assert.equal(grantsTo([1, 2], [3, 2]), true);
      assert.equal(grantsTo([1, 2, 2], [2, 2]), false);
    },
  },
  {
    section: "5.5",
    says: "a lost vote request is asked again; a repeated one is harmless",
    test: () => {
      const node = new SingleNode();
      const first = node.vote({ term: 1 });
      const second = node.vote({ term: 1 });
      assert.deepEqual(first, second);
      assert.equal(node.core.status().votedFor, 2);
    },
  },
];
