/** What every `LogStore` must do: one suite, run against each. */
import { assert } from "../deps.ts";
import type { LogStore, NodeWrite } from "../../storage/log_store.ts";
import { batch, bootstrap, snapshot } from "../storage/wal/fixture.ts";

/** A store under test. */
export interface LogStoreUnderTest {
  /** Opens it; a second time, with what was written before. */
  open(): Promise<LogStore>;
  /** Removes what the test made. */
  dispose(): void;
}

const ids = { clusterId: 5, nodeId: 2 };
const hardState = { term: 3, votedFor: 2, commit: 4 };

async function write(
  log: LogStore,
  ...writes: (Omit<NodeWrite, "clusterId" | "nodeId"> & Partial<NodeWrite>)[]
): Promise<void> {
  const group = writes.map((one) => ({ ...ids, ...one }));
  await log.commitGroup(group, { sync: true });
}

/** Checks the ends of a node's log, and that every entry between them is in its batch. */
function assertLog(
  log: LogStore,
  expected: { first: number; last: number; terms: Record<number, number> },
): void {
  const node = log.node(ids.clusterId, ids.nodeId);
  assert.equal(node.firstIndex(), expected.first);
  assert.equal(node.lastIndex(), expected.last);
  for (const [index, term] of Object.entries(expected.terms)) {
    assert.equal(node.termOf(Number(index)), term, `term of ${index}`);
  }
  assert.equal(node.termOf(expected.first - 2), undefined);
  assert.equal(node.termOf(expected.last + 1), undefined);
  assert.equal(node.batchAt(expected.first - 1), undefined);
  assert.equal(node.batchAt(expected.last + 1), undefined);
  for (let index = expected.first; index <= expected.last; index++) {
    const found = node.batchAt(index)!;
    assert.ok(found.firstIndex <= index && index <= found.lastIndex);
    assert.equal(node.termOf(index), found.term);
    const { firstIndex, lastIndex, term, bytes } = found;
    const made = batch(firstIndex, lastIndex - firstIndex + 1, term);
    assert.deepEqual(bytes, made.bytes);
  }
}

/** Each case writes, then checks; the check is made again after the store was opened again. */
const cases: Record<
  string,
  { write: (log: LogStore) => Promise<void>; check: (log: LogStore) => void }
