import type { LogEntry } from "../../raft/log_query.ts";
import { ClusterRecord } from "../../testing/sim/cluster_record.ts";
import { CommitWatch } from "../../testing/sim/commit_watch.ts";
import { History } from "../../testing/sim/history.ts";
import type { Operation } from "../../testing/sim/history.ts";
import { markCommand } from "../../testing/sim/observed_machine.ts";
import { simulate } from "../../testing/sim/run.ts";
import { assert } from "../deps.ts";

function begin(history: History): Operation {
  return history.begin({
    client: 1,
    machine: 0,
    clusterId: 1,
    kind: "write",
    input: undefined,
    invokedUs: 0,
    floorIndex: 0,
  });
}

Deno.test("CommitWatch finds who is told too late, twice, of nothing, or not at all", () => {
  const found: string[] = [];
  const watch = new CommitWatch(({ message }) => found.push(message));
  const history = new History();
  const call = (isInSession = false) => {
    const operation = begin(history);
    return { operation, ...watch.call(operation, isInSession) };
  };
  const expect = (message?: RegExp) => {
    assert.equal(found.length, message === undefined ? 0 : 1);
    if (message !== undefined) assert.match(found.pop()!, message);
  };
  const fine = call();
  fine.onCommitted();
  fine.ended("done");
  fine.operation.index = 7;
  call(true).ended("done");
  call().ended("notApplied");
  call().ended("unknown");
  watch.check();
  expect();
  fine.onCommitted();
  // Twice, and after the end.
  assert.equal(found.splice(0).length, 2);
  call().ended("done");
  expect(/was not told before/);
  const late = call();
  late.ended("notApplied");
  late.onCommitted();
  expect(/after it ended as notApplied/);
  late.operation.index = 8;
  const refused = call();
  refused.onCommitted();
  refused.ended("notApplied");
  expect(/ended as not applied/);
  watch.check();
  expect(/no node has applied it/);
  watch.check();
  expect();
});

Deno.test("ClusterRecord finds an entry of a queried log that is missing, or another's", () => {
  const found: string[] = [];
  const history = new History();
  const record = new ClusterRecord(
    1,
    history,
    ({ check }) => found.push(check),
  );
  const node = {
    clusterId: 1,
    nodeId: 1,
    incarnation: "m0.1",
    position: 0,
    lastIndex: 0,
  };
  const commands = [1, 2, 3].map((id) => {
    begin(history);
    return markCommand(Uint8Array.of(id), id, 1);
  });
  for (const i of [0, 1]) {
    const command = commands[i]!;
    record.applied(node, { index: 2 + i, term: 1, command }, i + 1);
  }
  const entry = (
    index: number,
    command: Uint8Array | undefined,
    term = 1,
  ): LogEntry => ({
    index,
    term,
    kind: command === undefined ? "empty" : "command",
    command: command ?? new Uint8Array(0),
  });
  const [first, second, third] = commands;
  const whole = [entry(1, undefined), entry(2, first), entry(3, second)];
  record.logQueried("m0.1", 1, whole);
  assert.deepEqual(found, []);
  const wrong: LogEntry[][] = [
    [entry(2, first)],
    [entry(1, undefined), entry(2, undefined)],
    [entry(1, undefined), entry(2, second)],
    [entry(1, undefined), entry(2, first, 2)],
    [entry(1, third)],
  ];
  for (const entries of wrong) {
    record.logQueried("m0.1", 1, entries);
    assert.deepEqual(found.splice(0), ["log queries are the log"]);
  }
  // Repeated in a session, and not applied again.
  history.operation(3)!.session = 9;
  record.logQueried("m0.1", 4, [entry(4, third)]);
  assert.deepEqual(found, []);
});

Deno.test("simulate() asks for stale reads, logs and commits, and says how often", async () => {
  const report = await simulate({
    seed: 3,
    harmSeconds: 5,
    operationCount: 50,
  });
  assert.equal(report.failure, undefined);
  assert.ok(report.staleReads > 0);
  assert.ok(report.entriesQueried > 0);
  assert.ok(report.commitsTold > 0);
});
