import { assert } from "../../deps.ts";
import { Progress } from "../../../raft/core/progress.ts";

function replicating(match: number): Progress {
  const progress = new Progress(2, match + 1);
  progress.maybeAdvance(match);
  assert.equal(progress.state, "replicate");
  return progress;
}

function send(progress: Progress, lastIndex: number, byteCount = 10): void {
  progress.sent({ prevLogIndex: progress.next - 1, lastIndex, byteCount });
}

Deno.test("Progress probes with one append at a time", () => {
  const progress = new Progress(2, 8);
  send(progress, 9);
  assert.equal(progress.isProbeSent, true);
  assert.equal(progress.next, 8);
  assert.equal(progress.maybeBackOff(7, 3), true);
  assert.equal(progress.next, 4);
  assert.equal(progress.isProbeSent, false);
});

Deno.test("Progress ignores a refusal of something else than the last probe", () => {
  const progress = new Progress(2, 8);
  send(progress, 9);
  assert.equal(progress.maybeBackOff(5, 1), false);
  assert.equal(progress.next, 8);
  progress.maybeBackOff(7, 3);
  assert.equal(progress.maybeBackOff(7, 1), false);
});

Deno.test("Progress always moves back by at least one, and never behind match", () => {
  const progress = new Progress(2, 8);
  send(progress, 9);
  progress.maybeBackOff(7, 99);
  assert.equal(progress.next, 7);
  progress.match = 5;
  send(progress, 9);
  progress.maybeBackOff(6, 0);
  assert.equal(progress.next, 6);
});

Deno.test("Progress pipelines once something was accepted", () => {
  const progress = replicating(3);
  send(progress, 5);
  send(progress, 9);
  assert.equal(progress.next, 10);
  assert.deepEqual([progress.inflightCount, progress.inflightBytes], [2, 20]);
  assert.equal(progress.maybeAdvance(7), true);
  assert.deepEqual([progress.inflightCount, progress.inflightBytes], [1, 10]);
  assert.equal(progress.maybeAdvance(5), false);
  progress.maybeAdvance(9);
  assert.deepEqual([progress.inflightCount, progress.inflightBytes], [0, 0]);
});

Deno.test("Progress keeps its count of what is on the way over thousands of appends", () => {
  const progress = replicating(0);
  for (let index = 1; index <= 5_000; index++) {
    send(progress, index);
    if (index > 100) progress.maybeAdvance(index - 100);
  }
  assert.deepEqual(
    [progress.inflightCount, progress.inflightBytes],
    [100, 1_000],
  );
});

Deno.test("Progress goes back to probing from match after a refusal", () => {
  const progress = replicating(3);
  send(progress, 9);
  assert.equal(progress.maybeBackOff(progress.match - 1, 1), false); // Older than what was accepted.
  assert.equal(progress.maybeBackOff(9, 1), true);
  assert.equal(progress.state, "probe");
  assert.equal(progress.next, 4);
  assert.equal(progress.inflightCount, 0);
});

Deno.test("Progress notices by heartbeats that what was sent is not answered", () => {
  const progress = replicating(3);
  progress.heartbeatAnswered();
  send(progress, 9);
  assert.equal(progress.heartbeatAnswered(), true);
  assert.equal(progress.isCheckDue, true);
  progress.isCheckDue = false;
  progress.maybeAdvance(5);
  assert.equal(progress.heartbeatAnswered(), false);
  assert.equal(progress.heartbeatAnswered(), true);
});

Deno.test("Progress waits for a snapshot and goes on behind it", () => {
  const progress = new Progress(2, 4);
  progress.becomeSnapshot(20);
  progress.maybeAdvance(7);
  assert.equal(progress.state, "snapshot");
  assert.equal(progress.maybeBackOff(7, 3), false);
  progress.maybeAdvance(20);
  assert.equal(progress.state, "replicate");
  assert.equal(progress.next, 21);
});

Deno.test("Progress does not repeat a failed snapshot before a sign of life", () => {
  const failed = new Progress(2, 4);
  failed.becomeSnapshot(20);
  failed.snapshotDone(false);
  assert.deepEqual([failed.state, failed.next], ["probe", 1]);
  assert.equal(failed.isProbeSent, true);
  failed.heartbeatAnswered();
  assert.equal(failed.isProbeSent, false);
  const delivered = new Progress(2, 4);
  delivered.becomeSnapshot(20);
  delivered.snapshotDone(true);
  assert.deepEqual([delivered.state, delivered.next], ["probe", 21]);
});

Deno.test("Progress.hasCaughtUp() once a round of entries took less than an election timeout (thesis 4.2.1)", () => {
  const progress = new Progress(2, 101);
  const leader = { commit: 100, lastIndex: 110, tick: 50, roundTicks: 10 };
  assert.equal(progress.hasCaughtUp(leader), false); // Round one: to 110, from tick 50.
  progress.maybeAdvance(110);
  const slow = { ...leader, commit: 130, lastIndex: 140, tick: 60 };
  assert.equal(progress.hasCaughtUp(slow), false); // It took too long; round two: to 140, from tick 60.
  progress.maybeAdvance(139);
  const busy = { ...leader, commit: 160, lastIndex: 170, tick: 69 };
  assert.equal(progress.hasCaughtUp(busy), false); // Still the same round.
  progress.maybeAdvance(140);
  assert.equal(progress.hasCaughtUp(busy), true);
  progress.maybeAdvance(160);
  assert.equal(progress.hasCaughtUp({ ...busy, tick: 99 }), true);
});
