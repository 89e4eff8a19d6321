/** Whatever a peer sends, a core does not throw, and none of its own promises break. */
import { assert } from "../../deps.ts";
import { Prng } from "../../../raft/core/prng.ts";
import type { EntryBatch, Message } from "../../../raft/core/types.ts";
import { checkStep } from "../../../raft/core/invariants.ts";
import { initialMembership } from "../../support/core_cluster.ts";
import { makeBatch } from "../../support/entries.ts";
import { SingleNode } from "../../support/single_node.ts";

const types = [
  "append",
  "appendResponse",
  "heartbeat",
  "heartbeatResponse",
  "vote",
  "voteResponse",
  "preVote",
  "preVoteResponse",
  "snapshot",
  "timeoutNow",
  "readIndex",
  "readIndexResponse",
] as const;

/** A message that no honest peer need have sent. */
function anyMessage(prng: Prng, term: number): Message {
  const number = () => prng.below(12);
  const batches: EntryBatch[] = [];
  let firstIndex = 1 + number();
  for (let count = prng.below(3); count > 0; count--) {
    const commands = new Array<string>(prng.between(1, 4)).fill("x");
    batches.push(
      makeBatch({ term: 1 + prng.below(term + 1), firstIndex, commands }),
    );
    firstIndex += prng.chance(9, 10) ? commands.length : number();
  }
  const prevLogIndex = prng.chance(9, 10)
    ? (batches[0]?.firstIndex ?? 1) - 1
    : number();
  return {
    type: prng.pick(types),
    from: prng.between(2, 5),
    to: 1,
    term: Math.max(0, term + prng.below(4) - 2),
    prevLogIndex,
    prevLogTerm: prng.below(term + 1),
    commit: number(),
    batches,
    index: number(),
    rejected: prng.chance(1, 2),
    hintIndex: number(),
    hintTerm: prng.below(term + 1),
    round: number(),
    lastLogIndex: number(),
    lastLogTerm: prng.below(term + 1),
    transfer: prng.chance(1, 2),
    granted: prng.chance(1, 2),
    snapshot: {
      index: number(),
      term: prng.below(term + 1),
      membership: initialMembership([1, 2, 3]),
    },
    context: { nodeId: 2, incarnation: 1, counter: number() },
  } as unknown as Message;
}

Deno.test("Peer.step() never throws for what a peer sent", () => {
  let brokenCount = 0;
  for (let seed = 0; seed < 300; seed++) {
    const prng = new Prng(seed);
    const node = new SingleNode({ seed });
    for (let count = 0; count < 150; count++) {
      const { core } = node;
      const before = core.status();
      if (prng.chance(1, 4)) core.tick();
      else core.step(anyMessage(prng, core.term));
      checkStep(before, core.status());
      core.checkState();
      // Updates are taken by hand: the checks of a cluster would rightly find that its other members lie.
      while (core.hasUpdate()) {
        const { records, snapshot, committed } = core.update();
        node.node.disk.write({
          hardState: records?.hardState,
          batches: records?.batches ?? [],
          snapshot,
        });
        if (records) core.persisted({ writeId: records.writeId });
        if (snapshot) core.applied(snapshot.index);
        else if (committed) core.applied(committed.lastIndex);
      }
      core.checkState();
    }
    brokenCount += node.core.ignoredMessages().broken;
  }
  assert.ok(brokenCount > 1_000, `${brokenCount} messages were found out`);
});
