import { assert } from "../../deps.ts";
import { RaftLog } from "../../../raft/core/log.ts";
import { makeBatch } from "../../support/entries.ts";
import { initialMembership } from "../../support/core_cluster.ts";
import { MemoryLog } from "../../support/memory_log.ts";
import { batchesOf, fillDisk } from "../../support/single_node.ts";

/** A log over a disk that holds single entries of these terms; `written` is what reaches the disk on `finish()`. */
class TestLog {
  readonly disk = new MemoryLog();
  readonly log: RaftLog;
  #writeId = 0;

  constructor(terms: readonly number[], commit = 0, retainBytes = 0) {
    if (terms.length > 0) {
      fillDisk(this.disk, { term: terms.at(-1) ?? 1, log: terms });
    }
    this.log = new RaftLog(this.disk, { applied: 0, commit, retainBytes });
  }

  /** Hands out what is new; returns a function that makes it durable. */
  write(): () => void {
    const batches = this.log.takeUnwritten();
    const writeId = ++this.#writeId;
    this.log.recordWrite({ term: 1, votedFor: 0 }, writeId);
    return () => {
      this.disk.write({ hardState: undefined, batches, snapshot: undefined });
      this.log.persistedTo(writeId);
      this.log.checkState();
    };
  }
}

function append(log: RaftLog, firstIndex: number, ...terms: number[]): void {
  for (const batch of batchesOf(firstIndex, ...terms)) log.append(batch);
  log.checkState();
}

Deno.test("RaftLog.termOf() knows memory, disk, and nothing beyond", () => {
  const { log } = new TestLog([1, 1, 2]);
  append(log, 4, 3);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((index) => log.termOf(index)),
    [0, 1, 1, 2, 3, undefined],
  );
});

Deno.test("RaftLog.isUpToDate() compares the ends of two logs (paper 5.4.1)", () => {
  const { log } = new TestLog([1, 2]);
  assert.equal(log.isUpToDate(1, 3), true);
  assert.equal(log.isUpToDate(2, 2), true);
  assert.equal(log.isUpToDate(1, 2), false);
  assert.equal(log.isUpToDate(9, 1), false);
});

Deno.test("RaftLog.lastIndexUpToTerm() skips later terms at once (paper 5.3)", () => {
  const { log } = new TestLog([1, 1, 4, 4, 4, 6, 6]);
  assert.equal(log.lastIndexUpToTerm(7, 6), 7);
  assert.equal(log.lastIndexUpToTerm(7, 5), 5);
  assert.equal(log.lastIndexUpToTerm(4, 9), 4);
  assert.equal(log.lastIndexUpToTerm(7, 3), 2);
  assert.equal(log.lastIndexUpToTerm(7, 0), 0);
  assert.equal(log.lastIndexUpToTerm(99, 9), 7);
});

Deno.test("RaftLog.persistedTo() counts no entry that was cut off after its write was issued (rule C1)", () => {
  const test = new TestLog([1]);
  const { log } = test;
  append(log, 2, 1, 1);
  const first = test.write();
  append(log, 2, 2);
  const second = test.write();
  append(log, 2, 3, 3);
  const third = test.write();
  first();
  assert.equal(log.persisted, 1);
  second();
  assert.equal(log.persisted, 1);
  third();
  assert.equal(log.persisted, 3);
});

Deno.test("RaftLog.persistedTo() lowers what was durable when it is replaced (rule C1)", () => {
  const test = new TestLog([1, 1, 1]);
  append(test.log, 2, 2);
  assert.equal(test.log.persisted, 1);
  test.write()();
  assert.equal(test.log.persisted, 2);
  assert.equal(test.log.lastIndex, 2);
});

Deno.test("RaftLog.persistedTo() of one write covers those before it", () => {
  const test = new TestLog([]);
  append(test.log, 1, 1);
  test.write();
  append(test.log, 2, 1);
  test.write();
  assert.equal(test.log.persistedTo(0), undefined);
  assert.equal(test.log.persistedTo(2)?.writeId, 2);
  assert.equal(test.log.persisted, 2);
  assert.equal(test.log.persistedTo(2), undefined);
});

Deno.test("RaftLog.takeUnwritten() gives each batch once, and again after it was replaced", () => {
  const { log } = new TestLog([1]);
  append(log, 2, 1, 1);
  assert.deepEqual(
    log.takeUnwritten().map((batch) => batch.firstIndex),
    [2, 3],
  );
  assert.deepEqual(log.takeUnwritten(), []);
  append(log, 4, 1);
  append(log, 3, 2);
  assert.deepEqual(
    log.takeUnwritten().map((batch) => `${batch.firstIndex}@${batch.term}`),
    ["3@2"],
  );
});

