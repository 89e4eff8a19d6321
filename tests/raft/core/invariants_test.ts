import { assert } from "../../deps.ts";
import { checkStep } from "../../../raft/core/invariants.ts";
import type { Status } from "../../../raft/core/types.ts";

const status: Status = {
  nodeId: 1,
  role: "leader",
  term: 3,
  votedFor: 1,
  leaderId: 1,
  commit: 5,
  applied: 4,
  firstIndex: 1,
  lastIndex: 9,
  transferTarget: 0,
};

function step(after: Partial<Status>, before: Partial<Status> = {}): void {
  checkStep({ ...status, ...before }, { ...status, ...after });
}

Deno.test("checkStep() accepts what may happen", () => {
  step({ lastIndex: 10, commit: 9, applied: 9 });
  step({ role: "follower", leaderId: 0 });
  step({ term: 4, votedFor: 2, role: "follower", lastIndex: 7 });
  step({}, { role: "candidate", leaderId: 0 });
});

Deno.test("checkStep() finds what must not happen", () => {
  assert.throws(() => step({ nodeId: 2 }), /never changes/);
  assert.throws(() => step({ term: 2 }), /term never moves back/);
  assert.throws(() => step({ commit: 4 }), /commit index never moves back/);
  assert.throws(() => step({ applied: 3 }), /applied index never moves back/);
  assert.throws(() => step({ votedFor: 2 }), /once in a term/);
  assert.throws(() => step({ votedFor: 0 }), /once in a term/);
  assert.throws(() => step({ role: "candidate" }), /only become a follower/);
  assert.throws(() => step({ lastIndex: 8 }), /append-only/);
  assert.throws(() => step({}, { role: "follower" }), /only a candidate/);
});
