import { ClusterRecord } from "../../testing/sim/cluster_record.ts";
import type { SimulationFailure } from "../../testing/sim/failure.ts";
import { History } from "../../testing/sim/history.ts";
import type { Operation } from "../../testing/sim/history.ts";
import type { ObservedNode } from "../../testing/sim/observed_machine.ts";
import { assert } from "../deps.ts";

/** A record of one cluster, with operations to apply. */
class Fixture {
  readonly history = new History();
  failures: string[] = [];
  readonly record: ClusterRecord = new ClusterRecord(
    1,
    this.history,
    (failure: SimulationFailure) => this.failures.push(failure.check),
  );

  begin(kind: "write" | "read" = "write"): Operation {
    return this.history.begin({
      client: 1,
      machine: 0,
      clusterId: 1,
      kind,
      input: undefined,
      invokedUs: 0,
      floorIndex: this.record.floorIndex,
    });
  }

  node(nodeId: number): ObservedNode {
    return {
      clusterId: 1,
      nodeId,
      incarnation: `m${nodeId}.1`,
      position: 0,
      lastIndex: 0,
    };
  }

  apply(
    node: ObservedNode,
    operation: Operation,
    at: { index: number; term: number; byte?: number },
  ): void {
    const command = new Uint8Array([operation.id, at.byte ?? 0]);
    this.record.applied(
      node,
      { index: at.index, term: at.term, command },
      operation.id,
    );
    this.record.result(node, { value: operation.id });
  }
}

Deno.test("ClusterRecord finds an operation that is applied when all logs had ended without it", () => {
  const fixture = new Fixture();
  const [early, late] = [fixture.begin(), fixture.begin()];
  const node = fixture.node(1);
  fixture.apply(node, early, { index: 1, term: 1 });
  fixture.history.settle();
  assert.deepEqual(fixture.failures, []);
  fixture.apply(node, late, { index: 2, term: 1 });
  assert.deepEqual(fixture.failures, ["not applied means never"]);
});

Deno.test("ClusterRecord finds two leaders of one term", () => {
  const { record, failures } = new Fixture();
  assert.equal(record.leaderSeen(3, 1, "m0.1"), true);
  assert.equal(record.leaderSeen(3, 1, "m1.1"), false);
  record.leaderSeen(4, 2, "m1.1");
  assert.deepEqual(failures, []);
  record.leaderSeen(3, 2, "m1.1");
  assert.deepEqual(failures, ["one leader per term"]);
});

Deno.test("ClusterRecord finds a committed command that changed", () => {
  for (
    const changed of [{ index: 2, term: 1, byte: 9 }, { index: 2, term: 2 }]
  ) {
    const fixture = new Fixture();
    const operation = fixture.begin();
    fixture.apply(fixture.node(1), operation, { index: 2, term: 1 });
    fixture.apply(fixture.node(2), operation, { index: 2, term: 1 });
    assert.deepEqual(fixture.failures, []);
    fixture.apply(fixture.node(3), operation, changed);
    assert.deepEqual(fixture.failures, ["committed never changes"]);
  }
});

Deno.test("ClusterRecord finds a lost command, a repeated one, and one out of order", () => {
  const fixture = new Fixture();
  const [first, second] = [fixture.begin(), fixture.begin()];
  const node = fixture.node(1);
  fixture.apply(node, first, { index: 2, term: 1 });
  fixture.apply(node, second, { index: 3, term: 1 });
  fixture.apply(fixture.node(2), second, { index: 3, term: 1 });
  assert.equal(fixture.failures[0], "acknowledged never lost");
  fixture.failures.length = 0;
  fixture.apply(node, second, { index: 4, term: 1 });
  assert.deepEqual(fixture.failures, ["applied once"]);
  fixture.failures.length = 0;
  fixture.apply(node, fixture.begin(), { index: 4, term: 1 });
  assert.deepEqual(fixture.failures, ["applied in order"]);
});

Deno.test("ClusterRecord finds a session's command that is applied twice, or after a later one (rule R2)", () => {
  const fixture = new Fixture();
  const node = fixture.node(1);
  const [first, second, other] = [0, 1, 2].map(() => fixture.begin());
  first!.session = second!.session = 7;
  other!.session = 8;
  fixture.apply(node, other!, { index: 2, term: 1 });
  fixture.apply(node, second!, { index: 3, term: 1 });
  assert.deepEqual(fixture.failures, []);
  fixture.apply(node, first!, { index: 4, term: 1 });
  assert.deepEqual(fixture.failures, ["exactly once in a session"]);
  fixture.failures.length = 0;
  fixture.apply(node, second!, { index: 5, term: 1 });
  assert.deepEqual(fixture.failures, ["exactly once in a session"]);
});