Deno.test("RaftLog.takeCommitted() gives only what is committed and durable (rule C3)", () => {
  const test = new TestLog([1]);
  const { log } = test;
  append(log, 2, 1, 1);
  const finish = test.write();
  log.commitTo(3);
  assert.equal(log.takeCommitted(1_000).lastIndex, 1);
  assert.equal(log.hasCommitted(), false); // One range is outstanding.
  log.appliedTo(1);
  assert.equal(log.hasCommitted(), false);
  finish();
  const range = log.takeCommitted(1_000);
  assert.deepEqual([range.firstIndex, range.lastIndex], [2, 3]);
});

Deno.test("RaftLog.takeCommitted() is bounded, but gives at least one batch", () => {
  const { log } = new TestLog([1, 1, 1], 3);
  const range = log.takeCommitted(1);
  assert.equal(range.lastIndex, 1);
  log.appliedTo(1);
  assert.equal(log.takeCommitted(1_000).lastIndex, 3);
});

Deno.test("RaftLog.takeCommitted() stops and goes on inside a batch (rule B2)", () => {
  const test = new TestLog([]);
  const { log } = test;
  log.append(makeBatch({ term: 1, firstIndex: 1, commands: [..."abcde"] }));
  test.write()();
  log.commitTo(3);
  const first = log.takeCommitted(1_000);
  assert.deepEqual([first.firstIndex, first.lastIndex], [1, 3]);
  assert.equal(first.batches[0]?.lastIndex, 5);
  log.appliedTo(2);
  assert.equal(log.hasCommitted(), false);
  log.appliedTo(3);
  log.commitTo(5);
  const second = log.takeCommitted(1_000);
  assert.deepEqual([second.firstIndex, second.lastIndex], [4, 5]);
  assert.equal(second.batches[0]?.firstIndex, 1);
});

Deno.test("RaftLog never moves its commit index back, nor beyond its end", () => {
  const { log } = new TestLog([1, 1, 1], 2);
  assert.equal(log.commitTo(1), false);
  assert.equal(log.commit, 2);
  assert.throws(() => log.commitTo(4), /truncated or lost/);
});

Deno.test("RaftLog.append() never replaces what is committed", () => {
  const { log } = new TestLog([1, 1, 1], 2);
  const [batch] = batchesOf(2, 2);
  assert.ok(batch !== undefined);
  assert.equal(log.canAppend(batch), false);
  assert.throws(() => log.append(batch), /committed/);
});

Deno.test("RaftLog.canAppend() cuts only between batches (rule B1)", () => {
  const test = new TestLog([1]);
  const { log } = test;
  const canCutAt = (index: number, term = 2) =>
    batchesOf(index, term).every((batch) => log.canAppend(batch));
  log.append(makeBatch({ term: 1, firstIndex: 2, commands: ["a", "b", "c"] }));
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6].map((index) => canCutAt(index)),
    [true, true, false, false, true, false],
  );
  test.write()(); // The same once the batch is read from disk.
  assert.equal(canCutAt(3), false);
  assert.equal(canCutAt(5, 0), false); // Terms never decrease.
});

Deno.test("RaftLog.run() gives whole batches with what stands before them (rule B2)", () => {
  const { log } = new TestLog([1]);
  log.append(makeBatch({ term: 2, firstIndex: 2, commands: ["a", "b", "c"] }));
  append(log, 5, 3);
  const run = log.run({ index: 4, limit: 5, maxBytes: 10_000 });
  assert.equal(run?.prevLogIndex, 1);
  assert.equal(run?.prevLogTerm, 1);
  assert.equal(run?.lastIndex, 5);
  assert.equal(run?.batches.length, 2);
  assert.equal(run?.isFromStorage, false);
});

Deno.test("RaftLog.run() reads from storage what memory has let go", () => {
  const { log, disk } = new TestLog([1, 1, 1, 1]);
  const size = disk.batchAt(1)?.bytes.length ?? 0;
  const two = log.run({ index: 1, limit: 4, maxBytes: 2 * size });
  assert.equal(two?.lastIndex, 2);
  assert.equal(two?.isFromStorage, true);
  const rest = log.run({ index: 3, limit: 4, maxBytes: 100 * size });
  assert.deepEqual([rest?.prevLogIndex, rest?.lastIndex], [2, 4]);
});