> = {
  "a new store holds nothing": {
    write: () => Promise.resolve(),
    check: (log) => {
      assert.deepEqual(log.nodes(), []);
      const node = log.node(5, 2);
      assert.equal(node.hardState(), undefined);
      assert.equal(node.snapshot(), undefined);
      assert.equal(node.bootstrap(), undefined);
      assert.deepEqual(node.peers(), []);
      assert.equal(node.firstIndex(), 1);
      assert.equal(node.lastIndex(), 0);
      assert.equal(node.termOf(0), 0);
      assert.equal(node.termOf(1), undefined);
      assert.equal(node.batchAt(1), undefined);
      assert.equal(log.failure, undefined);
      assert.equal(log.isDiskFull, false);
    },
  },
  "a node's part is always the same object, and nodes() is in order": {
    write: async (log) => {
      await write(log, { clusterId: 9 }, { clusterId: 5, nodeId: 10 }, {
        hardState,
      });
    },
    check: (log) => {
      assert.equal(log.node(5, 2), log.node(5, 2));
      assert.notEqual(log.node(5, 2), log.node(5, 10));
      assert.deepEqual(log.nodes(), [
        { clusterId: 5, nodeId: 2 },
        { clusterId: 5, nodeId: 10 },
        { clusterId: 9, nodeId: 2 },
      ]);
      assert.deepEqual(log.node(5, 2).hardState(), hardState);
      assert.equal(log.node(5, 10).hardState(), undefined);
    },
  },
  "bootstrap and peers are set and replaced, each by itself": {
    write: async (log) => {
      const peer = { nodeId: 1, nodeHostId: "äöü-host", incarnation: 2 ** 40 };
      await write(log, { bootstrap, peers: [peer] });
      await write(log, { bootstrap: { ...bootstrap, admitted: false } });
      await write(log, { snapshot: snapshot(7, 2) });
    },
    check: (log) => {
      const node = log.node(5, 2);
      assert.deepEqual(node.bootstrap(), { ...bootstrap, admitted: false });
      assert.deepEqual(node.peers(), [
        { nodeId: 1, nodeHostId: "äöü-host", incarnation: 2 ** 40 },
      ]);
      assert.deepEqual(node.snapshot(), snapshot(7, 2));
    },
  },
  "batches are appended, and each entry is found in its batch": {
    write: async (log) => {
      await write(log, { batches: [batch(1, 3, 1), batch(4, 1, 1)] });
      await write(log, { batches: [batch(5, 10, 2)] });
    },
    check: (log) =>
      assertLog(log, { first: 1, last: 14, terms: { 0: 0, 4: 1, 5: 2 } }),
  },
  "a batch cuts off what stands at and behind its first index": {
    write: async (log) => {
      await write(log, { batches: [batch(1, 3, 1), batch(4, 4), batch(8, 4)] });
      await write(log, { batches: [batch(4, 2, 2)] }, {
        batches: [batch(6, 1, 2)],
      });
    },
    check: (log) =>
      assertLog(log, { first: 1, last: 6, terms: { 3: 1, 4: 2, 6: 2 } }),
  },
  "compaction drops whole batches, and keeps the term before the first entry": {
    write: async (log) => {
      await write(log, {
        batches: [batch(1, 3, 1), batch(4, 3, 2), batch(7, 3, 3)],
      });
      await write(log, { snapshot: snapshot(8, 3), compactTo: 8 });
    },
    check: (log) =>
      assertLog(log, { first: 7, last: 9, terms: { 6: 2, 7: 3, 9: 3 } }),
  },
  "compaction within the first batch drops nothing": {
    write: async (log) => {
      await write(log, { batches: [batch(1, 9)] });
      await write(log, { snapshot: snapshot(5), compactTo: 5 });
    },
    check: (log) => assertLog(log, { first: 1, last: 9, terms: { 0: 0 } }),
  },
  "compaction of everything keeps the last index and its term": {
    write: async (log) => {
      await write(log, { batches: [batch(1, 9, 4)] });
      await write(log, { snapshot: snapshot(9, 4), compactTo: 9 });
    },
    check: (log) => assertLog(log, { first: 10, last: 9, terms: { 9: 4 } }),
  },
  "a log goes on behind what was compacted": {
    write: async (log) => {
      await write(log, { batches: [batch(1, 9, 4)] });
      await write(log, { snapshot: snapshot(9, 4), compactTo: 9 });
      await write(log, { batches: [batch(10, 2, 5)] });
    },
    check: (log) =>
      assertLog(log, { first: 10, last: 11, terms: { 9: 4, 11: 5 } }),
  },
  "a snapshot beyond the log empties it": {
    write: async (log) => {
      await write(log, { batches: [batch(1, 9, 4)] });
      await write(log, {
        snapshot: snapshot(50, 6),
        hardState: { term: 6, votedFor: 0, commit: 50 },
      });
      await write(log, { batches: [batch(51, 2, 6)] });
    },
    check: (log) =>
      assertLog(log, { first: 51, last: 52, terms: { 50: 6, 52: 6 } }),
  },
  "a snapshot that the log conflicts with empties it": {
    write: async (log) => {
      await write(log, { batches: [batch(1, 9, 4)] });
      await write(log, { snapshot: snapshot(7, 5) });
    },
    check: (log) => assertLog(log, { first: 8, last: 7, terms: { 7: 5 } }),
  },
  "a snapshot that the log holds changes nothing of it": {
    write: async (log) => {
      await write(log, { batches: [batch(1, 9, 4)] });
      await write(log, { snapshot: snapshot(7, 4) });
    },
    check: (log) => {
      assertLog(log, { first: 1, last: 9, terms: { 7: 4 } });
      assert.deepEqual(log.node(5, 2).snapshot(), snapshot(7, 4));
    },
  },
  "a snapshot comes before the batches of the same write": {
    write: async (log) => {
      await write(log, { batches: [batch(1, 9, 4)] });
      await write(log, {
        snapshot: snapshot(50, 6),
        batches: [batch(51, 1, 6)],
        compactTo: 50,
      });
    },
    check: (log) =>
      assertLog(log, { first: 51, last: 51, terms: { 50: 6, 51: 6 } }),
  },
  "an older snapshot does not replace a newer one": {
    write: async (log) => {
      await write(log, { snapshot: snapshot(50, 6) });
      await write(log, { snapshot: snapshot(40, 5), compactTo: 40 });
    },
    check: (log) => {
      assert.deepEqual(log.node(5, 2).snapshot(), snapshot(50, 6));
      assertLog(log, { first: 51, last: 50, terms: { 50: 6 } });
    },
  },
  "removal forgets a node, and another may begin under its ids": {
    write: async (log) => {
      await write(log, { bootstrap, batches: [batch(1, 9)] });
      await write(log, { clusterId: 6, batches: [batch(1, 2)] });
      const old = log.node(5, 2);
      await write(log, { remove: true }, { clusterId: 6, remove: true }, {
        batches: [batch(1, 2, 7)],
      });
      assert.notEqual(log.node(5, 2), old);
    },
    check: (log) => {
      assert.deepEqual(log.nodes(), [ids]);
      assert.equal(log.node(5, 2).bootstrap(), undefined);
      assertLog(log, { first: 1, last: 2, terms: { 1: 7 } });
      assert.equal(log.node(6, 2).lastIndex(), 0);
    },
  },
  "nodes do not disturb each other": {
    write: async (log) => {
      for (let index = 1; index <= 20; index++) {
        await write(log, { batches: [batch(index)] }, {
          clusterId: 6,
          batches: [batch(index, 1, 2)],
        }, { nodeId: 3, batches: [batch(index, 1, 3)] });
      }
      await write(log, { nodeId: 3, batches: [batch(2, 1, 4)] });
    },
    check: (log) => {
      assertLog(log, { first: 1, last: 20, terms: { 20: 1 } });
      assert.equal(log.node(6, 2).lastIndex(), 20);
      assert.equal(log.node(6, 2).termOf(20), 2);
      assert.equal(log.node(5, 3).lastIndex(), 2);
    },
  },
  "a write that needs no sync is readable too (rule L3)": {
    write: async (log) => {
      await log.commitGroup([{ ...ids, batches: [batch(1)] }], { sync: true });
      await log.commitGroup([{ ...ids, hardState }], { sync: false });
    },
    check: (log) => assert.deepEqual(log.node(5, 2).hardState(), hardState),
  },
  "large groups and many small ones are read back": {
    write: async (log) => {
      const large: NodeWrite[] = [];
      for (let clusterId = 10; clusterId < 60; clusterId++) {
        const batches = [batch(1, 5, 1, 4000), batch(6, 5, 1, 9000)];
        large.push({ clusterId, nodeId: 1, batches });
      }
      await log.commitGroup(large, { sync: true });
      for (let index = 1; index <= 300; index++) {
        await write(log, { batches: [batch(index)] });
      }
    },
    check: (log) => {
      assertLog(log, { first: 1, last: 300, terms: { 300: 1 } });
      for (let clusterId = 10; clusterId < 60; clusterId++) {
        const found = log.node(clusterId, 1).batchAt(8);
        assert.deepEqual(found, batch(6, 5, 1, 9000));
      }
    },
  },
};

/** Registers one test per thing that a log store must do. */
export function testLogStore(
  name: string,
  make: () => LogStoreUnderTest,
): void {
  for (const [what, one] of Object.entries(cases)) {
    Deno.test(`${name}: ${what}`, async () => {
      const store = make();
      try {
        let log = await store.open();
        await one.write(log);
        one.check(log);
        // What was acknowledged is there again, and again: recovery writes as well.
        for (let times = 0; times < 3; times++) {
          await log.close();
          log = await store.open();
          assert.equal(log.recovery.tornBytes, 0);
          one.check(log);
          await log.idle();
        }
        await log.close();
        await assert.rejects(log.commitGroup([], { sync: true }), {
          code: "closed",
          outcome: "notApplied",
        });
        await log.close();
      } finally {
        store.dispose();
      }
    });
  }
}
