/**
 * What must hold of one node: at any time, and from one step to the next. Tests and simulations ask after every
 * step; what holds between nodes (election safety, log matching, leader completeness, state machine safety) only
 * they can see, and check themselves.
 */
import { assert } from "./assert.ts";
import { allMembers } from "./members.ts";
import type { Raft } from "./raft.ts";
import type { Status } from "./types.ts";

/** Asserts what holds between any two calls. */
export function checkState(raft: Raft): void {
  raft.log.checkState();
  assert(raft.log.lastTerm <= raft.term, "no entry is of a later term");
  const ids = allMembers(raft.membership).map((member) => member.nodeId);
  assert(
    ids.length === raft.progress.length &&
      ids.every((id, position) => raft.progress[position]?.nodeId === id),
    "there is one progress for each member, in order",
  );
  assert(
    raft.progress.every((progress, position) =>
      (progress.kind === "observer") === (position >= raft.voterCount)
    ),
    "those who vote come first",
  );
  assert(
    raft.progress.every((progress, position) =>
      (progress.kind === "voter") === (position < raft.holderCount)
    ),
    "of those who vote, witnesses come last",
  );
  assert(
    raft.role === "follower" || !raft.config.isWitness,
    "a witness never campaigns or leads (rule C9)",
  );
  assert(
    raft.role === "follower" || raft.isVoter(),
    "only a voter campaigns or leads",
  );
  switch (raft.role) {
    case "follower":
      assert(raft.leaderId !== raft.nodeId, "a follower follows another node");
      break;
    case "preCandidate":
      assert(raft.leaderId === 0, "who asks for votes has no leader");
      break;
    case "candidate":
      assert(raft.leaderId === 0, "who asks for votes has no leader");
      assert(raft.votedFor === raft.nodeId, "a candidate votes for itself");
      break;
    case "leader":
      checkLeader(raft);
      break;
  }
  if (raft.isQuiet) {
    assert(raft.leaderId !== 0, "a quiet node has a leader (rule C10)");
    assert(raft.log.commit === raft.log.lastIndex, "nothing is open in quiet");
    assert(raft.transferTarget === 0, "quiet is no time to hand over");
  }
  if (raft.role !== "leader") {
    assert(raft.transferTarget === 0, "only a leader hands over");
    assert(raft.reads.rounds.length === 0, "only a leader confirms reads");
    assert(raft.reads.waiting.length === 0, "only a leader confirms reads");
  }
}

function checkLeader(raft: Raft): void {
  const { log } = raft;
  assert(raft.leaderId === raft.nodeId, "a leader follows itself");
  assert(raft.votedFor === raft.nodeId, "a leader voted for itself");
  assert(raft.hasDurableVote(), "a leader's vote is durable (rule C2)");
  assert(raft.self !== undefined, "a leader is a member");
  assert(raft.self.match === log.persisted, "a leader counts what is durable");
  assert(log.lastTerm === raft.term, "a leader's log ends with its term");
  assert(
    raft.termStartIndex <= log.lastIndex,
    "a leader's term begins with an entry",
  );
  for (const progress of raft.progress) {
    assert(
      progress.match <= log.lastIndex,
      "nobody holds more than its leader",
    );
    assert(
      progress === raft.self || progress.match < progress.next,
      "what matches is not sent again",
    );
    assert(progress.next <= log.lastIndex + 1, "only entries can be sent");
    assert(progress.inflightBytes >= 0, "bytes on the way cannot be negative");
  }
}

/** Asserts what holds from one step of a node to the next. */
export function checkStep(before: Status, after: Status): void {
  assert(after.nodeId === before.nodeId, "an id never changes");
  assert(after.term >= before.term, "the term never moves back");
  assert(after.commit >= before.commit, "the commit index never moves back");
  assert(after.applied >= before.applied, "the applied index never moves back");
  if (after.term > before.term) return;
  assert(
    before.votedFor === 0 || after.votedFor === before.votedFor,
    "a vote is given once in a term (paper 5.2)",
  );
  assert(
    before.role === "leader" || after.role !== "leader" ||
      before.role === "candidate",
    "only a candidate becomes leader",
  );
  if (before.role !== "leader") return;
  assert(
    after.role === "leader" || after.role === "follower",
    "a leader can only become a follower (paper 5.2)",
  );
  if (after.role !== "leader") return;
  assert(
    after.lastIndex >= before.lastIndex,
    "a leader never removes an entry (paper 5.3, leader append-only)",
  );
}
