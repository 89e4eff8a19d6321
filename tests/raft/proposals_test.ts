import { assert } from "../deps.ts";
import { sealBatch } from "../../raft/core/entry_batch.ts";
import type { EntryBatch } from "../../raft/core/types.ts";
import type { RaftError } from "../../raft/errors.ts";
import { ProposalTable } from "../../raft/proposals.ts";
import { requestError } from "../../raft/requests.ts";
import type { Result } from "../../raft/state_machine.ts";
import { crc32, makeBatch } from "../support/entries.ts";

const busy = () => requestError("busy", "Cannot propose: busy");
const command = Uint8Array.of(1);
const nobody = (result: Result | Promise<never>) => {
  if (result instanceof Promise) result.catch(() => {});
};

function counters(): (count: number) => number {
  let next = 1;
  return (count) => {
    const first = next;
    next += count;
    return first;
  };
}

/** How requests end: `[name, value]` or `[name, code, outcome]`, in order. */
class Ends {
  readonly list: unknown[][] = [];
  #waiting: Promise<unknown>[] = [];

  settle(name: string): (result: Result | Promise<never>) => void {
    return (result) => {
      if (!(result instanceof Promise)) {
        this.list.push([name, result.value]);
        return;
      }
      this.#waiting.push(result.catch((error: RaftError) => {
        this.list.push([name, error.code, error.outcome]);
      }));
    };
  }

  async all(): Promise<unknown[][]> {
    await Promise.all(this.#waiting);
    return this.list;
  }
}

function sealNext(
  table: ProposalTable,
  at: { term: number; firstIndex: number },
): EntryBatch {
  const entryCount = table.builder.count;
  const batch = sealBatch(
    table.builder.take(),
    { ...at, entryCount, isConfigChange: false },
    crc32,
  );
  table.sealed(batch);
  return batch;
}

Deno.test("ProposalTable finds the proposals of its own batch by index and term (rule R1)", () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  const group = table.add(command, ends.settle("a"), 10);
  table.add(command, ends.settle("b"), 10);
  const batch = sealNext(table, { term: 2, firstIndex: 5 });
  assert.equal(table.groupOf(batch), group);
  assert.equal(group.settles.length, 2);
  assert.ok(table.bytes > 0);
  table.finished(group);
  assert.equal(table.bytes, 0);
  assert.equal(table.groupOf(batch), undefined);
});

Deno.test("ProposalTable: an entry of another term at its index, or of a later one before it, proves that a proposal was not applied (rule R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  table.add(command, ends.settle("kept"), 10);
  sealNext(table, { term: 2, firstIndex: 5 });
  table.add(command, ends.settle("overwritten"), 10);
  sealNext(table, { term: 2, firstIndex: 6 });
  table.add(command, ends.settle("beyond"), 10);
  sealNext(table, { term: 2, firstIndex: 7 });
  // The new leader kept index 5 and replaced index 6.
  const kept = makeBatch({ term: 2, firstIndex: 5, commands: ["x"] });
  const group = table.groupOf(kept);
  assert.ok(group !== undefined);
  table.finished(group);
  const foreign = makeBatch({ term: 3, firstIndex: 6, commands: ["y"] });
  assert.equal(table.groupOf(foreign), undefined);
  assert.deepEqual(await ends.all(), [
    ["overwritten", "dropped", "notApplied"],
    ["beyond", "dropped", "notApplied"],
  ]);
  assert.equal(table.bytes, 0);
});

Deno.test("ProposalTable: an entry of an earlier or the same term before its index says nothing of a proposal (rule R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  table.add(command, ends.settle("a"), 10);
  sealNext(table, { term: 2, firstIndex: 7 });
  for (const [term, firstIndex] of [[1, 5], [2, 6]] as const) {
    table.groupOf(makeBatch({ term, firstIndex, commands: ["x"] }));
  }
  assert.deepEqual(await ends.all(), []);
  table.tick(10);
  assert.deepEqual(await ends.all(), [["a", "timeout", "unknown"]]);
});

Deno.test("ProposalTable ends what a refused batch held as not applied (rule R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  table.add(command, ends.settle("a"), 10);
  table.builder.clear();
  table.refused(busy);
  table.refused(busy);
  assert.deepEqual(await ends.all(), [["a", "busy", "notApplied"]]);
  assert.equal(table.bytes, 0);
});

