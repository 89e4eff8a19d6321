import { assert } from "../deps.ts";
import { zlibCompression } from "../../raft/compression.ts";
import { Applier, closeMachine } from "../../raft/applier.ts";
import { sealBatch } from "../../raft/core/entry_batch.ts";
import type { EntryBatch } from "../../raft/core/types.ts";
import { EntryBuilder } from "../../raft/entries.ts";
import type { Clock } from "../../raft/ports.ts";
import { SessionTable } from "../../raft/sessions.ts";
import { ProposalTable } from "../../raft/proposals.ts";
import type { Entry, Result } from "../../raft/state_machine.ts";
import { crc32, makeBatch } from "../support/entries.ts";
import { Counter, KeptLog } from "../support/hosts.ts";

class Recorder extends Counter {
  readonly entries: Entry[] = [];
  onUpdate: (entry: Entry) => void = () => {};
  override update(entry: Entry): Result {
    this.entries.push(entry);
    this.onUpdate(entry);
    return { value: entry.index };
  }
}

class World {
  now = 0;
  readonly machine = new Recorder();
  readonly proposals = new ProposalTable(9, () => 1);
  readonly appliedTo: number[] = [];
  readonly batches: EntryBatch[] = [];
  readonly applier: Applier;

  constructor(start = { index: 0, term: 0 }) {
    this.applier = new Applier({
      machine: this.machine,
      proposals: this.proposals,
      proposer: 9,
      compression: zlibCompression,
      clock: { now: () => this.now } as unknown as Clock,
      owner: {
        applyChange: () => {},
        batchApplied: (batch) => this.batches.push(batch),
        appliedTo: (index) => this.appliedTo.push(index),
      },
      start,
      sessions: new SessionTable(),
    });
  }

  take(batches: EntryBatch[], range: { first: number; last: number }): void {
    this.applier.take({
      firstIndex: range.first,
      lastIndex: range.last,
      batches,
    });
  }

  get indexes(): number[] {
    return this.machine.entries.map((entry) => entry.index);
  }
}

function bigBatch(firstIndex: number, count: number): EntryBatch {
  const builder = new EntryBuilder();
  for (let i = 0; i < count; i++) builder.add(Uint8Array.of(i));
  return sealBatch(
    builder.take(),
    { term: 1, firstIndex, entryCount: count, isConfigChange: false },
    crc32,
  );
}

Deno.test("Applier applies each entry of a range once and in order, though it begins and ends inside batches (rules B2, C3)", () => {
  const world = new World({ index: 2, term: 1 });
  const first = makeBatch({
    term: 1,
    firstIndex: 1,
    commands: ["a", "b", "c"],
  });
  const second = makeBatch({
    term: 2,
    firstIndex: 4,
    commands: ["d", "e", "f"],
  });
  world.take([first, second], { first: 3, last: 5 });
  world.applier.run(100);
  assert.deepEqual(world.indexes, [3, 4, 5]);
  assert.equal(world.applier.appliedTerm, 2);
  assert.equal(world.applier.hasWork, false);
  world.take([second], { first: 6, last: 6 });
  world.applier.run(100);
  assert.deepEqual(world.indexes, [3, 4, 5, 6]);
  assert.deepEqual(world.appliedTo, [5, 6]);
});

Deno.test("Applier refuses a gap, and a second range before the first is done (rule C3)", () => {
  const world = new World();
  const batch = makeBatch({ term: 1, firstIndex: 2, commands: ["b"] });
  assert.throws(
    () => world.take([batch], { first: 2, last: 2 }),
    /must follow what was applied/,
  );
  const good = makeBatch({ term: 1, firstIndex: 1, commands: ["a"] });
  world.take([good], { first: 1, last: 1 });
  assert.throws(
    () => world.take([good], { first: 1, last: 1 }),
    /one committed range/,
  );
});

Deno.test("Applier gives the state machine a new entry each time (rule B4)", () => {
  const world = new World();
  world.take([bigBatch(1, 3)], { first: 1, last: 3 });
  world.applier.run(100);
  const { entries } = world.machine;
  assert.equal(new Set(entries).size, 3);
  assert.deepEqual(entries.map((entry) => [...entry.command]), [[0], [1], [2]]);
  assert.deepEqual(entries.map((entry) => entry.index), [1, 2, 3]);
});