Deno.test("RaftLog.run() tells that something is compacted", () => {
  const { log, disk } = new TestLog([1, 1, 2, 2], 4);
  log.takeCommitted(10_000);
  log.appliedTo(4);
  disk.takeSnapshot({
    index: 3,
    term: 2,
    membership: initialMembership([1, 2, 3]),
  });
  disk.compactTo(3);
  assert.equal(log.run({ index: 3, limit: 4, maxBytes: 100 }), undefined);
  const run = log.run({ index: 4, limit: 4, maxBytes: 100 });
  assert.equal(run?.prevLogTerm, 2);
});

Deno.test("RaftLog keeps applied batches for followers up to a limit", () => {
  const test = new TestLog([], 0, 1_000);
  const { log } = test;
  for (let index = 1; index <= 100; index++) append(log, index, 1);
  test.write()();
  log.commitTo(100);
  log.takeCommitted(100_000);
  log.appliedTo(100);
  const isInMemory = (index: number) =>
    log.run({ index, limit: 100, maxBytes: 1 })?.isFromStorage === false;
  assert.equal(isInMemory(100), true);
  assert.equal(isInMemory(1), false);
});

Deno.test("RaftLog.restore() replaces everything by the snapshot", () => {
  const test = new TestLog([1, 1, 1], 1);
  const { log } = test;
  append(log, 4, 1);
  const old = test.write();
  log.restore({
    index: 3,
    term: 2,
    membership: initialMembership([1, 2, 3]),
  });
  log.checkState();
  assert.deepEqual([log.lastIndex, log.lastTerm, log.commit], [3, 2, 3]);
  assert.equal(log.termOf(2), undefined);
  assert.equal(log.isRestoring, true);
  assert.equal(log.hasCommitted(), false);
  old();
  assert.ok(log.persisted <= 3);
  log.appliedTo(3);
  assert.equal(log.isRestoring, false);
});

Deno.test("RaftLog takes the whole of a batch inside which a snapshot ended (rule B2)", () => {
  const test = new TestLog([]);
  const { log, disk } = test;
  const snapshot = {
    index: 10,
    term: 2,
    membership: initialMembership([1, 2, 3]),
  };
  log.restore(snapshot);
  disk.write({ hardState: undefined, batches: [], snapshot });
  log.appliedTo(10);
  const batch = makeBatch({ term: 2, firstIndex: 8, commands: [..."abcde"] });
  assert.equal(log.canAppend(batch), true);
  log.append(batch);
  assert.equal(log.lastIndex, 12);
  test.write()();
  assert.equal(log.persisted, 12);
  log.commitTo(12);
  const range = log.takeCommitted(1_000);
  assert.deepEqual([range.firstIndex, range.lastIndex], [11, 12]);
  // The term before the batch is not known here.
  const run = log.run({ index: 11, limit: 12, maxBytes: 1_000 });
  assert.equal(run?.prevLogIndex, 7);
  assert.equal(run?.prevLogTerm, undefined);
  // The same after a restart, when only the disk tells where the snapshot ended.
  const again = new RaftLog(disk, { applied: 10, commit: 10, retainBytes: 0 });
  assert.equal(again.lastIndex, 12);
  assert.equal(again.termOf(10), 2);
});

Deno.test("RaftLog.unappliedChanges() finds membership changes in memory and on disk (rule C4)", () => {
  const disk = new MemoryLog();
  const changeBatch = (index: number) => ({
    ...makeBatch({ term: 1, firstIndex: index, commands: ["x"] }),
    isConfigChange: true,
  });
  disk.write({
    hardState: { term: 1, votedFor: 0, commit: 0 },
    batches: [...batchesOf(1, 1), changeBatch(2), ...batchesOf(3, 1, 1)],
    snapshot: undefined,
  });
  const log = new RaftLog(disk, { applied: 0, commit: 0, retainBytes: 0 });
  log.append(changeBatch(5));
  log.append(changeBatch(6));
  assert.deepEqual(log.unappliedChanges(), [2, 5, 6]);
  const [other] = batchesOf(6, 2);
  assert.ok(other !== undefined);
  log.append(other);
  assert.deepEqual(log.unappliedChanges(), [2, 5]);
  log.commitTo(4);
  log.appliedTo(4);
  assert.deepEqual(log.unappliedChanges(), [5]);
});

Deno.test("RaftLog refuses to open over a disk that lost what was committed", () => {
  const disk = new MemoryLog();
  fillDisk(disk, { term: 1, log: [1, 1] });
  assert.throws(
    () => new RaftLog(disk, { applied: 0, commit: 3, retainBytes: 0 }),
    /truncated or lost/,
  );
});