Deno.test("ProposalTable gives a forwarded proposal the result of its own entry, once (rules B3, R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  table.addForward(command, ends.settle("a"), 10);
  table.addForward(command, ends.settle("b"), 10);
  const { group } = table.takeForward();
  assert.ok(table.hasForwarded);
  table.takeForwarded(group.firstCounter + 1)?.({ value: 2 });
  assert.equal(table.hasForwarded, false, "its last entry was applied");
  assert.equal(table.takeForwarded(group.firstCounter + 1), undefined);
  assert.deepEqual(await ends.all(), [["b", 2]]);
});

Deno.test("ProposalTable never uses a counter that another table of the NodeHost used (rule R1)", () => {
  const takeCounters = counters();
  const seen = new Set<number>();
  for (let life = 0; life < 3; life++) {
    const table = new ProposalTable(9, takeCounters);
    for (let record = 0; record < 20; record++) {
      for (let i = 0; i < 50_000; i++) table.addForward(command, nobody, 1);
      const { group } = table.takeForward();
      for (let i = 0; i < group.settles.length; i += 4_999) {
        assert.equal(seen.has(group.firstCounter + i), false);
        seen.add(group.firstCounter + i);
      }
      table.answered(group.firstCounter, { firstIndex: 0, term: 0 }, busy);
    }
  }
});

Deno.test("ProposalTable heeds the leader's answers: not taken, taken, and taken but overwritten (rule R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  const records = ["refused", "overwritten", "late"].map((name) => {
    table.addForward(command, ends.settle(name), 10);
    return table.takeForward().group.firstCounter;
  });
  table.answered(records[0]!, { firstIndex: 0, term: 0 }, busy);
  table.answered(records[0]!, { firstIndex: 0, term: 0 }, busy);
  table.answered(records[1]!, { firstIndex: 8, term: 2 }, busy);
  table.settleOverwrittenForwards(
    makeBatch({ term: 2, firstIndex: 8, commands: ["same"] }),
  );
  table.settleOverwrittenForwards(
    makeBatch({ term: 3, firstIndex: 9, commands: ["elsewhere"] }),
  );
  assert.equal((await ends.all()).length, 1);
  table.settleOverwrittenForwards(
    makeBatch({ term: 3, firstIndex: 7, commands: ["other", "term"] }),
  );
  table.tick(10);
  assert.deepEqual(await ends.all(), [
    ["refused", "busy", "notApplied"],
    ["overwritten", "dropped", "notApplied"],
    ["late", "timeout", "unknown"],
  ]);
  assert.equal(table.bytes, 0, "nobody waits, so nothing is kept");
});

Deno.test("ProposalTable gives up an answer once a later term's entry is applied, at once if the link was lost (rule R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  const [cut, , applied] = ["cut", "linked", "applied", "taken"].map(
    (name) => {
      table.addForward(command, ends.settle(name), 100);
      const { group } = table.takeForward();
      group.sentTo = name === "cut" ? 2 : 3;
      group.sentTerm = 4;
      if (name === "taken") {
        const answer = { firstIndex: 9, term: 5 };
        table.answered(group.firstCounter, answer, busy);
      }
      return group;
    },
  );
  table.linkLost(2);
  const look = (appliedTerm: number, leaderId = 0) =>
    table.endForwarded({ applied: 8, appliedTerm, leaderId, patience: 3 });
  for (let tick = 0; tick < 10; tick++) look(4);
  assert.deepEqual(await ends.all(), [], "that leader's entries may yet come");
  table.takeForwarded(applied!.firstCounter)?.({ value: 7 });
  look(5);
  assert.equal(cut!.settles[0], undefined, "its answer cannot come");
  look(5);
  assert.equal((await ends.all()).length, 2, "the other's answer may");
  look(5);
  assert.deepEqual(await ends.all(), [
    ["applied", 7],
    ["cut", "dropped", "unknown"],
    ["linked", "dropped", "unknown"],
  ]);
  table.tick(100);
  assert.deepEqual((await ends.all())[3], ["taken", "timeout", "unknown"]);
  assert.equal(table.bytes, 0);
});