Deno.test("Applier stops when its time is up, inside a batch too, and goes on where it was (rule C6)", () => {
  const world = new World();
  world.machine.onUpdate = () => world.now++;
  world.take([bigBatch(1, 1_000), bigBatch(1_001, 10)], {
    first: 1,
    last: 1_010,
  });
  world.applier.run(5);
  const { applied } = world.applier;
  assert.ok(applied > 0 && applied < 1_000);
  assert.deepEqual(world.appliedTo, [applied]);
  assert.ok(world.applier.hasWork);
  for (let i = 0; i < 20; i++) world.applier.run(world.now + 5);
  assert.deepEqual(
    world.indexes,
    Array.from({ length: 1_010 }, (_, i) => i + 1),
  );
  assert.equal(world.applier.hasWork, false);
});

Deno.test("Applier gives each proposal its own result, once, and those of others to nobody (rule R1)", () => {
  const world = new World();
  const results: number[][] = [];
  const settle = (name: number) => (result: Result | Promise<never>) =>
    void results.push([name, (result as Result).value]);
  world.proposals.add(Uint8Array.of(1), settle(1), 99);
  world.proposals.addForeign(
    (() => {
      const other = new EntryBuilder(0);
      other.addWithKey(Uint8Array.of(2), 8, 1);
      return other.take();
    })(),
    1,
  );
  world.proposals.add(Uint8Array.of(3), settle(3), 99);
  const batch = sealBatch(world.proposals.builder.take(), {
    term: 1,
    firstIndex: 1,
    entryCount: 3,
    isConfigChange: false,
  }, crc32);
  world.proposals.sealed(batch);
  // The commit index falls inside the batch.
  world.take([batch], { first: 1, last: 1 });
  world.applier.run(100);
  assert.deepEqual(results, [[1, 1]]);
  world.take([batch], { first: 2, last: 3 });
  world.applier.run(100);
  assert.deepEqual(results, [[1, 1], [3, 3]]);
  assert.equal(world.proposals.bytes, 0);
});

Deno.test("Applier applies nothing more once it is stopped, even in the midst of a batch", () => {
  const world = new World();
  world.machine.onUpdate = (entry) => {
    if (entry.index === 2) world.applier.stop();
  };
  world.take([bigBatch(1, 5)], { first: 1, last: 5 });
  world.applier.run(100);
  world.applier.run(100);
  assert.deepEqual(world.indexes, [1, 2]);
  assert.deepEqual(world.appliedTo, []);
});

Deno.test("Applier throws what the state machine throws, and has applied what came before", () => {
  const world = new World();
  world.machine.onUpdate = (entry) => {
    if (entry.index === 2) throw new Error("a bug");
  };
  world.take([bigBatch(1, 5)], { first: 1, last: 5 });
  assert.throws(() => world.applier.run(100), /a bug/);
  assert.equal(world.applier.applied, 1);
});

Deno.test("Applier holds still while a snapshot is saved or restored (paper 7)", async () => {
  const world = new World();
  const meta = {
    index: 40,
    term: 3,
    membership: {
      configChangeIndex: 0,
      members: [],
      observers: [],
      witnesses: [],
      removed: [],
    },
  };
  world.take([bigBatch(1, 5)], { first: 1, last: 5 });
  const recover = async () => {
    await world.machine.recoverFromSnapshot(new Response("[7,40]").body!);
    return new SessionTable();
  };
  await assert.rejects(
    world.applier.restore(meta, recover),
    /nothing is applied/,
  );
  world.applier.pause();
  world.applier.pause();
  world.applier.run(100);
  assert.equal(world.applier.hasWork, false);
  await world.applier.restore(meta, recover);
  world.applier.resume();
  assert.ok(world.applier.isPaused);
  world.applier.resume();
  assert.equal(world.applier.hasWork, false, "what it had is overtaken");
  assert.equal(world.applier.applied, 40);
  assert.equal(world.machine.total, 7);
  assert.throws(() => world.applier.resume(), /must have begun/);
  assert.deepEqual(world.indexes, []);
});

Deno.test("closeMachine() survives a state machine that cannot be closed", async () => {
  const logger = new KeptLog();
  const failing = new Counter();
  failing.close = () => {
    throw new Error("at once");
  };
  await closeMachine(failing, 1, logger);
  failing.close = () => Promise.reject(new Error("later"));
  await closeMachine(failing, 1, logger);
  assert.equal(logger.lines.length, 2);
  await closeMachine({} as unknown as Counter, 1, logger);
});