Deno.test("ClusterRecord finds an acknowledged command that nobody applied, and an answer that is another's (rule R1)", () => {
  const fixture = new Fixture();
  fixture.record.writeDone(fixture.begin(), { value: 1 });
  assert.deepEqual(fixture.failures, ["acknowledged is applied"]);
  fixture.failures.length = 0;
  const operation = fixture.begin();
  fixture.apply(fixture.node(1), operation, { index: 2, term: 1 });
  fixture.record.writeDone(operation, { value: operation.id + 1 });
  assert.deepEqual(fixture.failures, ["results are the machine's"]);
});

Deno.test("ClusterRecord finds a command that ended as not applied and was applied, before or after (rule R1)", () => {
  for (const isEarly of [true, false]) {
    const fixture = new Fixture();
    const operation = fixture.begin();
    const end = () => {
      fixture.history.end(operation, "notApplied", 1);
      fixture.record.writeNotApplied(operation);
    };
    if (isEarly) end();
    fixture.apply(fixture.node(1), operation, { index: 2, term: 1 });
    if (!isEarly) end();
    assert.deepEqual(fixture.failures, ["not applied means never"]);
  }
});

Deno.test("ClusterRecord finds reads and writes that do not follow what had ended before (rule C7)", () => {
  const fixture = new Fixture();
  const node = fixture.node(1);
  const early = fixture.begin();
  const write = fixture.begin();
  fixture.apply(node, early, { index: 2, term: 1 });
  fixture.apply(node, write, { index: 3, term: 1 });
  fixture.record.writeDone(write, { value: write.id });
  const stale = fixture.begin("read");
  stale.index = 2;
  fixture.record.readDone(stale);
  assert.deepEqual(fixture.failures, ["linearizable"]);
  fixture.failures.length = 0;
  fixture.record.writeDone(early, { value: early.id }); // It began before the other ended.
  const fresh = fixture.begin("read");
  fresh.index = 3;
  fixture.record.readDone(fresh);
  assert.deepEqual(fixture.failures, []);
  const late = fixture.begin();
  late.index = 3;
  fixture.record.writeDone(late, { value: 0 });
  assert.deepEqual(fixture.failures, [
    "results are the machine's",
    "linearizable",
  ]);
});

Deno.test("ClusterRecord finds states that differ after the same commands, and snapshots of what never was", () => {
  const fixture = new Fixture();
  const [one, other] = [fixture.node(1), fixture.node(2)];
  const operation = fixture.begin();
  fixture.apply(one, operation, { index: 2, term: 1 });
  fixture.apply(other, operation, { index: 2, term: 1 });
  fixture.record.state(one, { applied: 3, hash: 7n });
  fixture.record.state(other, { applied: 3, hash: 7n });
  fixture.record.state(other, { applied: 4, hash: 9n });
  assert.deepEqual(fixture.failures, []);
  fixture.record.state(other, { applied: 3, hash: 8n });
  assert.deepEqual(fixture.failures, ["states equal"]);
  fixture.failures.length = 0;
  fixture.record.recovered({ ...fixture.node(3), position: 1, lastIndex: 2 });
  assert.deepEqual(fixture.failures, []);
  fixture.record.recovered({ ...fixture.node(3), position: 2, lastIndex: 5 });
  assert.deepEqual(fixture.failures, ["committed never changes"]);
});

Deno.test("ClusterRecord lets what stands behind an image be lost when the cluster is rebuilt, and never come back (rule I3)", () => {
  const fixture = new Fixture();
  const { record, history } = fixture;
  const [kept, lost, open, after] = [1, 2, 3, 4].map(() => fixture.begin());
  const before = fixture.node(1);
  fixture.apply(before, kept!, { index: 2, term: 1 });
  fixture.apply(before, lost!, { index: 5, term: 2 });
  history.lose(1, 3);
  record.rebuilt(3);
  assert.equal(record.lastIndex, 2);
  assert.deepEqual(history.ofCluster(1), [kept]);
  after!.isLost = false; // As if it had begun since.
  const rebuilt = fixture.node(4);
  fixture.apply(rebuilt, kept!, { index: 2, term: 1 });
  // Another command at the place of a lost one, in a term that was there before.
  fixture.apply(rebuilt, after!, { index: 5, term: 2 });
  assert.deepEqual(fixture.failures, []);
  fixture.apply(rebuilt, open!, { index: 6, term: 2 });
  fixture.apply(rebuilt, lost!, { index: 7, term: 2 });
  assert.deepEqual(fixture.failures, [
    "rebuilt from the image",
    "applied once",
  ]);
});