Deno.test("ProposalTable gives up an answer of the same leader only if the link was lost and is up again for a while (rule R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  table.addForward(command, ends.settle("a"), 100);
  const { group } = table.takeForward();
  group.sentTo = 2;
  group.sentTerm = 4;
  const look = (leaderId: number) =>
    table.endForwarded({
      applied: 8,
      appliedTerm: 4,
      leaderId,
      patience: 3,
    });
  for (let tick = 0; tick < 10; tick++) look(2);
  table.linkLost(2);
  for (let tick = 0; tick < 10; tick++) look(0);
  for (let tick = 0; tick < 2; tick++) look(2);
  assert.deepEqual(await ends.all(), []);
  look(2);
  assert.deepEqual(await ends.all(), [["a", "dropped", "unknown"]]);
});

Deno.test("ProposalTable ends a forwarded proposal that a leader took and lost once a later term's entry is applied before its place, however late the answer (rule R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  const at = (name: string, firstIndex: number, term: number) => {
    table.addForward(command, ends.settle(name), 100);
    const { group } = table.takeForward();
    group.sentTo = 2;
    group.sentTerm = 4;
    table.answered(group.firstCounter, { firstIndex, term }, busy);
  };
  const look = (applied: number, appliedTerm: number) =>
    table.endForwarded({ applied, appliedTerm, leaderId: 3, patience: 3 });
  at("lost", 9, 4);
  at("of the new term", 10, 5);
  for (let tick = 0; tick < 10; tick++) look(8, 4);
  assert.deepEqual(await ends.all(), [], "its entry may yet come");
  look(8, 5);
  assert.deepEqual(await ends.all(), [["lost", "dropped", "notApplied"]]);
  at("answered late", 9, 4);
  // A snapshot may have had it: then nothing is certain.
  at("passed", 8, 4);
  look(8, 5);
  table.tick(100);
  assert.deepEqual((await ends.all()).slice(1), [
    ["answered late", "dropped", "notApplied"],
    ["of the new term", "timeout", "unknown"],
    ["passed", "timeout", "unknown"],
  ]);
  assert.equal(table.bytes, 0);
});

Deno.test("ProposalTable cannot tell what became of proposals that a snapshot overtook (rule R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  table.add(command, ends.settle("below"), 10);
  sealNext(table, { term: 2, firstIndex: 5 });
  table.add(command, ends.settle("above"), 10);
  sealNext(table, { term: 2, firstIndex: 6 });
  table.overtaken(5);
  assert.deepEqual(await ends.all(), [["below", "dropped", "unknown"]]);
});

Deno.test("ProposalTable ends everything once: unknown what is in a log, notApplied what is not (rule R1)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  table.add(command, ends.settle("in log"), 10);
  sealNext(table, { term: 2, firstIndex: 5 });
  table.addForward(command, ends.settle("sent"), 10);
  table.takeForward();
  table.add(command, ends.settle("next"), 10);
  table.addForward(command, ends.settle("next forward"), 10);
  const ended = (outcome: "unknown" | "notApplied") => () =>
    requestError("closed", "Cannot go on", outcome);
  for (let i = 0; i < 2; i++) {
    table.failAll(ended("unknown"), ended("notApplied"));
  }
  table.tick(99);
  assert.deepEqual(await ends.all(), [
    ["in log", "closed", "unknown"],
    ["sent", "closed", "unknown"],
    ["next", "closed", "notApplied"],
    ["next forward", "closed", "notApplied"],
  ]);
  assert.equal(table.bytes, 0);
  assert.equal(table.hasWork, false);
});

Deno.test("ProposalTable leaves room for entries of others in its batches (rule B3)", async () => {
  const table = new ProposalTable(9, counters());
  const ends = new Ends();
  const other = new ProposalTable(8, counters());
  for (let i = 0; i < 2; i++) other.addForward(command, nobody, 10);
  table.add(command, ends.settle("mine"), 10);
  assert.equal(table.addForeign(other.takeForward().entries, 2), 1);
  table.add(command, ends.settle("mine too"), 10);
  const batch = sealNext(table, { term: 1, firstIndex: 1 });
  assert.equal(batch.lastIndex, 4);
  table.failAll(busy, busy);
  assert.equal((await ends.all()).length, 2);
});
